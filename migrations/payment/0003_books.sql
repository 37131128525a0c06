-- The books: every movement of money is a transfer of entries whose debits equal its credits, in every currency. The database
-- refuses the commit of anything else, whoever writes it, and no entry ever changes.

CREATE TABLE ledger_account (
    account text NOT NULL CONSTRAINT ledger_account_once PRIMARY KEY,
    normal  text NOT NULL CONSTRAINT ledger_account_normal CHECK (normal IN ('DEBIT', 'CREDIT')),
    purpose text NOT NULL
);
INSERT INTO ledger_account (account, normal, purpose) VALUES
    ('provider_holds',      'DEBIT',  'Held by providers for us and not yet captured'),
    ('buyer_holds',         'CREDIT', 'Held of buyers: the other side of provider_holds'),
    ('provider_receivable', 'DEBIT',  'Captured by providers and owed to us'),
    ('order_funds',         'CREDIT', 'Paid by buyers for orders');

CREATE TABLE ledger_entry (
    entry_id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    -- A transfer is an event's movement of money: the event that moves it.
    transfer_id  uuid   NOT NULL CONSTRAINT ledger_entry_transfer REFERENCES payment_event,
    account      text   NOT NULL CONSTRAINT ledger_entry_account REFERENCES ledger_account,
    side         text   NOT NULL CONSTRAINT ledger_entry_side CHECK (side IN ('DEBIT', 'CREDIT')),
    amount_minor bigint NOT NULL CONSTRAINT ledger_entry_amount CHECK (amount_minor > 0),
    currency     text   NOT NULL CONSTRAINT ledger_entry_currency CHECK (currency ~ '^[A-Z]{3}$'),
    CONSTRAINT ledger_entry_once UNIQUE (transfer_id, account, side, currency)
);

CREATE FUNCTION ledger_require_balance() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM ledger_entry
        WHERE transfer_id = NEW.transfer_id
        GROUP BY currency
        HAVING sum(CASE side WHEN 'DEBIT' THEN amount_minor ELSE -amount_minor END) <> 0
    ) THEN
        RAISE EXCEPTION 'transfer % does not balance', NEW.transfer_id
            USING ERRCODE = 'check_violation', CONSTRAINT = 'ledger_transfer_balanced';
    END IF;
    RETURN NULL;
END
$$;
CREATE CONSTRAINT TRIGGER ledger_transfer_balanced AFTER INSERT ON ledger_entry
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION ledger_require_balance();
CREATE TRIGGER ledger_entry_immutable BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger_entry
    FOR EACH STATEMENT EXECUTE FUNCTION payment_refuse_change();
