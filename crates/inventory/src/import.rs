//! Importing many SKUs: rows are taken as they arrive, many in a transaction, and the import's row says how far it came. A row
//! is what `CreateSku` is; a bad one is refused alone. Never more than [`ROWS`] are in memory.

use std::collections::{BTreeMap, HashMap};

use futures::{Stream, StreamExt as _};
use sqlx::PgConnection;
use stampede_kit::{outbox, postgres};
use stampede_proto::common::v1::ErrorReason;
use stampede_types::{Pool, SkuId};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::error::Error;
use crate::events;
use crate::inventory::Inventory;
use crate::store::imports::{Progress, Rejected};
use crate::store::{self, skus::NewSku};

/// The most rows of one transaction, which is also the most that wait in memory.
pub const ROWS: usize = 1_000;
/// Refused rows that are told; the others are only counted.
const TOLD: usize = 100;
/// A lost race is over at the second time.
const ATTEMPTS: usize = 3;

/// A row as it came: what it creates, or why it cannot.
#[derive(Debug, Clone)]
pub struct Row {
    /// The caller's number; none for a row whose number is none, or is not above the one before it.
    pub number: Option<i64>,
    /// The caller's number as it is told.
    pub called: i64,
    pub content: Result<NewSku, Flaw>,
}

/// What is wrong with a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flaw {
    pub field: String,
    /// The reason word.
    pub reason: &'static str,
    pub why: String,
}

impl Row {
    /// Rows count up. One that does not is refused: where to go on from would be nobody's guess.
    fn after(mut self, before: &mut i64) -> Self {
        match self.number {
            Some(number) if number > *before => *before = number,
            Some(_) => {
                self.number = None;
                self.content =
                    Err(Flaw::invalid("row", format!("must be above {before}, the row before it")));
            }
            None => {}
        }
        self
    }
}

impl Flaw {
    pub fn invalid(field: impl Into<String>, why: impl Into<String>) -> Self {
        let reason = ErrorReason::InvalidArgument.declared().word;
        Self { field: field.into(), reason, why: why.into() }
    }

    fn of(error: Error) -> Self {
        let reason = error.reason().declared();
        Self { field: String::new(), reason: reason.word, why: reason.en.to_owned() }
    }
}

impl Inventory {
    /// Takes rows until the stream ends; how far the import has come by then. What was taken stays taken when the stream breaks
    /// or `stop` says that the process drains.
    pub async fn import(
        &self,
        id: Uuid,
        rows: impl Stream<Item = Result<Row, tonic::Status>> + Send,
        stop: &CancellationToken,
    ) -> Result<Progress, tonic::Status> {
        // What has arrived is taken, however little: while one transaction commits the next rows gather in the connection.
        let mut batches = std::pin::pin!(rows.ready_chunks(ROWS));
        let mut progress = self.take_rows(id, &[]).await?;
        let begun = progress.last_row;
        let mut before = begun;
        loop {
            let batch = tokio::select! {
                biased;
                () = stop.cancelled() => return Err(Error::Unavailable.into()),
                batch = batches.next() => batch,
            };
            let Some(batch) = batch else { return Ok(progress) };
            let mut broken = None;
            let whole = batch.into_iter().map_while(|row| row.map_err(|status| broken = Some(status)).ok());
            // Rows up to where the import stood were taken before: this is a stream that goes on.
            let news = whole.filter(|row| row.number.is_none_or(|number| number > begun));
            let rows: Vec<Row> = news.map(|row| row.after(&mut before)).collect();
            if !rows.is_empty() {
                progress = self.take_rows(id, &rows).await?;
            }
            if let Some(status) = broken {
                return Err(status);
            }
        }
    }

    pub async fn imported(&self, id: Uuid) -> Result<Progress, Error> {
        let found = store::imports::find(&mut *self.db.acquire().await?, id).await?;
        found.ok_or(Error::ImportNotFound)
    }

    /// A row that the ledger cannot take is refused alone, its neighbours are taken.
    async fn take_rows(&self, id: Uuid, rows: &[Row]) -> Result<Progress, Error> {
        match self.take_together(id, rows).await {
            Err(error) if rows.len() > 1 && is_the_rows_fault(&error) => {
                tracing::warn!(%error, rows = rows.len(), "rows of an import failed and are taken one by one");
                let mut progress = Progress::default();
                for row in rows {
                    progress = self.take_alone(id, row).await?;
                }
                Ok(progress)
            }
            taken => Ok(taken?),
        }
    }

    async fn take_alone(&self, id: Uuid, row: &Row) -> Result<Progress, Error> {
        match self.take_together(id, std::slice::from_ref(row)).await {
            Err(error) if is_the_rows_fault(&error) => {
                tracing::error!(?error, row = row.called, "a row of an import failed");
                let refused = Row { content: Err(Flaw::of(Error::Internal)), ..row.clone() };
                Ok(self.take_together(id, &[refused]).await?)
            }
            taken => Ok(taken?),
        }
    }

    async fn take_together(&self, id: Uuid, rows: &[Row]) -> Result<Progress, sqlx::Error> {
        let mut attempt = 1;
        loop {
            match self.apply(id, rows).await {
                Err(error) if attempt < ATTEMPTS && store::is_race(&error) => attempt += 1,
                applied => return applied,
            }
        }
    }

    async fn apply(&self, id: Uuid, rows: &[Row]) -> Result<Progress, sqlx::Error> {
        let mut tx = store::begin(&self.db).await?;
        let mut progress = store::imports::lock(&mut tx, id).await?;
        let begun = progress.last_row;
        // Another stream of the same import may be ahead of this one.
        let rows: Vec<&Row> =
            rows.iter().filter(|row| row.number.is_none_or(|number| number > begun)).collect();
        if rows.is_empty() {
            tx.commit().await?;
            return Ok(progress);
        }
        let catalogue = create(&mut tx, id, &rows).await?;
        for row in rows {
            match judge(row, &catalogue) {
                Ok(()) => progress.accepted += 1,
                Err(flaw) => {
                    progress.rejected += 1;
                    if progress.rejections.len() < TOLD {
                        let Flaw { field, reason, why } = flaw;
                        progress.rejections.push(Rejected {
                            row: row.called,
                            field,
                            reason: reason.into(),
                            why,
                        });
                    }
                }
            }
            progress.last_row = row.number.map_or(progress.last_row, |number| progress.last_row.max(number));
        }
        store::imports::save(&mut tx, id, &progress).await?;
        tx.commit().await?;
        self.ledger.after_commit.wake();
        Ok(progress)
    }
}

/// Creates what is not there yet; every SKU the rows name as it is now.
async fn create(
    conn: &mut PgConnection,
    id: Uuid,
    rows: &[&Row],
) -> Result<HashMap<SkuId, NewSku>, sqlx::Error> {
    // The first row of a SKU says what it is. In one order, so that two imports wait for each other and never in a circle.
    let mut wanted: BTreeMap<&SkuId, &NewSku> = BTreeMap::new();
    for sku in rows.iter().filter_map(|row| row.content.as_ref().ok()) {
        wanted.entry(&sku.id).or_insert(sku);
    }
    let wanted: Vec<&NewSku> = wanted.into_values().collect();
    let created = store::skus::insert_many(conn, &wanted).await?;
    let (new, old): (Vec<&NewSku>, Vec<&NewSku>) =
        wanted.into_iter().partition(|sku| created.contains_key(&sku.id));
    if !new.is_empty() {
        let units: Vec<(SkuId, i64)> = new.iter().map(|sku| (sku.id.clone(), sku.on_hand)).collect();
        store::levels::open(conn, &Pool::Shelf, &units).await?;
        let now = created.values().copied().max().expect("something was created");
        let ids = new.iter().map(|sku| sku.id.to_string()).collect();
        outbox::append(conn, &[events::skus_imported(id, ids, now)]).await?;
    }
    let old: Vec<SkuId> = old.into_iter().map(|sku| sku.id.clone()).collect();
    let known = store::skus::read(conn, &old).await?.into_iter().map(|sku| {
        let sku = NewSku { id: sku.id, title: sku.title, price: sku.price, on_hand: sku.opened_with };
        (sku.id.clone(), sku)
    });
    Ok(new.into_iter().map(|sku| (sku.id.clone(), sku.clone())).chain(known).collect())
}

fn judge(row: &Row, catalogue: &HashMap<SkuId, NewSku>) -> Result<(), Flaw> {
    let sku = row.content.as_ref().map_err(Clone::clone)?;
    if catalogue.get(&sku.id) == Some(sku) {
        return Ok(());
    }
    Err(Flaw { field: "sku.sku_id".into(), ..Flaw::of(Error::SkuExists { sku: sku.id.clone() }) })
}

/// Not an outage, a blocked row or a race, which pass.
fn is_the_rows_fault(error: &sqlx::Error) -> bool {
    !(postgres::is_outage(error) || store::is_blocked(error) || store::is_race(error))
}
