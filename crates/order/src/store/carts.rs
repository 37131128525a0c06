//! Carts as rows: one row a cart, one statement a change.

use std::collections::BTreeMap;
use std::time::Duration;

use sqlx::types::Json;
use sqlx::{PgConnection, PgExecutor};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::cart::{Cart, Item, MAX_ITEMS, Owner};

type Items = Json<BTreeMap<String, u32>>;

struct CartRow {
    cart_id: Uuid,
    items: Items,
    version: i64,
    updated_at: OffsetDateTime,
}

/// A guest's cart that is to be merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestCart {
    pub cart: Cart,
    /// Who has taken it.
    pub merged_into: Option<String>,
}

/// One item's new number of units; 0 takes it out. `new_id` is the cart's when there is none yet.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    pub new_id: Uuid,
    pub owner: &'a Owner,
    pub item: &'a Item,
    pub units: u32,
    pub expected_version: Option<i64>,
}

/// The owner's cart; an empty one when nothing was ever put into it.
pub async fn of_owner(executor: impl PgExecutor<'_>, owner: &Owner) -> Result<Cart, sqlx::Error> {
    let row = sqlx::query_as!(
        CartRow,
        r#"SELECT cart_id, items AS "items: Items", version, updated_at FROM cart
           WHERE owner = $1 AND guest = $2 AND merged_into IS NULL"#,
        owner.name.as_str(),
        owner.guest
    )
    .fetch_optional(executor)
    .await?;
    row.map_or_else(|| Ok(Cart::default()), CartRow::into_cart)
}

/// `None` when the cart has another version than the expected one, or no room.
pub async fn set(executor: impl PgExecutor<'_>, change: Change<'_>) -> Result<Option<Cart>, sqlx::Error> {
    let row = sqlx::query_as!(
        CartRow,
        r#"INSERT INTO cart (cart_id, owner, guest, items)
           SELECT $1, $2, $3, CASE WHEN $5::integer = 0 THEN '{}' ELSE jsonb_build_object($4::text, $5::integer) END
           WHERE $6::bigint IS NULL OR $6 = 0
              OR EXISTS (SELECT FROM cart WHERE owner = $2 AND guest = $3 AND merged_into IS NULL)
           ON CONFLICT (owner, guest) WHERE merged_into IS NULL DO UPDATE
             SET items = CASE WHEN $5 = 0 THEN cart.items - $4 ELSE cart.items || jsonb_build_object($4, $5) END,
                 version = cart.version + 1, updated_at = now()
             WHERE ($6 IS NULL OR cart.version = $6)
               AND ($5 = 0 OR jsonb_exists(cart.items, $4)
                    OR (SELECT count(*) FROM jsonb_object_keys(cart.items)) < $7)
           RETURNING cart_id, items AS "items: Items", version, updated_at"#,
        change.new_id,
        change.owner.name.as_str(),
        change.owner.guest,
        change.item.word(),
        i32::try_from(change.units).map_err(super::orders::out_of_range)?,
        change.expected_version,
        i64::try_from(MAX_ITEMS).map_err(super::orders::out_of_range)?
    )
    .fetch_optional(executor)
    .await?;
    row.map(CartRow::into_cart).transpose()
}

/// The guest's cart with this id, whose row is then ours.
pub async fn lock_guest(executor: impl PgExecutor<'_>, cart: Uuid) -> Result<Option<GuestCart>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT cart_id, items AS "items: Items", version, updated_at, merged_into FROM cart
           WHERE cart_id = $1 AND guest FOR UPDATE"#,
        cart
    )
    .fetch_optional(executor)
    .await?;
    row.map(|row| {
        let (cart_id, items, version, updated_at) = (row.cart_id, row.items, row.version, row.updated_at);
        let cart = CartRow { cart_id, items, version, updated_at }.into_cart()?;
        Ok(GuestCart { cart, merged_into: row.merged_into })
    })
    .transpose()
}

/// The owner's cart, made when there is none, whose row is then ours.
pub async fn lock_own(conn: &mut PgConnection, new_id: Uuid, owner: &Owner) -> Result<Cart, sqlx::Error> {
    let row = sqlx::query_as!(
        CartRow,
        r#"INSERT INTO cart (cart_id, owner, guest, items, version) VALUES ($1, $2, $3, '{}', 0)
           ON CONFLICT (owner, guest) WHERE merged_into IS NULL DO UPDATE SET owner = EXCLUDED.owner
           RETURNING cart_id, items AS "items: Items", version, updated_at"#,
        new_id,
        owner.name.as_str(),
        owner.guest
    )
    .fetch_one(conn)
    .await?;
    row.into_cart()
}

/// Writes a cart whose row is ours.
pub async fn replace(
    executor: impl PgExecutor<'_>,
    cart: Uuid,
    items: &BTreeMap<Item, u32>,
) -> Result<Cart, sqlx::Error> {
    let items: Items = Json(items.iter().map(|(item, units)| (item.word(), *units)).collect());
    let row = sqlx::query_as!(
        CartRow,
        r#"UPDATE cart SET items = $2, version = version + 1, updated_at = now() WHERE cart_id = $1
           RETURNING cart_id, items AS "items: Items", version, updated_at"#,
        cart,
        items as Items
    )
    .fetch_one(executor)
    .await?;
    row.into_cart()
}

/// The guest's cart, whose row is ours, is taken by this buyer.
pub async fn consume(executor: impl PgExecutor<'_>, cart: Uuid, by: &Owner) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE cart SET merged_into = $2, items = '{}', updated_at = now() WHERE cart_id = $1",
        cart,
        by.name.as_str()
    )
    .execute(executor)
    .await?;
    Ok(())
}

/// Forgets carts nobody has touched for so long, at most so many; how many.
pub async fn prune(
    executor: impl PgExecutor<'_>,
    guest: bool,
    kept: Duration,
    most: i64,
) -> Result<u64, sqlx::Error> {
    let pruned = sqlx::query!(
        "DELETE FROM cart WHERE cart_id IN (
           SELECT cart_id FROM cart WHERE guest = $1 AND updated_at < now() - make_interval(secs => $2)
           ORDER BY updated_at LIMIT $3 FOR UPDATE SKIP LOCKED)",
        guest,
        kept.as_secs_f64(),
        most
    )
    .execute(executor)
    .await?;
    Ok(pruned.rows_affected())
}

impl CartRow {
    fn into_cart(self) -> Result<Cart, sqlx::Error> {
        let items = self.items.0.into_iter().map(|(word, units)| {
            let item = Item::of_word(&word).map_err(|error| sqlx::Error::Decode(error.into()))?;
            Ok((item, units))
        });
        Ok(Cart {
            id: Some(self.cart_id),
            items: items.collect::<Result<_, sqlx::Error>>()?,
            version: self.version,
            updated_at: Some(self.updated_at),
        })
    }
}
