//! ImportSettlement: a provider's file, piece by piece. A piece is kept in one transaction, whole or not at all; a file that is whole and is
//! its digest's is matched in many, each of which may be the last for a while: whoever looks next goes on. Nothing is booked before that.

use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::domain::reconcile::{Refusal, Transfer, Verdict, judge, read};
use crate::error::Error;
use crate::metrics;
use crate::payments::Payments;
use crate::store::differences::Found;
use crate::store::settlement_lines::Unjudged;
use crate::store::{differences, settlement_files, settlement_lines, settlements};

/// Lines that are judged, and missing facts that are found, in one transaction.
const BATCH: i64 = 500;
/// How long a call goes on matching; the background does the rest.
const MATCH_WITHIN: Duration = Duration::from_secs(8);
/// How often the background looks for files, and counts what waits.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// Files that are looked at in one round.
const MAX_FILES: i64 = 16;
/// How far a provider's clock may be ahead of ours.
const CLOCKS_APART: Duration = Duration::from_secs(60);
/// A fact is written within this long of its time.
const WRITTEN_WITHIN: Duration = Duration::from_secs(60 * 60);

/// One piece of a file.
#[derive(Debug, Clone)]
pub struct Import {
    pub provider: String,
    pub file: String,
    /// SHA-256 of the whole file.
    pub digest: [u8; 32],
    pub chunks: i32,
    /// Which of them, from 0.
    pub chunk: i32,
    /// What was done before it is in no file; in a provider's first file only.
    pub period_start: Option<OffsetDateTime>,
    /// Everything before it is in this file or an earlier one.
    pub period_end: OffsetDateTime,
    pub content: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileState {
    Receiving,
    Matching,
    Done,
}

/// How far a file has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Imported {
    pub state: FileState,
    /// Pieces that have come.
    pub received: i32,
    pub lines: i64,
    pub matched: i64,
    /// Differences that this file has shown, decided ones too.
    pub differences: i64,
}

#[derive(Debug, thiserror::Error)]
#[error("no state of a settlement file is called {0:?}")]
pub struct UnknownState(String);

/// What came of a batch of lines.
#[derive(Debug, Default)]
struct Judged {
    positions: Vec<i64>,
    outcomes: Vec<String>,
    transfers: Vec<Transfer>,
    found: Vec<Found>,
}

impl Payments {
    /// Takes a piece, and matches the file once it is whole.
    ///
    /// # Errors
    /// No such provider, a piece out of order, another file under this id, a line that cannot be read, or the database does not answer.
    pub async fn import_settlement(&self, import: &Import, actor: &str) -> Result<Imported, Error> {
        self.take_chunk(import, actor).await?;
        let until = Instant::now() + MATCH_WITHIN;
        self.match_file(&import.provider, &import.file, until).await?;
        let mut conn = self.db.acquire().await?;
        let imported = settlement_files::progress(&mut conn, &import.provider, &import.file).await?;
        imported.ok_or(Error::Settling(Refusal::ChunkUnexpected { expected: 0 }))
    }

    /// Keeps a piece; once more is no change.
    ///
    /// # Errors
    /// As above.
    pub async fn take_chunk(&self, import: &Import, actor: &str) -> Result<(), Error> {
        if self.providers.desk(&import.provider).is_none() {
            return Err(Error::NoProvider);
        }
        if import.period_end > self.now() + CLOCKS_APART {
            return Err(Error::Invalid { field: "period_end", rule: "must not be in the future" });
        }
        if import.chunk >= import.chunks {
            return Err(Error::Invalid { field: "chunk", rule: "must be below chunks" });
        }
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        settlement_files::lock(&mut tx, &import.provider).await?;
        let known = settlement_files::find(&mut tx, &import.provider, &import.file).await?;
        let known_chunk = settlement_files::has_chunk(&mut tx, import).await?;
        let before = match known {
            None => None,
            Some(file) => {
                let same = file.digest == import.digest
                    && (file.chunks, file.period_end) == (import.chunks, import.period_end);
                match (same, import.chunk < file.received) {
                    (true, true) if known_chunk => return Ok(()),
                    (true, false) => Some((file.received, file.text_lines)),
                    // Another file, or other bytes: one that never became whole gives way from its beginning on.
                    (true, true) | (false, _) if file.state == RECEIVING && import.chunk == 0 => {
                        settlement_files::forget(&mut tx, &import.provider, &import.file).await?;
                        None
                    }
                    (true, true) | (false, _) => return Err(Refusal::FileConflict.into()),
                }
            }
        };
        let (received, text_lines) = before.unwrap_or_default();
        if import.chunk != received {
            return Err(Refusal::ChunkUnexpected { expected: received.cast_unsigned() }.into());
        }
        if before.is_none() {
            settlement_files::insert(&mut tx, import, actor).await?;
        }
        match self.keep_chunk(&mut tx, import, text_lines).await {
            Ok(()) => Ok(tx.commit().await?),
            Err(error) => {
                tx.rollback().await?;
                if matches!(error, Error::Settling(Refusal::Digest)) {
                    // Nobody can tell which piece is wrong: all of them come again.
                    let mut conn = self.db.acquire().await?;
                    settlement_files::forget(&mut conn, &import.provider, &import.file).await?;
                }
                Err(error)
            }
        }
    }

    async fn keep_chunk(
        &self,
        conn: &mut sqlx::PgConnection,
        import: &Import,
        before: i32,
    ) -> Result<(), Error> {
        let (provider, file) = (&import.provider, &import.file);
        let (lines, text_lines) =
            read::read(&import.content, before.cast_unsigned(), file).map_err(Refusal::from)?;
        settlement_lines::insert(conn, provider, file, &lines).await?;
        if settlement_files::add_chunk(conn, import, text_lines.cast_signed()).await? {
            if settlement_files::digest(conn, provider, file).await? != import.digest {
                return Err(Refusal::Digest.into());
            }
            settlement_lines::look_again(conn, provider, file).await?;
            tracing::info!(provider, file, "a settlement file is whole");
        }
        Ok(())
    }

    /// Matches a whole file to its end, or until then; one that is not whole, or is done, is left alone.
    async fn match_file(&self, provider: &str, file: &str, until: Instant) -> Result<(), Error> {
        while Instant::now() < until {
            let mut tx = stampede_kit::postgres::begin(&self.db).await?;
            settlement_files::lock(&mut tx, provider).await?;
            let known = settlement_files::find(&mut tx, provider, file).await?;
            if known.is_none_or(|known| known.state != MATCHING) {
                return Ok(());
            }
            let lines = settlement_lines::unjudged(&mut tx, provider, file, BATCH).await?;
            let more = if lines.is_empty() {
                differences::open_missing(&mut tx, provider, file, WRITTEN_WITHIN, BATCH).await? > 0
            } else {
                write(&mut tx, provider, file, Judged::of(&lines)).await?;
                true
            };
            if !more {
                settlement_files::done(&mut tx, provider, file).await?;
                tracing::info!(provider, file, "a settlement file is matched");
            }
            tx.commit().await?;
        }
        Ok(())
    }

    /// Goes on with files that nobody matches any more, and counts what waits for a person, until `stop`.
    ///
    /// # Errors
    /// None: the type is that of a background task.
    pub async fn settle_until(&self, stop: CancellationToken) -> anyhow::Result<()> {
        while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
            match self.settle_pending().await {
                Ok(()) => {}
                Err(error) => tracing::warn!(%error, "settlement files could not be matched"),
            }
        }
        Ok(())
    }

    /// One round of that.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn settle_pending(&self) -> Result<(), Error> {
        let mut conn = self.db.acquire().await?;
        let pending = settlement_files::pending(&mut conn, MAX_FILES).await?;
        metrics::settlement_differences(&differences::counts(&mut conn).await?);
        drop(conn);
        for file in pending {
            self.match_file(&file.provider, &file.file_id, Instant::now() + MATCH_WITHIN).await?;
        }
        Ok(())
    }
}

impl Judged {
    /// Lines in their order: what one settles is settled for the next.
    fn of(lines: &[Unjudged]) -> Self {
        let mut judged = Self::default();
        let mut settled = std::collections::HashSet::new();
        for Unjudged { position, line, owed, told_before } in lines {
            let mut owed = owed.clone();
            if let Some(owed) = &mut owed {
                owed.settled |= settled.contains(&owed.event);
            }
            let outcome = match judge(line, owed.as_ref(), *told_before) {
                Verdict::Matched => {
                    settled.extend(owed.as_ref().map(|owed| owed.event));
                    let line = Some((*position, line));
                    judged.transfers.extend(Transfer::new(Uuid::now_v7(), line, owed.as_ref(), None));
                    "MATCHED"
                }
                Verdict::Different(kind) => {
                    let event = owed.map(|owed| owed.event);
                    judged.found.push(Found { kind, line: *position, event });
                    "DIFFERENT"
                }
            };
            judged.positions.push(*position);
            judged.outcomes.push(outcome.to_owned());
        }
        judged
    }
}

async fn write(
    conn: &mut sqlx::PgConnection,
    provider: &str,
    file: &str,
    judged: Judged,
) -> Result<(), sqlx::Error> {
    settlements::append(conn, provider, &judged.transfers).await?;
    let settled = judged.transfers.iter().filter_map(|transfer| transfer.event);
    let events: Vec<Uuid> = settled.chain(judged.found.iter().filter_map(|found| found.event)).collect();
    differences::found_after_all(conn, &events).await?;
    differences::open(conn, provider, file, &judged.found).await?;
    settlement_lines::set_outcomes(conn, &judged.positions, &judged.outcomes).await
}

const RECEIVING: &str = "RECEIVING";
const MATCHING: &str = "MATCHING";
const DONE: &str = "DONE";

impl FileState {
    /// # Errors
    /// The text is no state of this version.
    pub fn parse(text: &str) -> Result<Self, UnknownState> {
        match text {
            RECEIVING => Ok(Self::Receiving),
            MATCHING => Ok(Self::Matching),
            DONE => Ok(Self::Done),
            other => Err(UnknownState(other.to_owned())),
        }
    }
}
