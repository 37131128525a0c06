-- One counter of what is taken of a promotion, by orders paid or not: an order that is paid moves its own row and nobody else's. A
-- promotion with neither a limit nor a budget counts nothing, so that its row is never waited for.

ALTER TABLE promotion
    ADD COLUMN uses_taken bigint NOT NULL DEFAULT 0 CONSTRAINT promotion_uses_taken_counts CHECK (uses_taken >= 0),
    -- Minor units.
    ADD COLUMN budget_taken bigint NOT NULL DEFAULT 0 CONSTRAINT promotion_budget_taken_counts CHECK (budget_taken >= 0);

UPDATE promotion SET uses_taken = uses_reserved + uses_committed, budget_taken = budget_reserved + budget_committed
WHERE use_limit IS NOT NULL OR budget_minor IS NOT NULL;

ALTER TABLE promotion
    DROP CONSTRAINT promotion_uses_within_limit,
    DROP CONSTRAINT promotion_within_budget,
    DROP COLUMN uses_reserved,
    DROP COLUMN uses_committed,
    DROP COLUMN budget_reserved,
    DROP COLUMN budget_committed,
    ADD CONSTRAINT promotion_uses_within_limit CHECK (uses_taken <= use_limit),
    ADD CONSTRAINT promotion_within_budget CHECK (budget_taken <= budget_minor),
    ADD CONSTRAINT promotion_without_limits_counts_nothing CHECK (
        use_limit IS NOT NULL OR budget_minor IS NOT NULL OR (uses_taken = 0 AND budget_taken = 0));

-- A foreign key locks the promotion's row for each use, which is what nobody shall wait for. What it held is held by promotions
-- staying for ever.
ALTER TABLE order_promotion DROP CONSTRAINT order_promotion_of_a_promotion;
ALTER TABLE promotion_buyer DROP CONSTRAINT promotion_buyer_of_a_promotion;
CREATE TRIGGER promotion_stays BEFORE DELETE OR TRUNCATE ON promotion
    FOR EACH STATEMENT EXECUTE FUNCTION order_refuse_change();

-- Uses by unpaid orders and by paid ones, counted when staff ask.
CREATE INDEX order_promotion_by_state ON order_promotion (promotion_id, state) WHERE state <> 'RELEASED';
