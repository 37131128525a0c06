-- Late money that nobody can move waits for a person, a cancel that has won the stock tells the payment that is under way, and staff
-- list everybody's orders.

ALTER TABLE given_up_payment
    -- Since when a person is waited for, and why. Until then, and after he has decided, it is given back without one.
    ADD COLUMN parked_at timestamptz,
    ADD COLUMN why text NOT NULL DEFAULT '',
    ADD CONSTRAINT given_up_payment_parked_says_why CHECK (parked_at IS NULL OR why <> '');
CREATE INDEX given_up_payment_parked ON given_up_payment (parked_at, payment_id) WHERE parked_at IS NOT NULL;

-- The payment a decision was about, where it was about late money; the order's own saga otherwise.
ALTER TABLE review_resolution ADD COLUMN payment_id uuid;

-- Since when the stock of the order is released for a cancel that met its payment: the payment is let go as soon as it may be.
ALTER TABLE saga ADD COLUMN stock_released_at timestamptz;

-- Everybody's orders by when they were placed. New ones are appended at its right end, so that placing hardly feels it.
CREATE INDEX orders_by_time ON orders (created_at, order_id);
