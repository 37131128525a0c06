//! Takes up every saga that nobody is at: begun by a process that died, or waiting for its next try. Several instances share the work
//! through row claims; none of them leads. What asks payment and what asks inventory have places of their own, so that an outage
//! of one leaves the other's work alone.

use std::sync::Arc;
use std::time::Duration;

use stampede_kit as kit;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::saga::Step;
use crate::drive;
use crate::error::Error;
use crate::orders::Orders;
use crate::store;

/// How often it looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Sagas of either kind it drives at once.
const AT_ONCE: usize = 64;
/// The backlog is counted every so many looks.
const COUNT_EVERY: u32 = 25;

/// Runs until it is stopped. A database that is away is waited for.
pub async fn run(orders: Arc<Orders>, stop: CancellationToken) -> anyhow::Result<()> {
    let lanes = [Lane::new(true), Lane::new(false)];
    let mut looks = 0_u32;
    while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        for lane in &lanes {
            if let Err(error) = look(&orders, lane).await {
                tracing::warn!(%error, "the saga runner could not look for work");
            }
        }
        looks = looks.wrapping_add(1);
        if looks.is_multiple_of(COUNT_EVERY)
            && let Ok(backlog) = store::saga::backlog(&orders.db).await
        {
            orders.metrics.saga_open.record(backlog.open, &[]);
            orders.metrics.saga_parked.record(backlog.parked, &[]);
        }
    }
    Ok(())
}

/// Steps that ask the same peer first, and the places they are driven in.
struct Lane {
    steps: Vec<Step>,
    free: Arc<Semaphore>,
}

impl Lane {
    fn new(money: bool) -> Lane {
        let steps = Step::ALL.iter().copied().filter(|step| step.is_about_money() == money);
        Lane { steps: steps.collect(), free: Arc::new(Semaphore::new(AT_ONCE)) }
    }
}

async fn look(orders: &Arc<Orders>, Lane { steps, free }: &Lane) -> Result<(), Error> {
    let most = i64::try_from(free.available_permits()).unwrap_or(i64::MAX);
    if most == 0 {
        return Ok(());
    }
    let claim = Uuid::now_v7();
    for work in store::saga::claim_due(&orders.db, steps, claim, orders.saga_lease, most).await? {
        // Only this loop takes permits, so those counted above are still there.
        let Ok(permit) = free.clone().try_acquire_owned() else { break };
        let driving = drive::drive(orders.clone(), work);
        kit::task::spawn("drive", async move {
            driving.await;
            drop(permit);
        });
    }
    Ok(())
}
