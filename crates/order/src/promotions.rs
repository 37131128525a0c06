//! Promotions: created, read, and remembered for pricing. Those that apply by themselves are read once a second for the whole
//! process, so an order that none of them is about pays nothing for there being some; those with a coupon are looked up when
//! somebody brings it. What is remembered may be a second old: it prices, and the rows decide when the order is written.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use moka::sync::Cache;
use sqlx::PgPool;
use stampede_kit as kit;
use stampede_types::BuyerId;
use time::OffsetDateTime;
use tokio::sync::{Notify, OnceCell};
use tokio_util::sync::CancellationToken;

use crate::domain::promotion::{Basket, Coupon, Outcome, Promotion, evaluate};
use crate::error::Error;
use crate::store;
use crate::store::promotions::{After, Level};

/// How long what is remembered is believed.
const FRESH: Duration = Duration::from_secs(1);
/// Coupons remembered at once, those that do not exist among them.
const COUPONS: u64 = 50_000;
/// Promotions that apply by themselves and are open or yet to open: each is looked at for each order.
pub const MAX_AUTOMATIC: i64 = 200;
/// Promotions that want the same coupon.
const MAX_OF_COUPONS: i64 = 50;
/// Promotions on a page when the caller does not say.
const DEFAULT_PAGE: u32 = 50;

type Cell = Arc<OnceCell<Vec<Level>>>;

pub struct Promotions {
    db: PgPool,
    clock: kit::clock::Clock,
    automatic: ArcSwap<Vec<Level>>,
    coupons: Cache<Coupon, Cell>,
    stale: Notify,
}

/// One page and where the next begins.
#[derive(Debug)]
pub struct Page {
    pub promotions: Vec<Level>,
    pub next: String,
}

impl Promotions {
    pub fn new(db: PgPool, clock: kit::clock::Clock) -> Self {
        Self {
            db,
            clock,
            automatic: ArcSwap::default(),
            coupons: Cache::builder().max_capacity(COUPONS).time_to_live(FRESH).build(),
            stale: Notify::new(),
        }
    }

    /// Reads again every second, and at once when something was found to be used up.
    ///
    /// # Errors
    /// None: a database that is away is waited for, with what was known before.
    pub async fn keep_fresh(self: Arc<Self>, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            if let Err(error) = self.refresh().await {
                tracing::warn!(%error, "promotions could not be read");
            }
            let next = tokio::time::timeout(FRESH, self.stale.notified());
            if stop.run_until_cancelled(next).await.is_none() {
                return Ok(());
            }
        }
    }

    /// What is remembered turned out to be old.
    pub fn is_stale(&self) {
        self.coupons.invalidate_all();
        self.stale.notify_one();
    }

    pub async fn refresh(&self) -> Result<(), Error> {
        let open = store::promotions::automatic(&self.db, self.clock.now(), MAX_AUTOMATIC).await?;
        self.automatic.store(Arc::new(open));
        Ok(())
    }

    /// Those that may apply to an order with these coupons: no question to the store when there are none.
    pub async fn known(&self, coupons: &[Coupon]) -> Result<Vec<Level>, Error> {
        let mut known: Vec<Level> = Vec::clone(&self.automatic.load());
        for coupon in coupons {
            let cell = self.coupons.get_with_by_ref(coupon, Cell::default);
            let ask = || async {
                store::promotions::by_coupons(&self.db, std::slice::from_ref(coupon), MAX_OF_COUPONS).await
            };
            known.extend(cell.get_or_try_init(ask).await?.iter().cloned());
        }
        Ok(known)
    }

    /// Whether no promotion applies by itself.
    pub fn none_automatic(&self) -> bool {
        self.automatic.load().is_empty()
    }

    /// What the promotions give this buyer. His earlier uses are asked for only of those that would apply and count them.
    pub async fn apply(
        &self,
        buyer: &BuyerId,
        basket: Basket<'_>,
        levels: &[Level],
    ) -> Result<Outcome, Error> {
        let mut used: HashMap<Arc<str>, i64> = HashMap::new();
        loop {
            let candidates: Vec<_> = levels
                .iter()
                .map(|level| level.candidate(used.get(&level.terms.id).copied().unwrap_or(0)))
                .collect();
            let outcome = evaluate(basket, &candidates);
            let unknown: Vec<Arc<str>> = outcome
                .applied
                .iter()
                .filter(|applied| applied.terms.per_buyer_limit.is_some())
                .map(|applied| applied.terms.id.clone())
                .filter(|id| !used.contains_key(id))
                .collect();
            // Each turn asks about at least one promotion that was not asked about before.
            if unknown.is_empty() {
                return Ok(outcome);
            }
            let ids: Vec<String> = unknown.iter().map(ToString::to_string).collect();
            let found = store::uses::of_buyers(&self.db, &ids, &[buyer.to_string()]).await?;
            used.extend(unknown.into_iter().map(|id| {
                let uses = found.get(&(id.to_string(), buyer.to_string())).copied().unwrap_or(0);
                (id, uses)
            }));
        }
    }

    /// Adds a promotion, or finds that it is there with the same terms.
    pub async fn create(&self, terms: Promotion) -> Result<Level, Error> {
        let now = self.clock.now();
        if terms.conditions.coupon.is_none() && terms.closes_at.is_none_or(|closes| closes > now) {
            self.leave_room(&terms, now).await?;
        }
        store::promotions::insert(&self.db, &terms).await?;
        let there = self.get(&terms.id).await?;
        if *there.terms != terms {
            return Err(Error::PromotionExists);
        }
        self.coupons.invalidate_all();
        self.refresh().await?;
        Ok(there)
    }

    async fn leave_room(&self, terms: &Promotion, now: OffsetDateTime) -> Result<(), Error> {
        let open = store::promotions::automatic(&self.db, now, MAX_AUTOMATIC).await?;
        let there = open.iter().any(|level| level.terms.id == terms.id);
        if !there && i64::try_from(open.len()).is_ok_and(|open| open >= MAX_AUTOMATIC) {
            let rule = "must have a coupon: 200 promotions without one are open already";
            return Err(Error::Invalid { field: "promotion.conditions".into(), rule });
        }
        Ok(())
    }

    pub async fn get(&self, id: &str) -> Result<Level, Error> {
        store::promotions::by_id(&self.db, id).await?.ok_or(Error::PromotionNotFound)
    }

    /// Promotions by priority.
    pub async fn list(&self, size: u32, token: &str) -> Result<Page, Error> {
        let after = if token.is_empty() { None } else { Some(after(token).ok_or(Error::PageToken)?) };
        let size = if size == 0 { DEFAULT_PAGE } else { size };
        // One more than asked for tells whether there is a next page.
        let mut promotions = store::promotions::page(&self.db, after.as_ref(), i64::from(size) + 1).await?;
        let more = promotions.len() > size as usize;
        promotions.truncate(size as usize);
        let next = match promotions.last() {
            Some(last) if more => hex::encode(format!("{}/{}", last.terms.priority, last.terms.id)),
            Some(_) | None => String::new(),
        };
        Ok(Page { promotions, next })
    }
}

/// Where the page of this token ended: priority and id. It is no secret and grants nothing.
fn after(token: &str) -> Option<After> {
    let text = String::from_utf8(hex::decode(token).ok()?).ok()?;
    let (priority, id) = text.split_once('/')?;
    let fits = id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| priority.parse().ok())?.map(|priority| After { priority, id: id.to_owned() })
}
