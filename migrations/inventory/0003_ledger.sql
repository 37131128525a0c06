-- The ledger: levels, holds, quotas and the movements every level can be rebuilt from. It decides; Redis only admits.

-- Numbers movements. Taken while the level's row is locked, so one level's numbers only grow.
CREATE SEQUENCE movement_sequence;

-- `pool` is a campaign's id, or 'shelf'. Everyone locks these rows first, in the order of their key; the lock covers the
-- buyer quotas and the reservations of the same pool and SKU too.
CREATE TABLE stock (
    pool       text NOT NULL,
    sku_id     text NOT NULL REFERENCES sku,
    on_hand    bigint NOT NULL CONSTRAINT stock_on_hand_bounded CHECK (on_hand BETWEEN 0 AND 1000000000000),
    held       bigint NOT NULL DEFAULT 0 CONSTRAINT stock_held_not_negative CHECK (held >= 0),
    committed  bigint NOT NULL DEFAULT 0 CONSTRAINT stock_committed_not_negative CHECK (committed >= 0),
    -- The last movement that touched this level.
    version    bigint NOT NULL,
    -- The transaction that changed it last: a feed that has seen everything below a horizon reads what is at or above it
    -- and misses nothing, in whatever order transactions commit.
    changed_in xid8 NOT NULL DEFAULT pg_current_xact_id(),
    CONSTRAINT stock_key PRIMARY KEY (pool, sku_id),
    CONSTRAINT stock_never_oversold CHECK (held + committed <= on_hand)
);
CREATE INDEX stock_by_sku ON stock (sku_id);
CREATE INDEX stock_by_change ON stock (changed_in);

CREATE TABLE reservation (
    reservation_id uuid CONSTRAINT reservation_once PRIMARY KEY,
    -- DEDUCTION is born COMMITTED. NONE never held anything: it was released before it arrived, and stays released.
    kind           text NOT NULL CONSTRAINT reservation_kind CHECK (kind IN ('HOLD', 'DEDUCTION', 'NONE')),
    buyer_id       text NOT NULL,
    state          text NOT NULL
        CONSTRAINT reservation_state CHECK (state IN ('PENDING', 'COMMITTED', 'RELEASED', 'EXPIRED')),
    expires_at     timestamptz CONSTRAINT reservation_pending_expires CHECK (state <> 'PENDING' OR expires_at IS NOT NULL),
    created_at     timestamptz NOT NULL,
    resolved_at    timestamptz,
    -- What a deduction answered, for whoever asks again.
    remaining      bigint,
    version        bigint,
    CONSTRAINT reservation_resolved_at CHECK ((state = 'PENDING') = (resolved_at IS NULL))
);
CREATE INDEX reservation_pending ON reservation (expires_at) WHERE state = 'PENDING';

-- Lines of one SKU and pool are summed: this is also what a repeated request is compared with.
CREATE TABLE reservation_line (
    reservation_id uuid NOT NULL REFERENCES reservation,
    pool           text NOT NULL,
    sku_id         text NOT NULL,
    quantity       bigint NOT NULL CONSTRAINT reservation_line_quantity_positive CHECK (quantity > 0),
    returned       bigint NOT NULL DEFAULT 0,
    PRIMARY KEY (reservation_id, pool, sku_id),
    CONSTRAINT reservation_line_returned_at_most_all CHECK (returned BETWEEN 0 AND quantity)
);

-- What one buyer holds and has bought of one SKU in one pool.
CREATE TABLE buyer_quota (
    pool     text NOT NULL,
    sku_id   text NOT NULL,
    buyer_id text NOT NULL,
    used     bigint NOT NULL CONSTRAINT buyer_quota_not_negative CHECK (used >= 0),
    max      bigint NOT NULL,
    PRIMARY KEY (pool, sku_id, buyer_id),
    CONSTRAINT buyer_quota_within_limit CHECK (used <= max)
);

-- Append-only. The sums of the deltas are the levels.
CREATE TABLE movement (
    sequence        bigint PRIMARY KEY,
    pool            text NOT NULL,
    sku_id          text NOT NULL,
    kind            text NOT NULL CONSTRAINT movement_kind CHECK (
        kind IN ('OPEN', 'HOLD', 'COMMIT', 'RELEASE', 'EXPIRE', 'RETURN', 'ADJUST', 'DEDUCT')
    ),
    on_hand_delta   bigint NOT NULL DEFAULT 0,
    held_delta      bigint NOT NULL DEFAULT 0,
    committed_delta bigint NOT NULL DEFAULT 0,
    -- The reservation, deduction, return or adjustment that moved it; none when the level was opened.
    reference       uuid,
    at              timestamptz NOT NULL DEFAULT now()
);

-- Returns and adjustments, once each, with what was asked and what was answered.
CREATE TABLE stock_return (
    return_id      uuid CONSTRAINT stock_return_once PRIMARY KEY,
    reservation_id uuid NOT NULL REFERENCES reservation,
    -- As asked for: [] when everything was.
    asked          jsonb NOT NULL,
    at             timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE stock_adjustment (
    adjustment_id uuid CONSTRAINT stock_adjustment_once PRIMARY KEY,
    pool          text NOT NULL,
    sku_id        text NOT NULL,
    delta         bigint NOT NULL,
    reason        text NOT NULL,
    on_hand       bigint NOT NULL,
    held          bigint NOT NULL,
    committed     bigint NOT NULL,
    version       bigint NOT NULL,
    at            timestamptz NOT NULL DEFAULT now()
);

-- Who this feed is, and the secret its resume tokens are sealed with. One row.
CREATE TABLE feed (
    only_one boolean PRIMARY KEY DEFAULT true CONSTRAINT feed_is_one_row CHECK (only_one),
    feed_id  uuid NOT NULL DEFAULT gen_random_uuid(),
    secret   uuid NOT NULL DEFAULT gen_random_uuid()
);
INSERT INTO feed DEFAULT VALUES;
