-- What one transaction writes: one row a reservation, one movement a cell and kind, one event. A batch of hundreds costs little
-- more than its reservations.

-- A reservation carries its lines. `asked` is what was demanded and what a repeated request is compared with; `quantities` is what
-- is held or sold now where that is less, and never grows; `returned` is what came back where anything did.
ALTER TABLE reservation
    ADD COLUMN pools text[],
    ADD COLUMN skus text[],
    ADD COLUMN asked bigint[],
    ADD COLUMN quantities bigint[],
    ADD COLUMN returned bigint[],
    -- The movement that ended it.
    ADD COLUMN ended_by bigint;
-- The movement that made it; a deduction answers it as its version.
ALTER TABLE reservation RENAME COLUMN version TO made_by;

UPDATE reservation r SET pools = l.pools, skus = l.skus, asked = l.asked, returned = l.returned
FROM (
    -- In the order of the service: the shelf first, names by their bytes.
    SELECT reservation_id, array_agg(pool ORDER BY pool <> 'shelf', pool COLLATE "C", sku_id COLLATE "C") AS pools,
           array_agg(sku_id ORDER BY pool <> 'shelf', pool COLLATE "C", sku_id COLLATE "C") AS skus,
           array_agg(quantity ORDER BY pool <> 'shelf', pool COLLATE "C", sku_id COLLATE "C") AS asked,
           CASE WHEN sum(returned) > 0
                THEN array_agg(returned ORDER BY pool <> 'shelf', pool COLLATE "C", sku_id COLLATE "C") END AS returned
    FROM reservation_line GROUP BY reservation_id
) l
WHERE l.reservation_id = r.reservation_id;
UPDATE reservation SET pools = '{}', skus = '{}', asked = '{}' WHERE asked IS NULL;

CREATE FUNCTION each_at_most(these bigint[], those bigint[]) RETURNS boolean
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN cardinality(these) = cardinality(those)
        AND (SELECT coalesce(bool_and(this BETWEEN 0 AND that), true) FROM unnest(these, those) AS pair (this, that));

ALTER TABLE reservation
    ALTER COLUMN pools SET NOT NULL,
    ALTER COLUMN skus SET NOT NULL,
    ALTER COLUMN asked SET NOT NULL,
    ADD CONSTRAINT reservation_lines_are_whole
        CHECK (cardinality(pools) = cardinality(asked) AND cardinality(skus) = cardinality(asked) AND 0 < ALL (asked)),
    ADD CONSTRAINT reservation_quantities_at_most_asked CHECK (quantities IS NULL OR each_at_most(quantities, asked)),
    ADD CONSTRAINT reservation_returned_at_most_all
        CHECK (returned IS NULL OR each_at_most(returned, coalesce(quantities, asked)));

DROP TABLE reservation_line;
-- The same, line by line, for whoever reads the books.
CREATE VIEW reservation_line AS
SELECT r.reservation_id, l.pool, l.sku_id, l.asked, coalesce(l.quantity, l.asked) AS quantity, coalesce(l.returned, 0) AS returned
FROM reservation r
CROSS JOIN LATERAL unnest(r.pools, r.skus, r.asked, r.quantities, r.returned) AS l (pool, sku_id, asked, quantity, returned);

-- Units that may be promised beyond what is on hand. Nobody may unless the pool says so.
ALTER TABLE stock
    ADD COLUMN backorder bigint NOT NULL DEFAULT 0 CONSTRAINT stock_backorder_bounded CHECK (backorder BETWEEN 0 AND 1000000000),
    DROP CONSTRAINT stock_never_oversold,
    ADD CONSTRAINT stock_never_oversold CHECK (held + committed <= on_hand + backorder);

-- A movement sums what one transaction did of one kind to one cell; the reservations say which movement made and ended them.
ALTER TABLE movement
    ADD COLUMN members integer NOT NULL DEFAULT 1 CONSTRAINT movement_members_positive CHECK (members > 0),
    -- The transaction: a feed that has seen everything below a horizon reads what is at or above it and misses nothing, in
    -- whatever order transactions commit.
    ADD COLUMN changed_in xid8 NOT NULL DEFAULT pg_current_xact_id();
CREATE INDEX movement_by_change ON movement (changed_in);

-- Rows that change with every batch: no index has their changing columns, so a change stays in its page.
DROP INDEX stock_by_change;
ALTER TABLE stock SET (fillfactor = 50);
ALTER TABLE buyer_quota SET (fillfactor = 80);
ALTER TABLE stock_adjustment ADD COLUMN backorder bigint NOT NULL DEFAULT 0;
