-- Orders and their lines. Words are checked here and parsed once in crates/order/src/domain.

CREATE TABLE orders (
    -- Derived from the buyer and the idempotency key: the primary key is the idempotency of CreateOrder.
    order_id         uuid NOT NULL CONSTRAINT orders_once PRIMARY KEY,
    buyer_id         text NOT NULL,
    state            text NOT NULL CONSTRAINT orders_state_known CHECK (state IN (
                         'AWAITING_PAYMENT', 'CONFIRMED', 'FULFILLING', 'SHIPPED', 'DELIVERED', 'COMPLETED', 'REJECTED',
                         'EXPIRED', 'CANCELLING', 'CANCELLED', 'MANUAL_REVIEW')),
    payment_state    text NOT NULL CONSTRAINT orders_payment_state_known CHECK (payment_state IN (
                         'UNPAID', 'PENDING', 'AUTHORIZED', 'PAID', 'VOIDED', 'PARTIALLY_REFUNDED', 'REFUNDED')),
    stock_state      text NOT NULL CONSTRAINT orders_stock_state_known CHECK (stock_state IN (
                         'HELD', 'COMMITTED', 'RELEASED', 'RETURNED')),
    fulfilment_state text NOT NULL CONSTRAINT orders_fulfilment_state_known CHECK (fulfilment_state IN (
                         'NONE', 'PARTIALLY_SHIPPED', 'SHIPPED', 'DELIVERED')),
    currency         text NOT NULL CONSTRAINT orders_currency_code CHECK (currency ~ '^[A-Z]{3}$'),
    subtotal_minor   bigint NOT NULL,
    discount_minor   bigint NOT NULL CONSTRAINT orders_discount_not_negative CHECK (discount_minor >= 0),
    total_minor      bigint NOT NULL CONSTRAINT orders_total_not_negative CHECK (total_minor >= 0),
    reservation_id   uuid NOT NULL,
    -- The payment of the last attempt; NULL until one was begun.
    payment_id       uuid,
    payment_attempt  integer NOT NULL DEFAULT 0 CONSTRAINT orders_payment_attempt_counts CHECK (payment_attempt >= 0),
    -- SHA-256 of the request: the same key with another body is refused.
    fingerprint      bytea NOT NULL,
    decline          text NOT NULL DEFAULT '',
    expires_at       timestamptz NOT NULL,
    created_at       timestamptz NOT NULL,
    updated_at       timestamptz NOT NULL,
    version          bigint NOT NULL DEFAULT 1,
    CONSTRAINT orders_total_sums CHECK (total_minor = subtotal_minor - discount_minor),
    -- Money without stock, or stock without money, is no confirmed order.
    CONSTRAINT orders_confirmed_is_paid CHECK (
        state <> 'CONFIRMED' OR (payment_state IN ('PAID', 'PARTIALLY_REFUNDED') AND stock_state = 'COMMITTED'))
);
-- A buyer's orders, newest first.
CREATE INDEX orders_by_buyer ON orders (buyer_id, created_at DESC, order_id DESC);
-- What may have to be expired.
CREATE INDEX orders_unpaid ON orders (expires_at) WHERE state = 'AWAITING_PAYMENT';

-- Lines are written by the statement that writes their order and never change. A foreign key would lock and look up
-- the order again for each line of the hottest insert of the house, so there is none.
CREATE TABLE order_line (
    order_id         uuid NOT NULL,
    -- From 1, in the order they were asked for.
    line_no          integer NOT NULL CONSTRAINT order_line_counts CHECK (line_no >= 1),
    sku_id           text NOT NULL,
    -- Empty for the shelf.
    campaign_id      text NOT NULL,
    quantity         integer NOT NULL CONSTRAINT order_line_quantity_positive CHECK (quantity >= 1),
    title            text NOT NULL,
    unit_price_minor bigint NOT NULL CONSTRAINT order_line_price_not_negative CHECK (unit_price_minor >= 0),
    discount_minor   bigint NOT NULL CONSTRAINT order_line_discount_not_negative CHECK (discount_minor >= 0),
    total_minor      bigint NOT NULL,
    CONSTRAINT order_line_once PRIMARY KEY (order_id, line_no),
    CONSTRAINT order_line_total_sums CHECK (total_minor = quantity * unit_price_minor - discount_minor)
);
