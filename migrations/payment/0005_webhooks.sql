-- What providers told by themselves: each message once, in the transaction of its effect. One that came before what it is about is
-- parked and heard again; one that is believed nothing of is kept as refused.

CREATE TABLE webhook (
    provider    text        NOT NULL,
    event_id    text        NOT NULL,
    payment_id  uuid        NOT NULL,
    -- The body as it came; providers put no card data into it.
    payload     bytea       NOT NULL,
    state       text        NOT NULL CONSTRAINT webhook_state CHECK (state IN ('APPLIED', 'PARKED', 'REFUSED')),
    -- Why it is parked or refused.
    why         text,
    next_try_at timestamptz NOT NULL DEFAULT now(),
    received_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT webhook_once PRIMARY KEY (provider, event_id)
);
CREATE INDEX webhook_parked ON webhook (next_try_at) WHERE state = 'PARKED';
CREATE INDEX webhook_parked_for ON webhook (payment_id) WHERE state = 'PARKED';
CREATE INDEX webhook_received ON webhook (received_at);
