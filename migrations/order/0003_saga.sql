-- What is being done to an order right now. At most one row an order: whoever inserts it has the order to himself, and
-- the row goes when the work is done. A row that is parked waits for a person.

CREATE TABLE saga (
    order_id      uuid NOT NULL CONSTRAINT saga_one_per_order PRIMARY KEY
                  CONSTRAINT saga_of_an_order REFERENCES orders (order_id),
    -- The step that is to be done next, or is being done.
    step          text NOT NULL CONSTRAINT saga_step_known CHECK (step IN (
                      'AUTHORIZE', 'COMMIT', 'CAPTURE', 'VOID_EXPIRED', 'VOID_CANCELLED', 'RELEASE_EXPIRED',
                      'RELEASE_CANCELLED', 'REFUND', 'RETURN')),
    -- Failed tries of this step.
    attempt       integer NOT NULL DEFAULT 0 CONSTRAINT saga_attempt_counts CHECK (attempt >= 0),
    -- How the buyer pays: the kind and a token, never a card. It goes with the row.
    method_kind   text CONSTRAINT saga_method_kind_known CHECK (method_kind IN (
                      'CARD', 'ALIPAY', 'WECHAT_PAY', 'STORED_VALUE')),
    method_token  text,
    cancel_reason text NOT NULL DEFAULT '',
    -- Who is at it, and until when others leave it alone.
    claim         uuid,
    claimed_until timestamptz,
    next_at       timestamptz NOT NULL DEFAULT now(),
    parked_at     timestamptz,
    last_error    text NOT NULL DEFAULT '',
    created_at    timestamptz NOT NULL DEFAULT now(),
    updated_at    timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT saga_method_whole CHECK ((method_kind IS NULL) = (method_token IS NULL)),
    CONSTRAINT saga_authorize_has_method CHECK (step <> 'AUTHORIZE' OR method_kind IS NOT NULL)
);
CREATE INDEX saga_due ON saga (next_at) WHERE parked_at IS NULL;
