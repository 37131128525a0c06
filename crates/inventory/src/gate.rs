//! The gate: admits or refuses early, fast and usually right. The ledger decides, so nothing here may be relied on: a gate
//! that is too open costs a refusal later, one that is too closed is opened by the reconciler, one that is gone is passed by.

mod admit;
mod ask;
mod balance;
mod bucket;
mod cells;
mod inspect;
mod level;
mod link;
mod load;
mod settle;

use std::sync::Arc;

use sqlx::PgPool;
use stampede_kit::batch::{Batcher, Limits};
use stampede_kit::task;
use stampede_types::BuyerId;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

pub use bucket::MAX_BUCKETS;
pub use cells::{Cell, Cells, SoldOut};
pub use inspect::{Place, Put};

use crate::config::GateSettings;
use crate::domain::{CellKey, Denied};
use crate::error::Error;
use crate::metrics::Metrics;
use admit::{Ask, Reply};
use balance::Rule;
use link::{Down, Link, Scripts};
use settle::{Settlement, What};

const LIMITS: Limits = Limits { batch: 256, writers: 2, queue: 8_192 };

/// What the gate said.
#[derive(Debug)]
pub enum Admission {
    /// Units were put aside in these cells now: tell the gate how it ended. None where they were put aside for the token before,
    /// or where Redis is not there and the ledger decides alone.
    Admitted(Vec<Arc<Cell>>),
    Refused(Denied),
}

/// Whose units are settled.
#[derive(Debug, Clone)]
pub struct Party {
    pub token: Uuid,
    pub buyer: BuyerId,
}

pub(crate) struct Shared {
    link: Link,
    scripts: Scripts,
    db: PgPool,
    metrics: Arc<Metrics>,
    rule: Rule,
}

/// Why a cell was not loaded.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("Redis does not answer")]
    Down,
    #[error(transparent)]
    Ledger(#[from] sqlx::Error),
    /// Somebody asked the ledger a moment ago.
    #[error("the ledger does not answer")]
    Unavailable,
    /// The ledger decided faster than its level was carried to Redis: nothing is wrong with either.
    #[error("the ledger decides faster than it is read")]
    Overtaken,
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
        let rule = Rule {
            most: settings.buckets,
            min_stock: settings.buckets_min_stock,
            min_rate: settings.buckets_min_rate,
            is_cluster: link.is_cluster(),
        };
        let shared = Arc::new(Shared { link, scripts: Scripts::default(), db, metrics, rule });
        let (settlements, queue) = mpsc::channel(settle::QUEUE);
        task::spawn("gate-settle", settle::run(shared.clone(), queue));
        let gate = shared.clone();
        let admissions = Batcher::start("gate", LIMITS, move |asks| admit::run(gate.clone(), asks));
        let cells = Arc::new(Cells::new(settings.prefix.clone(), sold_out));
        if rule.is_on() {
            task::spawn("gate-buckets", balance::watch(Arc::downgrade(&shared), Arc::downgrade(&cells)));
        }
        Ok(Self { shared, cells, admissions, settlements })
    }

    pub fn cells(&self) -> &Cells {
        &self.cells
    }

    /// Puts all lines aside for this token or none.
    pub async fn admit(&self, party: &Party, lines: &[(Arc<Cell>, i64)]) -> Result<Admission, Error> {
        let mut aside = Vec::with_capacity(lines.len());
        let refusal = match ask::all(self, party.token, &party.buyer, lines, &mut aside).await {
            Ok(None) => return Ok(Admission::Admitted(aside)),
            Ok(Some(denied)) => Ok(Admission::Refused(denied)),
            Err(error) => Err(error),
        };
        if !aside.is_empty() {
            Box::pin(self.refused(&aside, party)).await;
        }
        refusal
    }

    /// Loads a cell before anybody asks for it. Without Redis it is loaded when it is used.
    pub async fn preheat(&self, key: &CellKey) {
        if let Err(error) = load::load(&self.shared, &self.cells.meet(key)).await {
            tracing::warn!(%error, pool = key.pool.as_str(), sku = key.sku.as_str(), "a cell was not preheated");
        }
    }

    /// The ledger gave the token so many units of this cell by the movement of this number.
    pub fn taken(&self, cell: Arc<Cell>, party: &Party, units: i64, number: i64) {
        self.settle(cell, party.buyer.to_string(), What::Taken { token: party.token, units, number }, None);
    }

    /// The ledger gave the token nothing: what was put aside for it is free again. Waits until the gate knows.
    pub async fn refused(&self, cells: &[Arc<Cell>], party: &Party) {
        self.settled(cells, party, |_| What::Refused { token: party.token }).await;
    }

    /// The same, because the buyer would have got more of one cell than this limit: the gate will know next time.
    pub async fn over(&self, cells: &[Arc<Cell>], party: &Party, over: &CellKey, limit: i64) {
        let token = party.token;
        let what = |cell: &Cell| match cell.key == *over {
            true => What::Over { token, limit },
            false => What::Refused { token },
        };
        self.settled(cells, party, what).await;
    }

    /// Nobody knows what the ledger did: its word is read before the cells are used again.
    pub async fn unknown(&self, cells: &[Arc<Cell>], party: &Party) {
        self.settled(cells, party, |_| What::Unknown { token: party.token }).await;
        cells.iter().for_each(|cell| cell.invalidate());
    }

    /// The movement of this number made so many units more free, or less, and they no longer count for the buyer; nobody's have
    /// none. Waits until the gate knows.
    pub async fn moved(&self, cell: Arc<Cell>, buyer: Option<&BuyerId>, units: i64, number: i64) {
        let (done, known) = oneshot::channel();
        let buyer = buyer.map(ToString::to_string).unwrap_or_default();
        self.settle(cell, buyer, What::Moved { units, number }, Some(done));
        // A settlement that was not made has put its cell in doubt instead.
        let _ = known.await;
    }

    /// The ledger refused for its stock what the gate had admitted: the gate takes the ledger's level.
    pub async fn take_level(&self, cell: &Arc<Cell>) {
        match load::level(&self.shared, cell).await {
            // The cell hears of the ledger's decisions all the time: of this one too.
            Ok(()) | Err(Failure::Overtaken) => {}
            Err(error @ (Failure::Down | Failure::Ledger(_) | Failure::Unavailable)) => {
                tracing::warn!(%error, "a cell's level was not taken from the ledger");
                cell.invalidate();
            }
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

    async fn settled(&self, cells: &[Arc<Cell>], party: &Party, what: impl Fn(&Cell) -> What) {
        let waiting = cells.iter().map(|cell| {
            let (done, known) = oneshot::channel();
            self.settle(cell.clone(), party.buyer.to_string(), what(cell), Some(done));
            known
        });
        // A settlement that was not made has put its cell in doubt instead.
        futures::future::join_all(waiting.collect::<Vec<_>>()).await;
    }

    fn settle(&self, cell: Arc<Cell>, buyer: String, what: What, done: Option<oneshot::Sender<()>>) {
        if let Err(refused) = self.settlements.try_send(Settlement { cell, buyer, what, done }) {
            refused.into_inner().cell.invalidate();
        }
    }
}
