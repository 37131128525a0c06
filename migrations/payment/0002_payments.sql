-- Payments: an intent, its attempts (what was asked of a provider, under which key), its immutable events (what came of it), and
-- the books. Amounts on the intent are derived from events and open attempts; the ceilings hold whoever writes them.

CREATE TABLE payment_intent (
    payment_id            uuid        NOT NULL CONSTRAINT payment_intent_once PRIMARY KEY,
    -- What was agreed; absent only when a void came before anything was asked for.
    order_id              uuid,
    currency              text        CONSTRAINT payment_intent_currency CHECK (currency ~ '^[A-Z]{3}$'),
    amount_minor          bigint      CONSTRAINT payment_intent_amount CHECK (amount_minor > 0),
    method_kind           text        CONSTRAINT payment_intent_method
                                      CHECK (method_kind IN ('CARD', 'ALIPAY', 'WECHAT_PAY', 'STORED_VALUE')),
    method_token          text,
    fingerprint           bytea,
    state                 text        NOT NULL CONSTRAINT payment_intent_state CHECK (state IN (
                              'REQUIRES_ACTION', 'PROCESSING', 'UNKNOWN', 'AUTHORIZED', 'PARTIALLY_CAPTURED', 'CAPTURED',
                              'VOIDED', 'FAILED', 'EXPIRED', 'CONFLICTED')),
    void_requested        boolean     NOT NULL DEFAULT false,
    conflict              text,
    decline               text,
    authorized_minor      bigint      NOT NULL DEFAULT 0,
    capture_pending_minor bigint      NOT NULL DEFAULT 0,
    captured_minor        bigint      NOT NULL DEFAULT 0,
    voided_minor          bigint      NOT NULL DEFAULT 0,
    refund_pending_minor  bigint      NOT NULL DEFAULT 0,
    refunded_minor        bigint      NOT NULL DEFAULT 0,
    version               bigint      NOT NULL DEFAULT 0,
    created_at            timestamptz NOT NULL,
    updated_at            timestamptz NOT NULL,
    CONSTRAINT payment_intent_terms CHECK (
        num_nulls(order_id, currency, amount_minor, method_kind, method_token, fingerprint) = 0
        OR (num_nonnulls(order_id, currency, amount_minor, method_kind, method_token, fingerprint) = 0
            AND state = 'VOIDED' AND authorized_minor = 0)),
    CONSTRAINT payment_amounts_not_negative CHECK (
        least(authorized_minor, capture_pending_minor, captured_minor, voided_minor, refund_pending_minor, refunded_minor) >= 0),
    CONSTRAINT payment_captured_within_authorized CHECK (
        captured_minor + capture_pending_minor + voided_minor <= authorized_minor),
    CONSTRAINT payment_refunded_within_captured CHECK (refunded_minor + refund_pending_minor <= captured_minor)
);
CREATE INDEX payment_intent_order ON payment_intent (order_id);

CREATE TABLE payment_attempt (
    attempt_id         uuid        NOT NULL CONSTRAINT payment_attempt_once PRIMARY KEY,
    payment_id         uuid        NOT NULL CONSTRAINT payment_attempt_of REFERENCES payment_intent,
    operation          text        NOT NULL CONSTRAINT payment_attempt_operation
                                   CHECK (operation IN ('AUTHORIZE', 'CAPTURE', 'VOID', 'REFUND')),
    provider           text        NOT NULL,
    -- The idempotency key the provider sees; never another one for the same attempt.
    provider_key       text        NOT NULL,
    amount_minor       bigint      NOT NULL CONSTRAINT payment_attempt_amount CHECK (amount_minor >= 0),
    state              text        NOT NULL CONSTRAINT payment_attempt_state
                                   CHECK (state IN ('SENT', 'LOST', 'SUCCEEDED', 'REFUSED')),
    provider_reference text,
    decline            text,
    -- How often the provider was asked without an answer, and when to ask again.
    lost_answers       integer     NOT NULL DEFAULT 0,
    next_ask_at        timestamptz NOT NULL,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    CONSTRAINT payment_attempt_provider_key_once UNIQUE (provider, provider_key)
);
CREATE INDEX payment_attempt_by_payment ON payment_attempt (payment_id);
CREATE INDEX payment_attempt_open ON payment_attempt (next_ask_at) WHERE state IN ('SENT', 'LOST');

CREATE TABLE payment_event (
    event_id           uuid        NOT NULL CONSTRAINT payment_event_once PRIMARY KEY,
    position           bigint      NOT NULL GENERATED ALWAYS AS IDENTITY,
    payment_id         uuid        NOT NULL CONSTRAINT payment_event_of REFERENCES payment_intent,
    kind               text        NOT NULL CONSTRAINT payment_event_kind CHECK (kind IN (
                           'AUTHORIZED', 'DECLINED', 'CAPTURED', 'VOIDED', 'REFUND_PENDING', 'REFUNDED', 'REFUND_FAILED',
                           'DISPUTE_OPENED', 'DISPUTE_CLOSED')),
    amount_minor       bigint      NOT NULL CONSTRAINT payment_event_amount CHECK (amount_minor >= 0),
    provider           text        NOT NULL,
    provider_reference text,
    at                 timestamptz NOT NULL,
    CONSTRAINT payment_event_fact_once UNIQUE (provider, provider_reference, kind)
);
CREATE INDEX payment_event_by_payment ON payment_event (payment_id, position);

-- What a provider said that does not agree with what it said first: kept beside the first fact, never over it.
CREATE TABLE payment_conflict (
    conflict_id        bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    payment_id         uuid        NOT NULL CONSTRAINT payment_conflict_of REFERENCES payment_intent,
    attempt_id         uuid        NOT NULL CONSTRAINT payment_conflict_in REFERENCES payment_attempt,
    provider_reference text,
    amount_minor       bigint,
    reason             text        NOT NULL,
    at                 timestamptz NOT NULL
);

CREATE FUNCTION payment_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is append-only', TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END
$$;
CREATE TRIGGER payment_event_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON payment_event
    FOR EACH STATEMENT EXECUTE FUNCTION payment_refuse_change();
CREATE TRIGGER payment_conflict_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON payment_conflict
    FOR EACH STATEMENT EXECUTE FUNCTION payment_refuse_change();
