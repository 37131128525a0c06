-- An authorisation may wait for the payer: he has to do something at the provider (3-D Secure), until a moment. It is asked about like every
-- open attempt, at that moment at the latest.

ALTER TABLE payment_attempt
    DROP CONSTRAINT payment_attempt_state,
    ADD CONSTRAINT payment_attempt_state CHECK (state IN ('SENT', 'LOST', 'ACTION', 'SUCCEEDED', 'REFUSED')),
    -- Where, and until when. The address may open the payer's session: it goes with the state.
    ADD COLUMN action_url text,
    ADD COLUMN action_expires_at timestamptz,
    ADD CONSTRAINT payment_attempt_action CHECK (
        (state = 'ACTION') = (action_url IS NOT NULL) AND (action_url IS NULL) = (action_expires_at IS NULL)),
    ADD CONSTRAINT payment_attempt_action_of CHECK (state <> 'ACTION' OR operation = 'AUTHORIZE');
DROP INDEX payment_attempt_open;
CREATE INDEX payment_attempt_open ON payment_attempt (next_ask_at) WHERE state IN ('SENT', 'LOST', 'ACTION');
