-- What is sent back. Nothing here is written for an order of which nothing was returned.

CREATE TABLE order_return (
    -- Chosen by the buyer: the primary key is the idempotency of RequestReturn.
    return_id    uuid NOT NULL CONSTRAINT order_return_once PRIMARY KEY,
    order_id     uuid NOT NULL CONSTRAINT order_return_of_an_order REFERENCES orders (order_id),
    -- SHA-256 of the request: the same id with another body is refused.
    fingerprint  bytea NOT NULL,
    state        text NOT NULL CONSTRAINT order_return_state_known CHECK (state IN (
                     'REQUESTED', 'APPROVED', 'RECEIVED', 'REFUNDED', 'REJECTED')),
    -- Its units, as two columns of one length: the order's line and how many of it.
    line_numbers integer[] NOT NULL,
    quantities   integer[] NOT NULL,
    reason       text NOT NULL,
    -- Decided when the units are back, together and not before.
    restock      boolean,
    refund_minor bigint CONSTRAINT order_return_refund_not_negative CHECK (refund_minor >= 0),
    created_at   timestamptz NOT NULL DEFAULT now(),
    updated_at   timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT order_return_has_units CHECK (cardinality(line_numbers) >= 1 AND cardinality(line_numbers) = cardinality(quantities)),
    CONSTRAINT order_return_quantities_positive CHECK (0 < ALL (quantities)),
    CONSTRAINT order_return_settled_whole CHECK ((restock IS NULL) = (refund_minor IS NULL)),
    CONSTRAINT order_return_received_is_settled CHECK ((state IN ('RECEIVED', 'REFUNDED')) = (restock IS NOT NULL))
);
CREATE INDEX order_return_by_order ON order_return (order_id);

-- Of each line, the units of returns that were not rejected: nothing is sent back that has not arrived.
ALTER TABLE line_count
    ADD COLUMN returned integer NOT NULL DEFAULT 0,
    ADD CONSTRAINT line_returned_was_delivered CHECK (returned BETWEEN 0 AND delivered);

-- What returns have given back or are giving back: never more than was paid.
ALTER TABLE orders
    ADD COLUMN refunded_minor bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT orders_refunded_was_paid CHECK (refunded_minor BETWEEN 0 AND total_minor);

-- The refund of a return goes through the same rows and the same runner as every other work on its order.
ALTER TABLE saga
    ADD COLUMN return_id uuid CONSTRAINT saga_of_a_return REFERENCES order_return (return_id),
    ADD CONSTRAINT saga_return_has_its_steps CHECK ((step IN ('RETURN_REFUND', 'RESTOCK', 'CLOSE_RETURN')) = (return_id IS NOT NULL));
