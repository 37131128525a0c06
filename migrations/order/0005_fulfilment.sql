-- What has left the warehouse and what has arrived. Nothing here is written for an order of which nothing was shipped.

CREATE TABLE shipment (
    -- Chosen by whoever ships: the primary key is the idempotency of ShipOrder.
    shipment_id  uuid NOT NULL CONSTRAINT shipment_once PRIMARY KEY,
    order_id     uuid NOT NULL CONSTRAINT shipment_of_an_order REFERENCES orders (order_id),
    -- SHA-256 of the request: the same id with another body is refused.
    fingerprint  bytea NOT NULL,
    -- Its units, as two columns of one length: the order's line and how many of it.
    line_numbers integer[] NOT NULL,
    quantities   integer[] NOT NULL,
    shipped_at   timestamptz NOT NULL DEFAULT now(),
    delivered_at timestamptz,
    CONSTRAINT shipment_has_units CHECK (cardinality(line_numbers) >= 1 AND cardinality(line_numbers) = cardinality(quantities)),
    CONSTRAINT shipment_quantities_positive CHECK (0 < ALL (quantities))
);
CREATE INDEX shipment_by_order ON shipment (order_id);

-- How far each line has come. The checks hold whatever the program believes: nothing is shipped that was not ordered, and
-- nothing arrives that was not shipped.
CREATE TABLE line_count (
    order_id     uuid NOT NULL,
    line_no      integer NOT NULL,
    ordered      integer NOT NULL,
    shipped      integer NOT NULL DEFAULT 0,
    delivered    integer NOT NULL DEFAULT 0,
    CONSTRAINT line_count_once PRIMARY KEY (order_id, line_no),
    CONSTRAINT line_count_of_a_line FOREIGN KEY (order_id, line_no) REFERENCES order_line (order_id, line_no),
    CONSTRAINT line_shipped_was_ordered CHECK (shipped BETWEEN 0 AND ordered),
    CONSTRAINT line_delivered_was_shipped CHECK (delivered BETWEEN 0 AND shipped)
);

ALTER TABLE orders
    -- When the last of it arrived; NULL until then.
    ADD COLUMN delivered_at timestamptz,
    -- Returns that somebody still has to do something about: they keep the order from being completed.
    ADD COLUMN open_returns integer NOT NULL DEFAULT 0 CONSTRAINT orders_open_returns_count CHECK (open_returns >= 0),
    ADD CONSTRAINT orders_delivered_has_an_instant CHECK (state <> 'DELIVERED' OR delivered_at IS NOT NULL);
-- What may have to be completed, the oldest first. Nothing else is in it, however many orders there are.
CREATE INDEX orders_delivered ON orders (delivered_at) WHERE state = 'DELIVERED' AND open_returns = 0;
