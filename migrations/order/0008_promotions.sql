-- Promotions and their uses. What is left of one is decided by its row's CHECKs: uses and budget are taken in the transaction
-- that writes the order, and kept or given back in the one that ends it.

CREATE TABLE promotion (
    promotion_id     text NOT NULL CONSTRAINT promotion_once PRIMARY KEY,
    priority         bigint NOT NULL,
    -- Upper case; NULL for those that apply by themselves.
    coupon           text,
    closes_at        timestamptz,
    -- The whole terms as a stampede.order.v1.Promotion; they never change.
    terms            bytea NOT NULL,
    -- NULL for no limit.
    per_buyer_limit  integer CONSTRAINT promotion_per_buyer_limit_positive CHECK (per_buyer_limit >= 1),
    use_limit        bigint CONSTRAINT promotion_use_limit_positive CHECK (use_limit >= 1),
    budget_minor     bigint CONSTRAINT promotion_budget_not_negative CHECK (budget_minor >= 0),
    -- By orders that are not paid yet, and by those that are.
    uses_reserved    bigint NOT NULL DEFAULT 0 CONSTRAINT promotion_uses_reserved_counts CHECK (uses_reserved >= 0),
    uses_committed   bigint NOT NULL DEFAULT 0 CONSTRAINT promotion_uses_committed_counts CHECK (uses_committed >= 0),
    budget_reserved  bigint NOT NULL DEFAULT 0 CONSTRAINT promotion_budget_reserved_counts CHECK (budget_reserved >= 0),
    budget_committed bigint NOT NULL DEFAULT 0 CONSTRAINT promotion_budget_committed_counts CHECK (budget_committed >= 0),
    created_at       timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT promotion_uses_within_limit CHECK (uses_reserved + uses_committed <= use_limit),
    CONSTRAINT promotion_within_budget CHECK (budget_reserved + budget_committed <= budget_minor)
);
CREATE INDEX promotion_by_coupon ON promotion (coupon, promotion_id) WHERE coupon IS NOT NULL;
CREATE INDEX promotion_by_priority ON promotion (priority, promotion_id);
-- Those that may apply to any order.
CREATE INDEX promotion_automatic ON promotion (priority, promotion_id) WHERE coupon IS NULL;

-- Uses of a promotion with a limit for each buyer. Written under the promotion's row lock.
CREATE TABLE promotion_buyer (
    promotion_id text NOT NULL CONSTRAINT promotion_buyer_of_a_promotion REFERENCES promotion (promotion_id),
    buyer_id     text NOT NULL,
    uses         integer NOT NULL CONSTRAINT promotion_buyer_uses_counts CHECK (uses >= 0),
    use_limit    integer NOT NULL,
    CONSTRAINT promotion_buyer_once PRIMARY KEY (promotion_id, buyer_id),
    CONSTRAINT promotion_buyer_within_limit CHECK (uses <= use_limit)
);

-- One use of one promotion by one order. RESERVED becomes COMMITTED or RELEASED, COMMITTED may be RELEASED, and RELEASED is the
-- end of it, unless late money takes it again.
CREATE TABLE order_promotion (
    order_id     uuid NOT NULL,
    promotion_id text NOT NULL CONSTRAINT order_promotion_of_a_promotion REFERENCES promotion (promotion_id),
    buyer_id     text NOT NULL,
    amount_minor bigint NOT NULL CONSTRAINT order_promotion_amount_not_negative CHECK (amount_minor >= 0),
    state        text NOT NULL CONSTRAINT order_promotion_state_known CHECK (state IN ('RESERVED', 'COMMITTED', 'RELEASED')),
    changed_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT order_promotion_once PRIMARY KEY (order_id, promotion_id)
);

ALTER TABLE orders
    ADD COLUMN shipping_minor bigint NOT NULL DEFAULT 0 CONSTRAINT orders_shipping_not_negative CHECK (shipping_minor >= 0),
    -- The promotions it was placed with and their terms then (crates/order/src/store/applied.rs); NULL for none.
    ADD COLUMN promotions bytea,
    DROP CONSTRAINT orders_total_sums,
    ADD CONSTRAINT orders_total_sums CHECK (total_minor = subtotal_minor - discount_minor + shipping_minor);
