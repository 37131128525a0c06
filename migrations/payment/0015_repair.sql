-- Payments that wait for a person, and what was decided about them. A conflict is left by a decision only, and a decision says who made
-- it and why; rows of both are added and never changed.

-- Who claims it.
ALTER TABLE payment_conflict ADD COLUMN provider text;

-- What waits, once for each reason. It is written when it happens, so that nobody searches payments for it, and goes with the decision.
CREATE TABLE payment_case (
    payment_id uuid        NOT NULL,
    reason     text        NOT NULL CONSTRAINT payment_case_reason CHECK (reason IN (
                   'CONFLICT', 'REFUND_REFUSED', 'HOLD_LAPSED', 'WEBHOOK_REFUSED')),
    detail     text        NOT NULL,
    since      timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT payment_case_once PRIMARY KEY (payment_id, reason)
);
CREATE INDEX payment_case_by_time ON payment_case (since, payment_id, reason);
INSERT INTO payment_case (payment_id, reason, detail, since)
    SELECT payment_id, 'CONFLICT', conflict, updated_at FROM payment_intent WHERE conflict IS NOT NULL;

CREATE TABLE payment_resolution (
    position      bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- Chosen by the caller: the same id is the same decision.
    resolution_id uuid        NOT NULL CONSTRAINT payment_resolution_once UNIQUE,
    payment_id    uuid        NOT NULL,
    reason        text        NOT NULL CONSTRAINT payment_resolution_reason CHECK (reason IN (
                      'CONFLICT', 'UNKNOWN', 'REFUND_REFUSED', 'HOLD_LAPSED', 'WEBHOOK_PARKED', 'WEBHOOK_REFUSED')),
    decision      text        NOT NULL CONSTRAINT payment_resolution_decision CHECK (decision IN (
                      'ASK_AGAIN', 'TAKE_THEIRS', 'KEEP_OURS', 'CLOSE_BY_HAND')),
    -- The last claim it was about: those before it are decided.
    claim         bigint      NOT NULL DEFAULT 0,
    -- The subject of the token, and his words.
    actor         text        NOT NULL CONSTRAINT payment_resolution_has_actor CHECK (actor <> ''),
    note          text        NOT NULL CONSTRAINT payment_resolution_has_note CHECK (note <> ''),
    resolved_at   timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX payment_resolution_by_payment ON payment_resolution (payment_id, position);
CREATE INDEX payment_conflict_by_payment ON payment_conflict (payment_id, conflict_id);
CREATE TRIGGER payment_resolution_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON payment_resolution
    FOR EACH STATEMENT EXECUTE FUNCTION payment_refuse_change();

-- A payment that never was may be in conflict too, when a provider tells of it.
ALTER TABLE payment_intent
    DROP CONSTRAINT payment_intent_terms,
    ADD CONSTRAINT payment_intent_terms CHECK (
        num_nulls(order_id, currency, amount_minor, method_kind, method_token, fingerprint) = 0
        OR (num_nonnulls(order_id, currency, amount_minor, method_kind, method_token, fingerprint) = 0
            AND state IN ('VOIDED', 'CONFLICTED') AND authorized_minor = 0)),
    -- The decision by which it last left a conflict.
    ADD COLUMN resolution_id uuid CONSTRAINT payment_intent_resolution REFERENCES payment_resolution (resolution_id);

DROP TRIGGER payment_final_state_kept ON payment_intent;
CREATE TRIGGER payment_final_state_kept BEFORE UPDATE ON payment_intent FOR EACH ROW
    WHEN (OLD.state IN ('CAPTURED', 'VOIDED', 'FAILED', 'EXPIRED') AND NEW.state <> OLD.state AND NEW.state <> 'CONFLICTED')
    EXECUTE FUNCTION payment_refuse_step();
CREATE TRIGGER payment_conflict_decided BEFORE UPDATE ON payment_intent FOR EACH ROW
    WHEN (OLD.state = 'CONFLICTED' AND NEW.state <> 'CONFLICTED' AND NEW.resolution_id IS NOT DISTINCT FROM OLD.resolution_id)
    EXECUTE FUNCTION payment_refuse_step();

-- A person may find that less was captured than was told.
ALTER TABLE payment_event
    DROP CONSTRAINT payment_event_kind,
    ADD CONSTRAINT payment_event_kind CHECK (kind IN (
        'AUTHORIZED', 'DECLINED', 'CAPTURED', 'CAPTURE_CORRECTED', 'VOIDED', 'REFUND_PENDING', 'REFUNDED', 'REFUND_FAILED',
        'REFUND_REVERSED', 'DISPUTE_OPENED', 'DISPUTE_CLOSED', 'DISPUTE_LOST', 'EXPIRED'));
DROP TRIGGER payment_event_booked ON payment_event;
CREATE CONSTRAINT TRIGGER payment_event_booked AFTER INSERT ON payment_event DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.amount_minor > 0 AND NEW.kind NOT IN ('DECLINED', 'REFUND_PENDING', 'REFUND_FAILED'))
    EXECUTE FUNCTION payment_require_entries();
-- One question for each fact instead of two.
CREATE OR REPLACE FUNCTION payment_require_entries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (SELECT count(*) = 0 OR bool_or(amount_minor <> NEW.amount_minor) FROM ledger_entry WHERE transfer_id = NEW.event_id) THEN
        RAISE EXCEPTION 'fact % is not booked as it is', NEW.event_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_event_booked';
    END IF;
    RETURN NULL;
END
$$;

-- They fire for every session, replicas' included.
ALTER TABLE payment_event ENABLE ALWAYS TRIGGER payment_event_booked;
ALTER TABLE payment_intent ENABLE ALWAYS TRIGGER payment_final_state_kept;
ALTER TABLE payment_intent ENABLE ALWAYS TRIGGER payment_conflict_decided;
ALTER TABLE payment_intent ENABLE ALWAYS TRIGGER payment_refund_beside_dispute;
ALTER TABLE payment_conflict ENABLE ALWAYS TRIGGER payment_conflict_immutable;
ALTER TABLE payment_resolution ENABLE ALWAYS TRIGGER payment_resolution_immutable;
