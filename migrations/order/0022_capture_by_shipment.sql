-- An order's money may be taken as its units leave: until then it is held. The money of a shipment is taken before it leaves.

ALTER TABLE orders
    -- What of the total is still to be taken; 0 for an order that was paid when it was confirmed.
    ADD COLUMN uncaptured_minor bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT orders_uncaptured_is_of_the_total CHECK (uncaptured_minor BETWEEN 0 AND total_minor) NOT VALID,
    DROP CONSTRAINT orders_confirmed_is_paid,
    ADD CONSTRAINT orders_confirmed_is_paid CHECK (
        state <> 'CONFIRMED' OR (stock_state = 'COMMITTED' AND (
            payment_state IN ('PAID', 'PARTIALLY_REFUNDED')
            -- All of it is held, to be taken as its units leave.
            OR (payment_state = 'AUTHORIZED' AND uncaptured_minor = total_minor)))) NOT VALID;
ALTER TABLE orders VALIDATE CONSTRAINT orders_uncaptured_is_of_the_total;
ALTER TABLE orders VALIDATE CONSTRAINT orders_confirmed_is_paid;

-- The shipment whose money is being taken. It goes with its saga's row: as a shipment, or as nothing.
CREATE TABLE saga_shipment (
    order_id     uuid    NOT NULL CONSTRAINT saga_shipment_once PRIMARY KEY
                         CONSTRAINT saga_shipment_of_a_saga REFERENCES saga (order_id) ON DELETE CASCADE,
    shipment_id  uuid    NOT NULL,
    fingerprint  bytea   NOT NULL,
    line_numbers integer[] NOT NULL,
    quantities   integer[] NOT NULL,
    amount_minor bigint  NOT NULL CONSTRAINT saga_shipment_takes_something CHECK (amount_minor > 0),
    -- Captures that the provider refused: the next one is asked for under another id. And the class of the last refusal.
    refused      integer NOT NULL DEFAULT 0 CONSTRAINT saga_shipment_counts CHECK (refused >= 0),
    decline      text    NOT NULL DEFAULT ''
);
