-- A payment that is captured in parts over a longer time than a hold lasts: a whole whose parts are the holds that follow each other, each
-- for what the one before it left untaken.

ALTER TABLE payment_intent
    DROP CONSTRAINT payment_intent_capture_mode,
    ADD CONSTRAINT payment_intent_capture_mode CHECK (capture_mode IN ('MANUAL', 'AUTOMATIC', 'MULTIPLE')) NOT VALID,
    ADD CONSTRAINT payment_multiple_is_one_method CHECK (capture_mode <> 'MULTIPLE' OR tenders IS NULL) NOT VALID,
    DROP CONSTRAINT payment_whole_holds_nothing,
    ADD CONSTRAINT payment_whole_holds_nothing CHECK ((tenders IS NULL AND (capture_mode <> 'MULTIPLE' OR part_of IS NOT NULL)) OR
        (authorized_minor, capture_pending_minor, captured_minor, voided_minor, refund_pending_minor, refunded_minor) = (0, 0, 0, 0, 0, 0))
        NOT VALID;
ALTER TABLE payment_intent VALIDATE CONSTRAINT payment_intent_capture_mode;
ALTER TABLE payment_intent VALIDATE CONSTRAINT payment_multiple_is_one_method;
ALTER TABLE payment_intent VALIDATE CONSTRAINT payment_whole_holds_nothing;

ALTER TABLE payment_attempt
    -- Until when the provider holds what it was asked for, when it says so.
    ADD COLUMN hold_expires_at timestamptz,
    -- When somebody has to see to it that the hold is let go and followed by another one; only where that is to happen.
    ADD COLUMN lapse_due_at timestamptz;
CREATE INDEX payment_attempt_lapse ON payment_attempt (lapse_due_at) WHERE lapse_due_at IS NOT NULL;
