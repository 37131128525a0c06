-- Pools that sell beyond what is on hand, campaigns that end early, imports that go on where they stopped.

-- A change of how far a pool sells beyond what is on hand is a movement too: the sums of the deltas are the level, whole.
ALTER TABLE movement
    ADD COLUMN backorder_delta bigint NOT NULL DEFAULT 0,
    DROP CONSTRAINT movement_kind,
    ADD CONSTRAINT movement_kind CHECK (
        kind IN ('OPEN', 'HOLD', 'COMMIT', 'RELEASE', 'EXPIRE', 'RETURN', 'ADJUST', 'DEDUCT', 'BACKORDER')
    );

-- A campaign that was closed early: the window is as it became, these are as it was created, which is what a repeated creation
-- is compared with. One that was closed before it opened opens and closes at the same instant.
ALTER TABLE campaign
    ADD COLUMN created_opens_at timestamptz,
    ADD COLUMN created_closes_at timestamptz,
    DROP CONSTRAINT campaign_window,
    ADD CONSTRAINT campaign_window CHECK (opens_at < closes_at OR (created_closes_at IS NOT NULL AND opens_at = closes_at));

-- How far an import has come. Its row is locked by whoever takes the next rows.
CREATE TABLE sku_import (
    import_id  uuid CONSTRAINT sku_import_once PRIMARY KEY,
    accepted   bigint NOT NULL DEFAULT 0,
    rejected   bigint NOT NULL DEFAULT 0,
    -- The first refusals, as [row, field, reason, description].
    rejections jsonb NOT NULL DEFAULT '[]',
    last_row   bigint NOT NULL DEFAULT 0,
    started_at timestamptz NOT NULL DEFAULT now(),
    changed_at timestamptz NOT NULL DEFAULT now()
);
