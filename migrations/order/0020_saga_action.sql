-- A payment may wait for its buyer: what he has to do at the provider, and until when. It goes with the step it belongs to.

ALTER TABLE saga
    ADD COLUMN action_url text,
    ADD COLUMN action_expires_at timestamptz,
    ADD CONSTRAINT saga_action_whole CHECK ((action_url IS NULL) = (action_expires_at IS NULL)),
    ADD CONSTRAINT saga_action_of_a_payment CHECK (action_url IS NULL OR step = 'AUTHORIZE');
