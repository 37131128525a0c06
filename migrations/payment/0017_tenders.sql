-- Several tenders on one payment, all or none: the whole is a row that says what was agreed and where all of it stands; each tender is
-- a payment of its own, its part, with its own attempts, facts, ceilings and books. Money is counted on the parts alone.

ALTER TABLE payment_intent
    DROP CONSTRAINT payment_intent_method,
    ADD CONSTRAINT payment_intent_method
        CHECK (method_kind IN ('CARD', 'ALIPAY', 'WECHAT_PAY', 'STORED_VALUE', 'TENDERS')) NOT VALID,
    -- In the order in which they are asked: [{"amount_minor", "kind", "token"}].
    ADD COLUMN tenders jsonb,
    -- The whole, and which of its tenders this is, from 0.
    ADD COLUMN part_of uuid CONSTRAINT payment_part_of REFERENCES payment_intent,
    ADD COLUMN place integer,
    ADD CONSTRAINT payment_tenders CHECK ((method_kind IS NOT DISTINCT FROM 'TENDERS') = (tenders IS NOT NULL)) NOT VALID,
    ADD CONSTRAINT payment_part_has_place CHECK ((part_of IS NULL) = (place IS NULL) AND (part_of IS NULL OR tenders IS NULL)) NOT VALID,
    ADD CONSTRAINT payment_whole_holds_nothing CHECK (tenders IS NULL OR
        (authorized_minor, capture_pending_minor, captured_minor, voided_minor, refund_pending_minor, refunded_minor) = (0, 0, 0, 0, 0, 0))
        NOT VALID;
ALTER TABLE payment_intent VALIDATE CONSTRAINT payment_intent_method;
ALTER TABLE payment_intent VALIDATE CONSTRAINT payment_tenders;
ALTER TABLE payment_intent VALIDATE CONSTRAINT payment_part_has_place;
ALTER TABLE payment_intent VALIDATE CONSTRAINT payment_whole_holds_nothing;
CREATE UNIQUE INDEX payment_part_once ON payment_intent (part_of, place) WHERE part_of IS NOT NULL;
