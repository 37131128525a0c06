//! GetCart, SetCartItem and MergeCart. A cart belongs to the subject of the token. A guest has a token too, with the role
//! `guest`: he may keep a cart and buy nothing. When he signs in he names his cart, and whoever knows a guest cart's id, which
//! is random and was told to that guest alone, may take it, once. Carts of buyers cannot be taken by anybody.

use std::sync::Arc;
use std::time::Duration;

use stampede_kit as kit;
use stampede_proto::order::v1::SetCartItemRequest;
use stampede_types::{Pool, Quantity};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::create::buyer;
use crate::domain::cart::{Cart, Item, MAX_ITEMS, Owner, merged};
use crate::error::Error;
use crate::orders::Orders;
use crate::store;
use crate::store::carts::Change;

/// Who may not even this is a guest.
const BUYER: &str = "PERMISSION_ORDER_WRITE";
/// How long a guest's cart is kept after its last change, and what was merged is remembered.
const GUEST_CART_KEPT: Duration = Duration::from_hours(30 * 24);
/// How long a buyer's cart is kept after its last change.
const CART_KEPT: Duration = Duration::from_hours(365 * 24);
/// Carts forgotten by one statement, and the pause between two.
const PRUNED_AT_ONCE: i64 = 500;
const PRUNE_PAUSE: Duration = Duration::from_millis(200);
/// How often it looks for carts to forget.
const PRUNE_EVERY: Duration = Duration::from_mins(10);

impl Orders {
    pub(crate) async fn cart(&self, cx: &kit::Context) -> Result<Cart, Error> {
        Ok(store::carts::of_owner(&self.db, &owner(cx)?).await?)
    }

    pub(crate) async fn set_cart_item(
        &self,
        cx: &kit::Context,
        request: SetCartItemRequest,
    ) -> Result<Cart, Error> {
        let owner = owner(cx)?;
        let item = item(&request)?;
        let (units, expected_version) = (request.quantity, request.expected_version);
        let change = Change { new_id: new_id(), owner: &owner, item: &item, units, expected_version };
        if let Some(cart) = store::carts::set(&self.db, change).await? {
            return Ok(cart);
        }
        let there = store::carts::of_owner(&self.db, &owner).await?;
        match expected_version {
            // The change is there: this is its repetition, whose answer was lost.
            Some(expected) if expected.checked_add(1).is_some_and(|next| there.is(next, &item, units)) => {
                Ok(there)
            }
            Some(expected) if there.version != expected => Err(Error::CartVersion { version: there.version }),
            Some(_) | None => Err(Error::CartFull { limit: MAX_ITEMS }),
        }
    }

    /// Adds a guest's cart to the caller's, in one transaction. The same again changes nothing.
    pub(crate) async fn merge_cart(&self, cx: &kit::Context, guest_cart: &str) -> Result<Cart, Error> {
        let owner = owner(cx)?;
        if owner.guest {
            return Err(Error::GuestsMayNot);
        }
        let id = Uuid::parse_str(guest_cart)
            .map_err(|_| Error::Invalid { field: "guest_cart_id".into(), rule: "must be a UUID" })?;
        let mut tx = kit::postgres::begin(&self.db).await?;
        let guest = store::carts::lock_guest(&mut *tx, id).await?.ok_or(Error::CartNotFound)?;
        match guest.merged_into {
            Some(by) if by == owner.name.as_str() => Ok(store::carts::of_owner(&mut *tx, &owner).await?),
            Some(_) => Err(Error::CartNotFound),
            None => {
                let own = store::carts::lock_own(&mut tx, new_id(), &owner).await?;
                let own_id = own.id.ok_or(Error::Internal)?;
                let both = merged(&own.items, &guest.cart.items);
                let cart = store::carts::replace(&mut *tx, own_id, &both).await?;
                store::carts::consume(&mut *tx, id, &owner).await?;
                tx.commit().await?;
                Ok(cart)
            }
        }
    }
}

/// Forgets old carts, a few at a time, until it is stopped.
///
/// # Errors
/// None: a database that is away is waited for.
pub async fn prune(orders: Arc<Orders>, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        for (guest, kept) in [(true, GUEST_CART_KEPT), (false, CART_KEPT)] {
            while let Ok(pruned) = store::carts::prune(&orders.db, guest, kept, PRUNED_AT_ONCE).await
                && i64::try_from(pruned).is_ok_and(|pruned| pruned == PRUNED_AT_ONCE)
            {
                if stop.run_until_cancelled(tokio::time::sleep(PRUNE_PAUSE)).await.is_none() {
                    return Ok(());
                }
            }
        }
        if stop.run_until_cancelled(tokio::time::sleep(PRUNE_EVERY)).await.is_none() {
            return Ok(());
        }
    }
}

impl Cart {
    fn is(&self, version: i64, item: &Item, units: u32) -> bool {
        self.version == version && self.items.get(item).copied().unwrap_or(0) == units
    }
}

fn owner(cx: &kit::Context) -> Result<Owner, Error> {
    Ok(Owner { name: buyer(cx)?, guest: !cx.caller()?.may(BUYER) })
}

fn item(request: &SetCartItemRequest) -> Result<Item, Error> {
    let invalid = |field: &str, rule| Error::Invalid { field: field.to_owned(), rule };
    let sku = request.sku_id.parse().map_err(|_| invalid("sku_id", "is no SKU's name"))?;
    let pool = Pool::from_campaign_id(&request.campaign_id)
        .map_err(|_| invalid("campaign_id", "is no campaign's name"))?;
    if request.quantity > Quantity::MAX {
        return Err(invalid("quantity", "must be 0 to 1000"));
    }
    Ok(Item { sku, pool })
}

/// 122 random bits: a guest's cart is found by nobody who was not told.
fn new_id() -> Uuid {
    uuid::Builder::from_random_bytes(rand::random()).into_uuid()
}
