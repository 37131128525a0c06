//! The end of a delivered order: a period after its delivery, when no return of it is open, nothing more can be sent back. A
//! bounded number at a time, by any process; none of them leads.

use std::sync::Arc;
use std::time::Duration;

use stampede_kit as kit;
use tokio_util::sync::CancellationToken;

use crate::domain::state::{Event, OrderState};
use crate::error::Error;
use crate::events;
use crate::orders::Orders;
use crate::store;

/// How often it looks when there was less to do than fits.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Orders of one transaction.
const AT_ONCE: usize = 200;

/// Runs until it is stopped. A database that is away is waited for.
pub async fn run(orders: Arc<Orders>, stop: CancellationToken) -> anyhow::Result<()> {
    let mut rest = Duration::ZERO;
    while stop.run_until_cancelled(tokio::time::sleep(rest)).await.is_some() {
        rest = match orders.complete_some().await {
            Ok(AT_ONCE) => Duration::ZERO,
            Ok(_) => LOOK_EVERY,
            Err(error) => {
                tracing::warn!(%error, "delivered orders could not be completed");
                LOOK_EVERY
            }
        };
    }
    Ok(())
}

impl Orders {
    /// Completes orders whose period has passed; how many.
    async fn complete_some(&self) -> Result<usize, Error> {
        let next = OrderState::Delivered.on(Event::PeriodEnded)?;
        let mut tx = kit::postgres::begin(&self.db).await?;
        let most = i64::try_from(AT_ONCE).unwrap_or(i64::MAX);
        let completed = store::complete::complete(&mut tx, next, self.return_period, most).await?;
        if completed.is_empty() {
            return Ok(0);
        }
        let now = self.clock.now();
        let told: Vec<_> = completed.iter().map(|(id, _)| events::completed(*id, now)).collect();
        kit::outbox::append(&mut tx, &told).await?;
        tx.commit().await?;
        self.wake.wake();
        for (id, version) in &completed {
            self.watching.changed(*id, *version);
            self.metrics.reached(next);
        }
        Ok(completed.len())
    }
}
