-- A fact that moves money cannot be committed without its entries, each of the fact's own amount; and the guards of the books fire for
-- every session, replicas' included: there is no setting by which a writer gets around them.

CREATE FUNCTION payment_require_entries() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM ledger_entry WHERE transfer_id = NEW.event_id)
       OR EXISTS (SELECT FROM ledger_entry WHERE transfer_id = NEW.event_id AND amount_minor <> NEW.amount_minor) THEN
        RAISE EXCEPTION 'fact % is not booked as it is', NEW.event_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'payment_event_booked';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER payment_event_booked AFTER INSERT ON payment_event DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.amount_minor > 0 AND NEW.kind IN ('AUTHORIZED', 'CAPTURED', 'VOIDED', 'REFUNDED', 'REFUND_REVERSED', 'DISPUTE_OPENED',
                                                'DISPUTE_CLOSED', 'DISPUTE_LOST', 'EXPIRED'))
    EXECUTE FUNCTION payment_require_entries();

ALTER TABLE payment_event ENABLE ALWAYS TRIGGER payment_event_booked;
ALTER TABLE payment_event ENABLE ALWAYS TRIGGER payment_event_immutable;
ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER ledger_transfer_balanced;
ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER ledger_entry_immutable;
