-- What was ordered lies in the order's own row: one insert, one index less for the hottest statement of the house, and no second read.
-- Orders placed before keep theirs in order_line, which is only read from now on. An older program finds no lines of a newer order:
-- it has to be stopped first.
ALTER TABLE orders
    -- [{"sku_id", "campaign_id" (absent for the shelf), "quantity", "title", "unit_price_minor", "discount_minor", "total_minor"}],
    -- in the order they were asked for; NULL for orders older than this.
    ADD COLUMN lines jsonb CONSTRAINT orders_lines_are_some CHECK (jsonb_typeof(lines) = 'array' AND lines <> '[]');
ALTER TABLE line_count DROP CONSTRAINT line_count_of_a_line;
COMMENT ON TABLE order_line IS 'Lines of orders older than orders.lines; nothing writes here.';
