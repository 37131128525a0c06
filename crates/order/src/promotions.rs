//! Promotions: created, read, and remembered for pricing. Those that apply by themselves are read once a second for the whole
//! process, so an order that none of them is about pays nothing for there being some; those with a coupon are looked up when
//! somebody brings it. What is remembered may be a second old: it prices, and the rows decide when the order is written.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use moka::sync::Cache;
use sqlx::{PgConnection, PgPool};
use stampede_kit as kit;
use stampede_types::BuyerId;
use time::OffsetDateTime;
use tokio::sync::{Notify, OnceCell};
use tokio_util::sync::CancellationToken;

use crate::domain::promotion::{Basket, Candidate, Coupon, Outcome, Promotion, evaluate};
use crate::error::Error;
use crate::store;
use crate::store::promotions::{After, Level, Uses};

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

/// A promotion as staff see it.
#[derive(Debug)]
pub struct Counted {
    pub level: Level,
    pub uses: Uses,
}

/// One page and where the next begins.
#[derive(Debug)]
pub struct Page {
    pub promotions: Vec<Counted>,
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

    /// What the promotions give this buyer. His earlier uses are asked for, all at once, when one that counts them would apply.
    pub async fn apply(
        &self,
        buyer: &BuyerId,
        basket: Basket<'_>,
        levels: &[Level],
    ) -> Result<Outcome, Error> {
        let outcome = evaluate(basket, &candidates(levels, &HashMap::new()));
        if outcome.applied.iter().all(|applied| applied.terms.per_buyer_limit.is_none()) {
            return Ok(outcome);
        }
        let of_buyers = levels.iter().filter(|level| level.terms.per_buyer_limit.is_some());
        let ids: Vec<String> = of_buyers.map(|level| level.terms.id.to_string()).collect();
        let used = store::uses::of_buyer(&self.db, &ids, buyer.as_str()).await?;
        Ok(evaluate(basket, &candidates(levels, &used)))
    }

    /// Adds a promotion, or finds that it is there with the same terms.
    pub async fn create(&self, terms: Promotion) -> Result<Counted, Error> {
        let now = self.clock.now();
        let mut tx = kit::postgres::begin(&self.db).await?;
        if terms.conditions.coupon.is_none() && terms.closes_at.is_none_or(|closes| closes > now) {
            leave_room(&mut tx, &terms, now).await?;
        }
        store::promotions::insert(&mut *tx, &terms).await?;
        tx.commit().await?;
        let there = self.get(&terms.id).await?;
        if *there.level.terms != terms {
            return Err(Error::PromotionExists);
        }
        self.coupons.invalidate_all();
        self.refresh().await?;
        Ok(there)
    }

    pub async fn get(&self, id: &str) -> Result<Counted, Error> {
        let level = store::promotions::by_id(&self.db, id).await?.ok_or(Error::PromotionNotFound)?;
        self.counted(vec![level]).await?.pop().ok_or(Error::PromotionNotFound)
    }

    async fn counted(&self, levels: Vec<Level>) -> Result<Vec<Counted>, Error> {
        let uses = store::promotions::uses(&self.db, &levels).await?;
        Ok(levels.into_iter().zip(uses).map(|(level, uses)| Counted { level, uses }).collect())
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
        Ok(Page { promotions: self.counted(promotions).await?, next })
    }
}

/// With what is left for a buyer who has used each of them so often.
fn candidates(levels: &[Level], used: &HashMap<String, i64>) -> Vec<Candidate> {
    let used = |level: &Level| used.get(&*level.terms.id).copied().unwrap_or(0);
    levels.iter().map(|level| level.candidate(used(level))).collect()
}

/// Refuses one more that applies by itself when there are as many as may be looked at for each order.
async fn leave_room(conn: &mut PgConnection, terms: &Promotion, now: OffsetDateTime) -> Result<(), Error> {
    store::promotions::lock_automatic(&mut *conn).await?;
    let open = store::promotions::automatic(conn, now, MAX_AUTOMATIC).await?;
    let there = open.iter().any(|level| level.terms.id == terms.id);
    if !there && i64::try_from(open.len()).is_ok_and(|open| open >= MAX_AUTOMATIC) {
        let rule = "must have a coupon: 200 promotions without one are open already";
        return Err(Error::Invalid { field: "promotion.conditions".into(), rule });
    }
    Ok(())
}

/// Where the page of this token ended: priority and id. It is no secret and grants nothing.
fn after(token: &str) -> Option<After> {
    let text = String::from_utf8(hex::decode(token).ok()?).ok()?;
    let (priority, id) = text.split_once('/')?;
    let fits = id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_graphic());
    fits.then(|| priority.parse().ok())?.map(|priority| After { priority, id: id.to_owned() })
}
