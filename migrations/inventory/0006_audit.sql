-- What the reconciler knows and says.

-- One cell's movements in their order: its level is rebuilt, and verified from where it was verified last.
CREATE INDEX movement_of_cell ON movement (pool, sku_id, sequence);

-- A CHECKPOINT stands for the cell's movements up to its number, which were folded into it when they were old: the sums of the
-- deltas are the levels as before.
ALTER TABLE movement
    DROP CONSTRAINT movement_kind,
    ADD CONSTRAINT movement_kind CHECK (
        kind IN ('OPEN', 'HOLD', 'COMMIT', 'RELEASE', 'EXPIRE', 'RETURN', 'ADJUST', 'DEDUCT', 'BACKORDER', 'CHECKPOINT')
    );

-- Up to where the movements of a cell have been added up and were its level; and what no longer has rows of its own.
CREATE TABLE stock_checkpoint (
    pool       text NOT NULL,
    sku_id     text NOT NULL,
    -- The last movement in the sums; 0 when nothing has been verified yet.
    sequence   bigint NOT NULL DEFAULT 0,
    on_hand    bigint NOT NULL DEFAULT 0,
    held       bigint NOT NULL DEFAULT 0,
    committed  bigint NOT NULL DEFAULT 0,
    backorder  bigint NOT NULL DEFAULT 0,
    -- Committed units of reservations that were pruned: sold for good.
    settled    bigint NOT NULL DEFAULT 0 CONSTRAINT stock_checkpoint_settled_not_negative CHECK (settled >= 0),
    CONSTRAINT stock_checkpoint_key PRIMARY KEY (pool, sku_id),
    CONSTRAINT stock_checkpoint_of_stock FOREIGN KEY (pool, sku_id) REFERENCES stock
);

-- One row for each difference that was found: who said what, and what was done.
CREATE TABLE reconciliation (
    reconciliation_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at           timestamptz NOT NULL DEFAULT now(),
    pool         text NOT NULL,
    sku_id       text NOT NULL,
    kind         text NOT NULL CONSTRAINT reconciliation_kind CHECK (
        kind IN ('GATE_UNITS', 'GATE_QUOTA', 'GATE_TOKEN', 'ON_HAND', 'HELD', 'COMMITTED', 'BACKORDER', 'QUOTA')
    ),
    -- The buyer or the token; empty for the cell itself.
    subject      text NOT NULL,
    -- What each side said; null where it has no say.
    gate         bigint,
    ledger       bigint,
    movements    bigint,
    reservations bigint,
    action       text NOT NULL CONSTRAINT reconciliation_action CHECK (
        action IN ('REPORTED', 'RELOADED', 'QUOTA_SET', 'GIVEN_BACK', 'FORGOTTEN', 'NOT_REPAIRED')
    ),
    -- Which process found it: host and process id.
    process      text NOT NULL
);
CREATE INDEX reconciliation_by_age ON reconciliation (at);
CREATE INDEX reconciliation_of_cell ON reconciliation (pool, sku_id, at);
