//! The gate: admits or refuses early, fast and usually right. The ledger decides, so nothing here may be relied on: a gate
//! that is too open costs a refusal later, one that is too closed is opened by the reconciler, one that is gone is passed by.

mod admit;
mod cells;
mod level;
mod link;
mod load;
mod settle;

use std::collections::BTreeMap;
use std::sync::Arc;

use sqlx::PgPool;
use stampede_kit::batch::{Batcher, Limits};
use stampede_kit::task;
use stampede_types::{BuyerId, Pool};
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

pub use admit::Ask;
pub use cells::{Cell, Cells, SoldOut};

use crate::config::GateSettings;
use crate::domain::{CellKey, Denied};
use crate::error::Error;
use crate::metrics::Metrics;
use admit::{Code, Reply};
use link::{Down, Link, Scripts};
use settle::{Settlement, What};

const LIMITS: Limits = Limits { batch: 256, writers: 2, queue: 8_192 };
/// A cell that is lost again right after it was loaded is passed by.
const LOAD_ATTEMPTS: usize = 3;

/// What the gate said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Admission {
    /// Units were put aside for this token now: tell the gate how it ended.
    Fresh,
    /// This token has its units already.
    Already,
    /// Redis is not there: the ledger decides alone.
    Bypassed,
    Refused(Denied),
}

pub(crate) struct Shared {
    link: Link,
    scripts: Scripts,
    db: PgPool,
    metrics: Arc<Metrics>,
}

/// Why a cell was not loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("Redis does not answer")]
    Down,
    #[error(transparent)]
    Ledger(#[from] sqlx::Error),
}

impl From<Down> for Failure {
    fn from(_: Down) -> Self {
        Self::Down
    }
}

#[derive(Clone)]
pub struct Gate {
    shared: Arc<Shared>,
    cells: Arc<Cells>,
    admissions: Batcher<Ask, Result<Reply, Down>>,
    settlements: mpsc::Sender<Settlement>,
}

impl Gate {
    /// Does not wait for Redis.
    pub fn start(
        settings: &GateSettings,
        db: PgPool,
        metrics: Arc<Metrics>,
        sold_out: SoldOut,
    ) -> anyhow::Result<Self> {
        let link = Link::new(&settings.url, settings.cluster)?;
        let shared = Arc::new(Shared { link, scripts: Scripts::default(), db, metrics });
        let (settlements, queue) = mpsc::channel(settle::QUEUE);
        task::spawn("gate-settle", settle::run(shared.clone(), queue));
        let gate = shared.clone();
        let admissions = Batcher::start("gate", LIMITS, move |asks| admit::run(gate.clone(), asks));
        let cells = Arc::new(Cells::new(settings.prefix.clone(), sold_out));
        Ok(Self { shared, cells, admissions, settlements })
    }

    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// Asks for all lines in one pool or none.
    pub async fn admit(&self, ask: &Ask) -> Result<Admission, Error> {
        for _ in 0..LOAD_ATTEMPTS {
            for (cell, _) in ask.lines.iter().filter(|(cell, _)| !self.is_loaded(cell)) {
                match load::load(&self.shared, cell).await {
                    Ok(()) => {}
                    Err(Failure::Down) => return Ok(Admission::Bypassed),
                    Err(Failure::Ledger(error)) => return Err(error.into()),
                }
            }
            let Ok(reply) = self.admissions.submit(ask.clone()).await? else {
                return Ok(Admission::Bypassed);
            };
            let cell = reply.cell.key.clone();
            return Ok(match reply.code {
                Code::Admitted => Admission::Fresh,
                Code::Already => Admission::Already,
                Code::SoldOut => Admission::Refused(Denied::OutOfStock { cell, free: reply.free }),
                // The limit itself is the ledger's to tell; the caller is told the cell.
                Code::BuyerLimit => Admission::Refused(Denied::BuyerLimit { cell, limit: None }),
                Code::NotOpen => Admission::Refused(Denied::NotOpen { cell }),
                Code::Closed => Admission::Refused(Denied::Closed { cell }),
                Code::NotLoaded => {
                    reply.cell.invalidate();
                    continue;
                }
            });
        }
        Ok(Admission::Bypassed)
    }

    /// Loads a cell before anybody asks for it. Without Redis it is loaded when it is used.
    pub async fn preheat(&self, key: &CellKey) {
        if let Err(error) = load::load(&self.shared, &self.cells.meet(key)).await {
            tracing::warn!(%error, pool = key.pool.as_str(), sku = key.sku.as_str(), "a cell was not preheated");
        }
    }

    /// The token's units are sold: it need not be remembered.
    pub fn drop_token(&self, cell: Arc<Cell>, token: Uuid) {
        self.settle(Settlement { cell, what: What::Drop(token), done: None });
    }

    /// The token's units in these cells are free again; waits until the gate knows.
    pub async fn give_back(&self, cells: impl IntoIterator<Item = Arc<Cell>>, token: Uuid) {
        let waiting = cells.into_iter().map(|cell| {
            let (done, known) = oneshot::channel();
            self.settle(Settlement { cell, what: What::Return(token), done: Some(done) });
            known
        });
        // A settlement that was not made has put its cell in doubt instead.
        futures::future::join_all(waiting.collect::<Vec<_>>()).await;
    }

    /// The token keeps so many units in each cell and the rest is free again; waits until the gate knows.
    pub async fn keep(&self, cells: impl IntoIterator<Item = (Arc<Cell>, i64)>, token: Uuid) {
        let waiting = cells.into_iter().map(|(cell, units)| {
            let (done, known) = oneshot::channel();
            self.settle(Settlement { cell, what: What::Keep(token, units), done: Some(done) });
            known
        });
        // A settlement that was not made has put its cell in doubt instead.
        futures::future::join_all(waiting.collect::<Vec<_>>()).await;
    }

    /// So many more units are free, and count no longer for this buyer; waits until the gate knows.
    pub async fn give(&self, cell: Arc<Cell>, buyer: &str, units: i64) {
        let (done, known) = oneshot::channel();
        self.settle(Settlement { cell, what: What::Give(buyer.to_owned(), units), done: Some(done) });
        // A settlement that was not made has put its cell in doubt instead.
        let _ = known.await;
    }

    /// The ledger refused for its stock what the gate had admitted: the gate takes the ledger's level.
    pub async fn take_level(&self, cell: &Arc<Cell>) {
        if let Err(error) = load::level(&self.shared, cell).await {
            tracing::warn!(%error, "a cell's level was not taken from the ledger");
            cell.invalidate();
        }
    }

    /// Free units and version as Redis has them; `None` for cells that are not loaded.
    pub async fn levels(&self, cells: &[Arc<Cell>]) -> Option<Vec<Option<(i64, i64)>>> {
        level::read(&self.shared, cells).await
    }

    /// Which Redis this is, every node of it that takes writes; `None` when one does not answer.
    pub async fn run_id(&self) -> Option<String> {
        self.shared.link.run_id().await
    }

    /// Everything in Redis may be wrong: every cell is loaded before it is used again.
    pub fn doubt(&self) {
        self.shared.link.doubt();
    }

    /// Whether the cell was loaded and nothing has put it in doubt since.
    pub fn is_loaded(&self, cell: &Cell) -> bool {
        cell.is_loaded(self.shared.link.generation(cell.lane))
    }

    fn settle(&self, settlement: Settlement) {
        if let Err(refused) = self.settlements.try_send(settlement) {
            refused.into_inner().cell.invalidate();
        }
    }
}

/// The lines of one request, pool by pool, in the order of the pools.
pub fn asks(token: Uuid, buyer: &BuyerId, lines: &[(Arc<Cell>, i64)]) -> Vec<Ask> {
    let mut pools: BTreeMap<&Pool, Vec<(Arc<Cell>, i64)>> = BTreeMap::new();
    for (cell, quantity) in lines {
        pools.entry(&cell.key.pool).or_default().push((cell.clone(), *quantity));
    }
    pools.into_values().map(|lines| Ask { token, buyer: buyer.clone(), lines: lines.into() }).collect()
}
