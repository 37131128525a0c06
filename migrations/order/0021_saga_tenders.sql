-- An order may be paid by several tenders: what each is worth and its token lie beside the saga, and go with its row.

ALTER TABLE saga
    DROP CONSTRAINT saga_method_kind_known,
    ADD CONSTRAINT saga_method_kind_known CHECK (method_kind IN ('CARD', 'ALIPAY', 'WECHAT_PAY', 'STORED_VALUE', 'TENDERS')),
    -- In the order in which they are asked: [{"kind", "token", "amount_minor", "currency"}].
    ADD COLUMN tenders jsonb,
    ADD CONSTRAINT saga_tenders CHECK ((method_kind IS NOT DISTINCT FROM 'TENDERS') = (tenders IS NOT NULL));
