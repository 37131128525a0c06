-- Money that cannot be captured is let go before the stock goes back.

ALTER TABLE saga
    DROP CONSTRAINT saga_step_known,
    ADD CONSTRAINT saga_step_known CHECK (step IN (
        'AUTHORIZE', 'COMMIT', 'CAPTURE', 'VOID_EXPIRED', 'VOID_CANCELLED', 'VOID_RETURN', 'RELEASE_EXPIRED',
        'RELEASE_CANCELLED', 'REFUND', 'RETURN'));
