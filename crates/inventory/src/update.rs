//! Updating a SKU: its title and its price. Stock, campaigns and orders that were placed keep what they have.

use stampede_kit::outbox;
use stampede_types::{Money, SkuId};

use crate::error::Error;
use crate::inventory::Inventory;
use crate::store::skus::Sku;
use crate::{events, store};

/// The new values; none leaves what is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changed {
    pub title: Option<String>,
    pub price: Option<Money>,
}

impl Inventory {
    /// The SKU as it is behind it. The same values again change nothing.
    pub async fn update_sku(&self, id: SkuId, changed: Changed) -> Result<Sku, Error> {
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        let known = store::skus::lock(&mut tx, &id).await?;
        let known = known.ok_or(Error::SkuNotFound { sku: id, field: "sku.sku_id".to_owned() })?;
        let Changed { title, price } = changed;
        let updated = Sku {
            title: title.unwrap_or_else(|| known.title.clone()),
            price: price.unwrap_or(known.price),
            ..known.clone()
        };
        if updated != known {
            let now = store::skus::update(&mut tx, &updated).await?;
            outbox::append(&mut tx, &[events::sku_updated(&updated.id, now)]).await?;
            tx.commit().await?;
            self.ledger.after_commit.wake();
        }
        Ok(updated)
    }
}
