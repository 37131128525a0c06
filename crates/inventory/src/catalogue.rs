//! SKUs: creating them with their shelf stock, and reading them.

use stampede_kit::outbox;
use stampede_types::{Money, Pool, SkuId};

use crate::domain::{CellKey, Level};
use crate::error::Error;
use crate::events;
use crate::inventory::Inventory;
use crate::store::{self, skus::Sku};

/// What a page token of this list begins with.
const PAGE: &str = "skus:";

impl Inventory {
    /// Adds a SKU with its shelf stock. The same content again is the same SKU.
    pub async fn create_sku(
        &self,
        id: SkuId,
        title: String,
        price: Money,
        on_hand: i64,
    ) -> Result<Sku, Error> {
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        let Some(created_at) = store::skus::insert(&mut tx, &id, &title, price, on_hand).await? else {
            let known = store::skus::read(&mut tx, std::slice::from_ref(&id)).await?.pop();
            let same = |sku: &Sku| sku.title == title && sku.price == price && sku.opened_with == on_hand;
            return known.filter(same).ok_or(Error::SkuExists { sku: id });
        };
        store::levels::open(&mut tx, &Pool::Shelf, &[(id.clone(), on_hand)]).await?;
        outbox::append(&mut tx, &[events::sku_created(&id, created_at)]).await?;
        tx.commit().await?;
        self.ledger.after_commit.wake();
        Ok(Sku { id, title, price, opened_with: on_hand, created_at })
    }

    pub async fn sku(&self, id: SkuId) -> Result<Sku, Error> {
        let mut conn = self.db.acquire().await?;
        let found = store::skus::read(&mut conn, std::slice::from_ref(&id)).await?.pop();
        found.ok_or(Error::SkuNotFound { sku: id, field: "sku_id".to_owned() })
    }

    /// Unknown ones are left out.
    pub async fn skus(&self, ids: &[SkuId]) -> Result<Vec<Sku>, Error> {
        Ok(store::skus::read(&mut *self.db.acquire().await?, ids).await?)
    }

    /// A page by id, and the token of the next one, empty when this is the last.
    pub async fn list_skus(&self, size: usize, token: &str) -> Result<(Vec<Sku>, String), Error> {
        let after = match token {
            "" => "",
            token => token.strip_prefix(PAGE).ok_or(Error::PageTokenInvalid)?,
        };
        if !token.is_empty() && after.parse::<SkuId>().is_err() {
            return Err(Error::PageTokenInvalid);
        }
        let limit = i64::try_from(size + 1).unwrap_or(i64::MAX);
        let mut page = store::skus::page(&mut *self.db.acquire().await?, after, limit).await?;
        let more = page.len() > size;
        page.truncate(size);
        let next = page.last().filter(|_| more).map(|sku| format!("{PAGE}{}", sku.id)).unwrap_or_default();
        Ok((page, next))
    }

    /// The levels of one SKU in every pool.
    pub async fn stock(&self, sku: SkuId) -> Result<Vec<(CellKey, Level)>, Error> {
        let levels = store::levels::of_sku(&mut *self.db.acquire().await?, &sku).await?;
        // Every SKU has a shelf level, so one without any does not exist.
        if levels.is_empty() {
            Err(Error::SkuNotFound { sku, field: "sku_id".to_owned() })
        } else {
            Ok(levels)
        }
    }
}
