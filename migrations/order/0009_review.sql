-- Orders that wait for a person and what the person decided; and money that may still come for an order that has ended.

ALTER TABLE saga
    -- The steps grow with the program, which reads each word or refuses it; here only their shape is held.
    DROP CONSTRAINT saga_step_known,
    ADD CONSTRAINT saga_step_word CHECK (step ~ '^[A-Z_]{1,40}$'),
    -- Since when the peer answers that the outcome of this step is not known yet; NULL while it does not say so.
    ADD COLUMN unknown_since timestamptz,
    -- When somebody last said that the outcome may be known by now.
    ADD COLUMN hinted_at timestamptz;
CREATE INDEX saga_parked ON saga (parked_at, order_id) WHERE parked_at IS NOT NULL;

-- Each decision of a person about an order in review. Rows are added, never changed: they say who answers for what.
CREATE TABLE review_resolution (
    position      bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Chosen by the caller: the same id is the same decision.
    resolution_id uuid NOT NULL CONSTRAINT review_resolution_once UNIQUE,
    order_id      uuid NOT NULL,
    -- Where the order stood: the step that was parked, and why.
    step          text NOT NULL,
    reason        text NOT NULL,
    resolution    text NOT NULL CONSTRAINT review_resolution_known CHECK (resolution IN (
                      'RETRY', 'STEP_DONE', 'CANCEL', 'CONFIRM')),
    -- The subject of the token, and his words.
    actor         text NOT NULL CONSTRAINT review_resolution_has_actor CHECK (actor <> ''),
    note          text NOT NULL CONSTRAINT review_resolution_has_note CHECK (note <> ''),
    resolved_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX review_resolution_by_order ON review_resolution (order_id, position);

CREATE FUNCTION order_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER review_resolution_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON review_resolution
    FOR EACH STATEMENT EXECUTE FUNCTION order_refuse_change();

-- Why an order ended as it did, where its states do not say it; a word for the buyer.
ALTER TABLE orders ADD COLUMN end_reason text NOT NULL DEFAULT '';

-- Payments that were given up: declined, let go, or left behind by a later try. Should money be found on one all the same,
-- it belongs to nobody's order and goes back. A row goes when the payment has been quiet for long enough.
CREATE TABLE given_up_payment (
    payment_id     uuid NOT NULL CONSTRAINT given_up_payment_once PRIMARY KEY,
    order_id       uuid NOT NULL,
    given_up_at    timestamptz NOT NULL DEFAULT now(),
    -- How often it was asked about since, and when to ask again.
    asked          integer NOT NULL DEFAULT 0 CONSTRAINT given_up_payment_counts CHECK (asked >= 0),
    next_at        timestamptz NOT NULL
);
CREATE INDEX given_up_payment_due ON given_up_payment (next_at);
