-- Settlement: what providers say they have paid out, line by line, against our facts. A file is kept as it came; a line that agrees with
-- its fact is booked, and one that does not waits for a person. Transfers of settlement are no facts of a payment: they are rows of
-- their own, and each is booked exactly as it is stated.

INSERT INTO ledger_account (account, normal, purpose) VALUES
    ('bank',                   'DEBIT', 'Paid out to us by providers'),
    ('provider_fees',          'DEBIT', 'Kept by providers for their service'),
    ('settlement_differences', 'DEBIT', 'What providers'' files and our facts do not agree about, as persons have decided');

-- One file of a provider. It comes in pieces, in order; only a whole one is matched.
CREATE TABLE settlement_file (
    provider   text        NOT NULL,
    file_id    text        NOT NULL,
    -- SHA-256 of all of it, as the importer told before the first piece.
    digest     bytea       NOT NULL CONSTRAINT settlement_file_digest CHECK (octet_length(digest) = 32),
    chunks     integer     NOT NULL CONSTRAINT settlement_file_chunks CHECK (chunks > 0),
    received   integer     NOT NULL DEFAULT 0 CONSTRAINT settlement_file_received CHECK (received BETWEEN 0 AND chunks),
    -- Lines of text that have come, the header among them.
    text_lines integer     NOT NULL DEFAULT 0,
    state      text        NOT NULL DEFAULT 'RECEIVING'
                           CONSTRAINT settlement_file_state CHECK (state IN ('RECEIVING', 'MATCHING', 'DONE')),
    -- Everything that was done before its end is in this file or in an earlier one; what was done before the first file's start is in none.
    period_start timestamptz,
    period_end timestamptz NOT NULL,
    actor      text        NOT NULL CONSTRAINT settlement_file_has_actor CHECK (actor <> ''),
    begun_at   timestamptz NOT NULL DEFAULT now(),
    done_at    timestamptz,
    CONSTRAINT settlement_file_once PRIMARY KEY (provider, file_id),
    CONSTRAINT settlement_file_whole CHECK ((state = 'RECEIVING') = (received < chunks)),
    CONSTRAINT settlement_file_done CHECK ((state = 'DONE') = (done_at IS NOT NULL))
);
CREATE INDEX settlement_file_matching ON settlement_file (begun_at) WHERE state = 'MATCHING';

CREATE TABLE settlement_chunk (
    provider text    NOT NULL,
    file_id  text    NOT NULL,
    sequence integer NOT NULL,
    content  text    NOT NULL,
    CONSTRAINT settlement_chunk_once PRIMARY KEY (provider, file_id, sequence),
    CONSTRAINT settlement_chunk_of FOREIGN KEY (provider, file_id) REFERENCES settlement_file ON DELETE CASCADE
);

CREATE TABLE settlement_line (
    position    bigint      NOT NULL GENERATED ALWAYS AS IDENTITY CONSTRAINT settlement_line_once PRIMARY KEY,
    provider    text        NOT NULL,
    file_id     text        NOT NULL,
    -- Where it stands in the file's text, from 1.
    line        integer     NOT NULL,
    kind        text        NOT NULL CONSTRAINT settlement_line_kind CHECK (kind IN (
                    'CAPTURE', 'REFUND', 'REFUND_REVERSAL', 'DISPUTE', 'DISPUTE_REVERSAL', 'FEE')),
    reference   text        NOT NULL,
    payment     text        NOT NULL,
    -- Above zero is ours. Net is what reached the bank.
    gross_minor bigint      NOT NULL,
    fee_minor   bigint      NOT NULL,
    net_minor   bigint      NOT NULL CONSTRAINT settlement_line_net CHECK (net_minor = gross_minor - fee_minor),
    currency    text        NOT NULL CONSTRAINT settlement_line_currency CHECK (currency ~ '^[A-Z]{3}$'),
    occurred_at timestamptz NOT NULL,
    -- What became of it; nothing while it is to be judged.
    outcome     text        CONSTRAINT settlement_line_outcome CHECK (outcome IN (
                    'MATCHED', 'DIFFERENT', 'TAKEN', 'WAITING', 'REJECTED')),
    -- With which file it is judged: its own, or a later one when a person has it wait.
    judged_with text        NOT NULL,
    CONSTRAINT settlement_line_place UNIQUE (provider, file_id, line),
    CONSTRAINT settlement_line_of FOREIGN KEY (provider, file_id) REFERENCES settlement_file ON DELETE CASCADE
);
CREATE INDEX settlement_line_named ON settlement_line (provider, kind, reference, position);
CREATE INDEX settlement_line_unjudged ON settlement_line (provider, judged_with, position) WHERE outcome IS NULL;
CREATE INDEX settlement_line_waiting ON settlement_line (provider) WHERE outcome = 'WAITING';

CREATE TABLE settlement_difference (
    position      bigint      NOT NULL GENERATED ALWAYS AS IDENTITY CONSTRAINT settlement_difference_position PRIMARY KEY,
    difference_id uuid        NOT NULL DEFAULT gen_random_uuid() CONSTRAINT settlement_difference_once UNIQUE,
    provider      text        NOT NULL,
    -- The file that showed it.
    file_id       text        NOT NULL,
    kind          text        NOT NULL CONSTRAINT settlement_difference_kind CHECK (kind IN (
                      'AMOUNT_DIFFERS', 'UNKNOWN_HERE', 'MISSING_THERE', 'DOUBLED')),
    line          bigint      CONSTRAINT settlement_difference_line REFERENCES settlement_line,
    event_id      uuid        CONSTRAINT settlement_difference_event REFERENCES payment_event,
    opened_at     timestamptz NOT NULL DEFAULT now(),
    -- Decided by a person, or found in a line that came later.
    closed        text        CONSTRAINT settlement_difference_closed CHECK (closed IN ('DECIDED', 'FOUND')),
    CONSTRAINT settlement_difference_about CHECK ((kind = 'MISSING_THERE') = (line IS NULL) AND num_nonnulls(line, event_id) > 0)
);
CREATE INDEX settlement_difference_open ON settlement_difference (position) WHERE closed IS NULL;
CREATE INDEX settlement_difference_of_event ON settlement_difference (event_id) WHERE event_id IS NOT NULL;
CREATE UNIQUE INDEX settlement_difference_missing_once ON settlement_difference (event_id)
    WHERE kind = 'MISSING_THERE' AND closed IS NULL;

CREATE TABLE settlement_resolution (
    -- Chosen by the caller: the same id is the same decision.
    resolution_id uuid        NOT NULL CONSTRAINT settlement_resolution_once PRIMARY KEY,
    difference_id uuid        NOT NULL CONSTRAINT settlement_resolution_of REFERENCES settlement_difference (difference_id)
                              CONSTRAINT settlement_resolution_one UNIQUE,
    decision      text        NOT NULL CONSTRAINT settlement_resolution_decision CHECK (decision IN (
                      'TAKE_THEIRS', 'REJECT_LINE', 'WRITE_OFF', 'WAIT')),
    actor         text        NOT NULL CONSTRAINT settlement_resolution_has_actor CHECK (actor <> ''),
    note          text        NOT NULL CONSTRAINT settlement_resolution_has_note CHECK (note <> ''),
    resolved_at   timestamptz NOT NULL DEFAULT now()
);

-- Money that was settled: a line that was paid out, a fact that is owed no longer, or both; and the decision where they differ.
CREATE TABLE settlement_transfer (
    settlement_id    uuid        NOT NULL CONSTRAINT settlement_transfer_once PRIMARY KEY,
    provider         text        NOT NULL,
    line             bigint      CONSTRAINT settlement_transfer_line REFERENCES settlement_line
                                 CONSTRAINT settlement_line_settled_once UNIQUE,
    event_id         uuid        CONSTRAINT settlement_transfer_event REFERENCES payment_event
                                 CONSTRAINT settlement_fact_settled_once UNIQUE,
    resolution_id    uuid        CONSTRAINT settlement_transfer_resolution REFERENCES settlement_resolution
                                 CONSTRAINT settlement_resolution_booked_once UNIQUE,
    currency         text        NOT NULL CONSTRAINT settlement_transfer_currency CHECK (currency ~ '^[A-Z]{3}$'),
    -- Debits of the three accounts, and the credit of provider_receivable that they equal.
    bank_minor       bigint      NOT NULL,
    fee_minor        bigint      NOT NULL,
    difference_minor bigint      NOT NULL,
    receivable_minor bigint      NOT NULL,
    at               timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT settlement_transfer_balanced CHECK (bank_minor + fee_minor + difference_minor = receivable_minor),
    CONSTRAINT settlement_transfer_moves CHECK (num_nonnulls(line, event_id) > 0),
    -- Without a line nothing reached the bank, without a fact nothing was owed, and a difference is a person's to book.
    CONSTRAINT settlement_transfer_paid CHECK (line IS NOT NULL OR (bank_minor = 0 AND fee_minor = 0)),
    CONSTRAINT settlement_transfer_owed CHECK (event_id IS NOT NULL OR receivable_minor = 0),
    CONSTRAINT settlement_transfer_decided CHECK (difference_minor = 0 OR resolution_id IS NOT NULL)
);

-- An entry belongs to one of the two kinds of transfers.
ALTER TABLE ledger_entry
    ALTER COLUMN transfer_id DROP NOT NULL,
    ADD COLUMN settlement_id uuid CONSTRAINT ledger_entry_settlement REFERENCES settlement_transfer,
    ADD CONSTRAINT ledger_entry_of_one CHECK (num_nonnulls(transfer_id, settlement_id) = 1);
CREATE UNIQUE INDEX ledger_entry_settlement_once ON ledger_entry (settlement_id, account, side) WHERE settlement_id IS NOT NULL;

-- What a fact adds to what its provider owes us; nothing when no file tells of its kind.
CREATE FUNCTION settlement_owed(kind text, amount_minor bigint) RETURNS bigint LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN kind IN ('CAPTURED', 'REFUND_REVERSED', 'DISPUTE_CLOSED') THEN amount_minor
                WHEN kind IN ('REFUNDED', 'DISPUTE_OPENED') THEN -amount_minor END
$$;

-- The kind of fact that a line tells of; nothing when it tells of none.
CREATE FUNCTION settlement_fact(line_kind text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE line_kind WHEN 'CAPTURE' THEN 'CAPTURED' WHEN 'REFUND' THEN 'REFUNDED' WHEN 'REFUND_REVERSAL' THEN 'REFUND_REVERSED'
                          WHEN 'DISPUTE' THEN 'DISPUTE_OPENED' WHEN 'DISPUTE_REVERSAL' THEN 'DISPUTE_CLOSED' END
$$;

-- The entries are those that the transfer states, and it states its line's money and its fact's.
CREATE FUNCTION settlement_check_booked(checked uuid) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    stated settlement_transfer;
BEGIN
    SELECT * INTO stated FROM settlement_transfer WHERE settlement_id = checked;
    IF EXISTS (
        SELECT FROM (VALUES ('bank', stated.bank_minor), ('provider_fees', stated.fee_minor),
                            ('settlement_differences', stated.difference_minor),
                            ('provider_receivable', -stated.receivable_minor)) AS said (account, minor)
        FULL JOIN (SELECT account, sum(CASE side WHEN 'DEBIT' THEN amount_minor ELSE -amount_minor END) AS minor
                   FROM ledger_entry WHERE settlement_id = checked GROUP BY account) AS booked USING (account)
        WHERE coalesce(said.minor, 0) <> coalesce(booked.minor, 0)
    ) OR EXISTS (SELECT FROM ledger_entry WHERE settlement_id = checked AND currency <> stated.currency) THEN
        RAISE EXCEPTION 'settlement % is not booked as it is', checked
            USING ERRCODE = 'check_violation', CONSTRAINT = 'settlement_transfer_booked';
    END IF;
    IF stated.line IS NOT NULL AND NOT EXISTS (
        SELECT FROM settlement_line l WHERE l.position = stated.line
        AND (l.provider, l.net_minor, l.fee_minor, l.currency)
            = (stated.provider, stated.bank_minor, stated.fee_minor, stated.currency)
    ) OR stated.event_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM payment_event e JOIN payment_intent i USING (payment_id) WHERE e.event_id = stated.event_id
        AND (e.provider, settlement_owed(e.kind, e.amount_minor), i.currency)
            = (stated.provider, stated.receivable_minor, stated.currency)
    ) OR stated.line IS NOT NULL AND stated.event_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM settlement_line l JOIN payment_event e ON (e.provider_reference, e.kind) = (l.reference, settlement_fact(l.kind))
        WHERE l.position = stated.line AND e.event_id = stated.event_id
    ) OR stated.resolution_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM settlement_resolution r JOIN settlement_difference d USING (difference_id)
        WHERE r.resolution_id = stated.resolution_id AND r.decision IN ('TAKE_THEIRS', 'WRITE_OFF')
          AND d.provider = stated.provider AND d.line IS NOT DISTINCT FROM stated.line
          AND (stated.event_id IS NULL OR d.event_id = stated.event_id)
    ) THEN
        RAISE EXCEPTION 'settlement % is not its line''s, its fact''s or its decision''s', checked
            USING ERRCODE = 'check_violation', CONSTRAINT = 'settlement_transfer_true';
    END IF;
END
$$;
CREATE FUNCTION settlement_require_booked() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM settlement_check_booked(NEW.settlement_id);
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER settlement_transfer_booked AFTER INSERT ON settlement_transfer
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION settlement_require_booked();
-- An entry that comes later is held against the statement as well.
CREATE CONSTRAINT TRIGGER ledger_settlement_booked AFTER INSERT ON ledger_entry DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.settlement_id IS NOT NULL) EXECUTE FUNCTION settlement_require_booked();

-- A decision that moves money is committed with its transfer, the others without any.
CREATE FUNCTION settlement_require_transfer() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.decision IN ('TAKE_THEIRS', 'WRITE_OFF'))
       <> EXISTS (SELECT FROM settlement_transfer WHERE resolution_id = NEW.resolution_id) THEN
        RAISE EXCEPTION 'decision % is not booked as it is', NEW.resolution_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'settlement_resolution_booked';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER settlement_resolution_booked AFTER INSERT ON settlement_resolution
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION settlement_require_transfer();

-- Never changed: transfers, decisions, what a line says, and a file once it is whole.
CREATE TRIGGER settlement_transfer_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON settlement_transfer
    FOR EACH STATEMENT EXECUTE FUNCTION payment_refuse_change();
CREATE TRIGGER settlement_resolution_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON settlement_resolution
    FOR EACH STATEMENT EXECUTE FUNCTION payment_refuse_change();
CREATE TRIGGER settlement_line_immutable BEFORE UPDATE OF provider, file_id, line, kind, reference, payment, gross_minor, fee_minor,
    net_minor, currency, occurred_at OR TRUNCATE ON settlement_line
    FOR EACH STATEMENT EXECUTE FUNCTION payment_refuse_change();
CREATE TRIGGER settlement_line_kept BEFORE DELETE ON settlement_line FOR EACH ROW
    WHEN (OLD.outcome IS NOT NULL) EXECUTE FUNCTION payment_refuse_change();
CREATE TRIGGER settlement_chunk_immutable BEFORE UPDATE OR TRUNCATE ON settlement_chunk
    FOR EACH STATEMENT EXECUTE FUNCTION payment_refuse_change();
CREATE TRIGGER settlement_file_kept BEFORE DELETE ON settlement_file FOR EACH ROW
    WHEN (OLD.state <> 'RECEIVING') EXECUTE FUNCTION payment_refuse_change();
CREATE TRIGGER settlement_difference_kept BEFORE UPDATE ON settlement_difference FOR EACH ROW
    WHEN (OLD.closed IS NOT NULL) EXECUTE FUNCTION payment_refuse_change();
CREATE TRIGGER settlement_difference_immutable BEFORE UPDATE OF position, difference_id, provider, file_id, kind, line, event_id,
    opened_at OR DELETE OR TRUNCATE ON settlement_difference
    FOR EACH STATEMENT EXECUTE FUNCTION payment_refuse_change();

-- They fire for every session, replicas' included.
ALTER TABLE ledger_entry ENABLE ALWAYS TRIGGER ledger_settlement_booked;
ALTER TABLE settlement_transfer ENABLE ALWAYS TRIGGER settlement_transfer_booked;
ALTER TABLE settlement_transfer ENABLE ALWAYS TRIGGER settlement_transfer_immutable;
ALTER TABLE settlement_resolution ENABLE ALWAYS TRIGGER settlement_resolution_booked;
ALTER TABLE settlement_resolution ENABLE ALWAYS TRIGGER settlement_resolution_immutable;
ALTER TABLE settlement_line ENABLE ALWAYS TRIGGER settlement_line_immutable;
ALTER TABLE settlement_line ENABLE ALWAYS TRIGGER settlement_line_kept;
ALTER TABLE settlement_chunk ENABLE ALWAYS TRIGGER settlement_chunk_immutable;
ALTER TABLE settlement_file ENABLE ALWAYS TRIGGER settlement_file_kept;
ALTER TABLE settlement_difference ENABLE ALWAYS TRIGGER settlement_difference_kept;
ALTER TABLE settlement_difference ENABLE ALWAYS TRIGGER settlement_difference_immutable;

-- The facts of a period are looked for in its files. They lie nearly in the order of their time: a summary of each block is enough.
CREATE INDEX payment_event_at ON payment_event USING brin (at);
