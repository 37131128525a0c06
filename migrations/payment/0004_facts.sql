-- Facts that nobody asked for: refunds that come back, disputes, holds that lapse. Captures that begin by themselves. And two rules
-- that hold whoever writes: a state that is final is left for CONFLICTED only, and what is disputed is not given back as well.

ALTER TABLE payment_intent
    ADD COLUMN capture_mode   text   NOT NULL DEFAULT 'MANUAL'
                              CONSTRAINT payment_intent_capture_mode CHECK (capture_mode IN ('MANUAL', 'AUTOMATIC')),
    -- Captured and taken back by the buyer's bank, and what of that is gone for good.
    ADD COLUMN disputed_minor bigint NOT NULL DEFAULT 0,
    ADD COLUMN lost_minor     bigint NOT NULL DEFAULT 0,
    ADD CONSTRAINT payment_disputed_within_captured CHECK (
        0 <= lost_minor AND lost_minor <= disputed_minor AND disputed_minor <= captured_minor);

ALTER TABLE payment_event
    DROP CONSTRAINT payment_event_kind,
    ADD CONSTRAINT payment_event_kind CHECK (kind IN (
        'AUTHORIZED', 'DECLINED', 'CAPTURED', 'VOIDED', 'REFUND_PENDING', 'REFUNDED', 'REFUND_FAILED', 'REFUND_REVERSED',
        'DISPUTE_OPENED', 'DISPUTE_CLOSED', 'DISPUTE_LOST', 'EXPIRED'));

-- A conflict may be about something that nobody here asked for, and says what it claims to be.
ALTER TABLE payment_conflict
    ALTER COLUMN attempt_id DROP NOT NULL,
    ADD COLUMN kind text;

INSERT INTO ledger_account (account, normal, purpose) VALUES
    ('disputed_funds', 'DEBIT', 'Taken back by buyers'' banks until it is decided whose it is'),
    ('dispute_losses', 'DEBIT', 'Disputes that were decided for the buyer');

CREATE FUNCTION payment_refuse_step() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'payment %: % after %', NEW.payment_id, NEW.state, OLD.state
        USING ERRCODE = 'check_violation', CONSTRAINT = TG_NAME;
END
$$;
CREATE TRIGGER payment_final_state_kept BEFORE UPDATE ON payment_intent FOR EACH ROW
    WHEN (OLD.state IN ('CAPTURED', 'VOIDED', 'FAILED', 'EXPIRED', 'CONFLICTED')
          AND NEW.state <> OLD.state AND NEW.state <> 'CONFLICTED')
    EXECUTE FUNCTION payment_refuse_step();
CREATE TRIGGER payment_refund_beside_dispute BEFORE UPDATE ON payment_intent FOR EACH ROW
    WHEN (NEW.disputed_minor > 0 AND NEW.refund_pending_minor > OLD.refund_pending_minor
          AND NEW.refunded_minor + NEW.refund_pending_minor + NEW.disputed_minor > NEW.captured_minor)
    EXECUTE FUNCTION payment_refuse_step();
