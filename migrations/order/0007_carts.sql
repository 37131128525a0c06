-- Carts: one row each, the items as a map, so that a change is one statement on one row.

CREATE TABLE cart (
    -- Random. Whoever knows a guest's may merge it into his own.
    cart_id     uuid NOT NULL CONSTRAINT cart_once PRIMARY KEY,
    -- The subject of the token; a guest and a buyer of the same name are two.
    owner       text NOT NULL,
    guest       boolean NOT NULL,
    -- "SKU/campaign" to units, "SKU/" from the shelf.
    items       jsonb NOT NULL CONSTRAINT cart_items_are_a_map CHECK (jsonb_typeof(items) = 'object'),
    version     bigint NOT NULL DEFAULT 1,
    -- The buyer who took a guest's cart, once; then it is nobody's cart any more.
    merged_into text,
    updated_at  timestamptz NOT NULL DEFAULT now(),
    CONSTRAINT cart_only_guests_merge CHECK (guest OR merged_into IS NULL)
);
CREATE UNIQUE INDEX cart_of_owner ON cart (owner, guest) WHERE merged_into IS NULL;
-- What nobody has touched for long.
CREATE INDEX cart_stale ON cart (guest, updated_at);
