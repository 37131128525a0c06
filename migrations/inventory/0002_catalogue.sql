-- What can be sold, and the flash campaigns that sell it.

CREATE TABLE sku (
    sku_id       text PRIMARY KEY,
    title        text NOT NULL,
    amount_minor bigint NOT NULL CONSTRAINT sku_price_not_negative CHECK (amount_minor >= 0),
    currency     text NOT NULL CONSTRAINT sku_currency_is_a_code CHECK (currency ~ '^[A-Z]{3}$'),
    -- What the shelf was opened with: part of the content a repeated creation is compared with.
    opened_with  bigint NOT NULL CONSTRAINT sku_opened_with_not_negative CHECK (opened_with >= 0),
    created_at   timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE campaign (
    campaign_id text PRIMARY KEY CONSTRAINT campaign_is_not_the_shelf CHECK (campaign_id <> 'shelf'),
    title       text NOT NULL,
    opens_at    timestamptz NOT NULL,
    closes_at   timestamptz NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT campaign_window CHECK (opens_at < closes_at)
);
CREATE INDEX campaign_by_opening ON campaign (opens_at, campaign_id);

CREATE TABLE campaign_item (
    campaign_id     text NOT NULL REFERENCES campaign,
    -- The item's place in the campaign as it was created.
    position        integer NOT NULL,
    sku_id          text NOT NULL REFERENCES sku,
    amount_minor    bigint NOT NULL CONSTRAINT campaign_item_price_not_negative CHECK (amount_minor >= 0),
    currency        text NOT NULL,
    units           bigint NOT NULL CONSTRAINT campaign_item_units_positive CHECK (units > 0),
    per_buyer_limit bigint NOT NULL CONSTRAINT campaign_item_limit_positive CHECK (per_buyer_limit > 0),
    PRIMARY KEY (campaign_id, sku_id)
);
