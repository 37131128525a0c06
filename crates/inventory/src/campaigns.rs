//! Flash campaigns: opening one with units of its own, and reading them.

use stampede_kit::outbox;
use stampede_types::{CampaignId, Pool, SkuId};
use time::OffsetDateTime;

use crate::domain::CellKey;
use crate::domain::campaign::CampaignState;
use crate::error::Error;
use crate::events;
use crate::inventory::Inventory;
use crate::store;
use crate::store::campaigns::{Campaign, Found, Item, Standing};

/// What a page token of this list begins with.
const PAGE: &str = "campaigns:";

impl Inventory {
    /// Opens a campaign with new units of its own. The same content again is the same campaign.
    pub async fn create_campaign(&self, campaign: Campaign) -> Result<Found, Error> {
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        let skus: Vec<SkuId> = campaign.items.iter().map(|item| item.sku.clone()).collect();
        let known = store::skus::read(&mut tx, &skus).await?;
        let unknown = skus.iter().enumerate().find(|(_, sku)| !known.iter().any(|known| known.id == **sku));
        if let Some((at, sku)) = unknown {
            return Err(Error::SkuNotFound {
                sku: sku.clone(),
                field: format!("campaign.items[{at}].sku_id"),
            });
        }
        if !store::campaigns::insert(&mut tx, &campaign).await? {
            let found = store::campaigns::find(&mut tx, &campaign.id).await?;
            let same = found.filter(|found| is_same(found, &campaign));
            return same.ok_or(Error::CampaignExists { campaign: campaign.id });
        }
        let pool = Pool::Campaign(campaign.id.clone());
        let units: Vec<_> = campaign.items.iter().map(|item| (item.sku.clone(), item.units)).collect();
        store::levels::open(&mut tx, &pool, &units).await?;
        let (now, _) = store::levels::stamp(&mut tx, 0).await?;
        outbox::append(&mut tx, &[events::campaign_created(&campaign.id, now)]).await?;
        tx.commit().await?;
        self.ledger.after_commit.wake();
        for sku in skus {
            self.gate.preheat(&CellKey { pool: pool.clone(), sku }).await;
        }
        let standing = |item: Item| Standing { free: item.units, item };
        let items = campaign.items.into_iter().map(standing).collect();
        let window = campaign.window;
        Ok(Found { id: campaign.id, title: campaign.title, window, created: window, now, items })
    }

    pub async fn campaign(&self, id: CampaignId) -> Result<Found, Error> {
        let found = store::campaigns::find(&mut *self.db.acquire().await?, &id).await?;
        found.ok_or(Error::CampaignNotFound { campaign: id, field: "campaign_id".to_owned() })
    }

    /// A page by opening time, and the token of the next one, empty when this is the last.
    pub async fn list_campaigns(
        &self,
        size: usize,
        token: &str,
        state: Option<CampaignState>,
    ) -> Result<(Vec<Found>, String), Error> {
        let after = if token.is_empty() { None } else { Some(parse_token(token)?) };
        let after = after.as_ref().map(|(opens_at, id)| (*opens_at, id.as_str()));
        let limit = i64::try_from(size + 1).unwrap_or(i64::MAX);
        let mut page = store::campaigns::page(&mut *self.db.acquire().await?, after, state, limit).await?;
        let more = page.len() > size;
        page.truncate(size);
        let next = next_token(&page, more);
        Ok((page, next))
    }
}

fn is_same(found: &Found, campaign: &Campaign) -> bool {
    // Postgres keeps microseconds.
    let micros = |at: OffsetDateTime| at.unix_timestamp_nanos().div_euclid(1_000);
    let same_instant = |a, b| micros(a) == micros(b);
    found.title == campaign.title
        && same_instant(found.created.opens_at, campaign.window.opens_at)
        && same_instant(found.created.closes_at, campaign.window.closes_at)
        && found.items.iter().map(|standing| &standing.item).eq(&campaign.items)
}

fn next_token(page: &[Found], more: bool) -> String {
    let last = page.last().filter(|_| more);
    last.map(|c| format!("{PAGE}{}:{}", c.window.opens_at.unix_timestamp_nanos(), c.id)).unwrap_or_default()
}

fn parse_token(token: &str) -> Result<(OffsetDateTime, CampaignId), Error> {
    let parse = || {
        let (nanos, id) = token.strip_prefix(PAGE)?.split_once(':')?;
        let opens_at = OffsetDateTime::from_unix_timestamp_nanos(nanos.parse().ok()?).ok()?;
        // What a campaign's timestamps may be; the years beyond it are none to Postgres.
        (1..=9999).contains(&opens_at.year()).then_some(())?;
        Some((opens_at, id.parse().ok()?))
    };
    parse().ok_or(Error::PageTokenInvalid)
}
