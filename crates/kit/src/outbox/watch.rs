//! What the relay that leads looks after beside publishing: the numbers, and the rows that are old enough to go. It never
//! touches a row that is not published.

use std::time::Duration;

use opentelemetry::metrics::{Counter, Gauge};
use sqlx::PgConnection;
use tokio::time::Instant;

use super::rows;
use crate::{idempotency, inbox, metrics};

/// Rows stay this long, so that a stream that was lost can be filled again; what waits stays longer.
const KEEP: Duration = Duration::from_secs(24 * 3600);
const MEASURE_EVERY: Duration = Duration::from_secs(5);
const PRUNE_EVERY: Duration = Duration::from_secs(60);
/// The inbox and the idempotency keys are kept for days: looking through them is rarer. Some 14 million rows a day can go.
const PRUNE_OTHERS_EVERY: Duration = Duration::from_secs(600);
/// Rows of one pruning statement, and statements of one pruning.
const CHUNK: i64 = 5_000;
const CHUNKS: usize = 20;
const BACKLOG_COUNTED_TO: i64 = 1_000_000;

pub(super) struct Watch {
    backlog: Gauge<i64>,
    oldest: Gauge<i64>,
    pub published: Counter<u64>,
    measured_at: Instant,
    pruned_at: Option<Instant>,
    others_pruned_at: Option<Instant>,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            backlog: metrics::gauge("outbox_backlog", "Events that wait to be published"),
            oldest: metrics::gauge("outbox_oldest_seconds", "Age of the oldest event that waits"),
            published: metrics::counter("outbox_published", "Events that JetStream has acknowledged"),
            measured_at: Instant::now(),
            pruned_at: None,
            others_pruned_at: None,
        }
    }

    /// Whether it measured, which is when the stream is looked at as well.
    pub(super) async fn look_after(&mut self, session: &mut PgConnection) -> Result<bool, sqlx::Error> {
        let measured = self.measured_at.elapsed() >= MEASURE_EVERY;
        if measured {
            self.measure(session).await?;
        }
        if due(&mut self.pruned_at, PRUNE_EVERY) {
            prune(session).await?;
        }
        if due(&mut self.others_pruned_at, PRUNE_OTHERS_EVERY) {
            prune_others(session).await?;
        }
        Ok(measured)
    }

    pub(super) async fn measure(&mut self, session: &mut PgConnection) -> Result<(), sqlx::Error> {
        self.measured_at = Instant::now();
        let backlog = rows::backlog(session, BACKLOG_COUNTED_TO).await?;
        self.backlog.record(backlog.rows, &[]);
        self.oldest.record(backlog.oldest_seconds as i64, &[]);
        Ok(())
    }
}

/// Deletes published rows that are old enough, some chunks at a time; the relay does this, and publishing waits meanwhile.
pub async fn prune(session: &mut PgConnection) -> Result<(), sqlx::Error> {
    let mut after = i64::MIN;
    for _ in 0..CHUNKS {
        let pass = rows::prune_outbox(session, after, KEEP, CHUNK).await?;
        let Some(on) = pass.goes_on_after() else { break };
        after = on;
    }
    Ok(())
}

/// Deletes what the other two tables of the same migration need no more, some chunks at a time: they have nobody else who would.
pub async fn prune_others(session: &mut PgConnection) -> Result<(), sqlx::Error> {
    for _ in 0..CHUNKS {
        if inbox::prune(session).await? + idempotency::prune(session).await? == 0 {
            break;
        }
    }
    Ok(())
}

/// Whether `every` has passed since the last time, which is then now.
fn due(last: &mut Option<Instant>, every: Duration) -> bool {
    let due = last.is_none_or(|at| at.elapsed() >= every);
    if due {
        *last = Some(Instant::now());
    }
    due
}
