-- What must reach others (outbox), what has been heard (inbox), what has been answered (idempotency).
-- The same text in every service: the kit owns the shape, the service owns the rows.

CREATE TABLE outbox (
    position     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id     uuid NOT NULL CONSTRAINT outbox_event_once UNIQUE,
    subject      text NOT NULL,
    event_key    text NOT NULL,
    payload      bytea NOT NULL,
    traceparent  text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    published_at timestamptz
);
CREATE INDEX outbox_unpublished ON outbox (position) WHERE published_at IS NULL;
CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL;

CREATE TABLE inbox (
    consumer    text NOT NULL,
    event_id    uuid NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT inbox_event_once PRIMARY KEY (consumer, event_id)
);
CREATE INDEX inbox_received ON inbox USING brin (received_at);

CREATE TABLE idempotency (
    scope        text NOT NULL,
    key          text NOT NULL,
    fingerprint  bytea NOT NULL,
    response     bytea,
    created_at   timestamptz NOT NULL DEFAULT now(),
    completed_at timestamptz,
    CONSTRAINT idempotency_key_once PRIMARY KEY (scope, key)
);
CREATE INDEX idempotency_completed ON idempotency (completed_at);
