//! The buyers of a drill, together: the load, the wait for both accounts to agree, the closing sale, and asking again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use sqlx::PgPool;
use stampede_kit::task;
use tokio::time::Instant;

use super::books::{self, Sides};
use super::market::Market;
use super::plan::{CLOSERS, PER_BUYER_LIMIT, Plan, REPEATS};
use super::sale::SKUS;
use super::told::Fate;
use super::{buyers, told};
use crate::generator::pace::Pace;

/// A load that is late, because nothing was sold for a while, may catch up this long.
const LATE_AT_MOST: Duration = Duration::from_secs(20);
/// How long gate and ledger may take to agree once nobody buys.
const SETTLED_WITHIN: Duration = Duration::from_secs(20);
/// And how long nobody asks for anything meanwhile.
const QUIET_FOR: Duration = Duration::from_secs(5);
/// How long buyers go on asking for units the ledger has and nobody sells them.
const ASKED_FOR: Duration = Duration::from_secs(12);
const POLL: Duration = Duration::from_millis(50);

/// Gate and ledger when nobody buys any more.
pub struct Settled {
    pub sides: Vec<Sides>,
    pub took: Duration,
    /// Nobody had to ask for anything.
    pub by_itself: bool,
}

/// Sends every purchase of the plan and waits until each has ended.
pub async fn load(market: Arc<Market>, plan: Plan) -> anyhow::Result<()> {
    let pace = Arc::new(Pace::new(plan.rate_per_s, plan.selling()));
    let until = Instant::now() + plan.selling() + LATE_AT_MOST;
    let worker = || {
        let (market, plan, pace) = (market.clone(), plan.clone(), pace.clone());
        task::spawn("buyer", async move {
            while let Some(due) = pace.next(std::time::Instant::now()) {
                if Instant::now() > until {
                    return;
                }
                tokio::time::sleep_until(due.at.into()).await;
                market.serve(buyers::nth(&plan, due.number)).await;
            }
        })
    };
    for buyer in (0..plan.in_flight).map(|_| worker()).collect::<Vec<_>>() {
        buyer.await.context("a buyer panicked")?;
    }
    market.told().times.end();
    Ok(())
}

/// Waits until gate and ledger agree and nothing is held; what they say then, or when patience has ended. What the gate does
/// not have, or has wrong for a while, is asked for: a cell in doubt is loaded when somebody wants it.
pub async fn settle(market: &Market, ledger: &PgPool, gate_url: &str) -> anyhow::Result<Settled> {
    let began = Instant::now();
    let mut by_itself = true;
    loop {
        let sides = books::sides(ledger, gate_url).await?;
        let took = began.elapsed();
        if sides.iter().all(Sides::agree) || took >= SETTLED_WITHIN {
            return Ok(Settled { sides, took, by_itself });
        }
        let is_late = took >= QUIET_FOR;
        let asked_for = |sides: &Sides| sides.gate.is_none() || (is_late && !sides.agree());
        for sku in (0..sides.len()).filter(|sku| asked_for(&sides[*sku])) {
            by_itself = false;
            market.serve(buyers::newcomer(sku, 1)).await;
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Newcomers buy until the ledger has nothing left, or until nobody has been sold anything for a long while.
pub async fn closing_sale(market: &Arc<Market>, ledger: &PgPool) -> anyhow::Result<()> {
    let over = Arc::new(AtomicBool::new(false));
    let closers: Vec<_> = (0..CLOSERS)
        .map(|n| task::spawn("closer", close(market.clone(), over.clone(), n % SKUS.len())))
        .collect();
    let mut sold = market.told().times.accepted;
    let mut since = Instant::now();
    while since.elapsed() < ASKED_FOR {
        let mut left = 0;
        for sku in SKUS {
            left += books::level(ledger, sku).await?.free();
        }
        if left <= 0 {
            break;
        }
        let now = market.told().times.accepted;
        if now != sold {
            (sold, since) = (now, Instant::now());
        }
        tokio::time::sleep(POLL).await;
    }
    over.store(true, Ordering::Relaxed);
    for closer in closers {
        closer.await.context("a closer panicked")?;
    }
    Ok(())
}

async fn close(market: Arc<Market>, over: Arc<AtomicBool>, sku: usize) {
    let mut units = i64::from(PER_BUYER_LIMIT);
    while !over.load(Ordering::Relaxed) {
        if market.serve(buyers::newcomer(sku, units)).await != Fate::Sold {
            // What is left may be less than a whole basket.
            units = 1;
            tokio::time::sleep(POLL).await;
        }
    }
}

/// Asks again for some of what was sold, the first and the last sales among it, now that nothing is left.
pub async fn ask_again(market: &Market) {
    let sold: Vec<told::Purchase> =
        market.told().purchases.iter().filter(|purchase| purchase.fate == Fate::Sold).cloned().collect();
    let step = sold.len().div_ceil(REPEATS).max(1);
    let last = sold.last().into_iter();
    let chosen = sold.iter().step_by(step).chain(last);
    futures::future::join_all(chosen.map(|purchase| market.repeat(purchase.clone()))).await;
}
