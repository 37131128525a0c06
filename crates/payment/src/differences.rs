//! What settlement files and the books do not agree about: listed, and decided by a person. The decision and its entries are one commit.

use sqlx::PgConnection;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::page::{DEFAULT_SIZE, MAX_SIZE};
use crate::domain::reconcile::{Decision, DifferenceKind, Line, Owed, Refusal, decide};
use crate::error::Error;
use crate::payments::Payments;
use crate::store::{differences, settlement_files, settlement_lines, settlements};

/// Something that does not agree and waits for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Later ones are larger.
    pub position: i64,
    pub id: Uuid,
    pub provider: String,
    /// The file that showed it.
    pub file: String,
    pub kind: DifferenceKind,
    pub opened_at: OffsetDateTime,
    /// None when no file has it.
    pub line: Option<Line>,
    /// The line's number in the store, and its file.
    pub line_position: Option<i64>,
    pub line_file: Option<String>,
    /// Our fact, with its payment and the provider's name for it; none when there is none.
    pub owed: Option<Owed>,
    pub payment: Option<Uuid>,
    pub reference: Option<String>,
}

/// A decision; the same id is the same one.
#[derive(Debug, Clone)]
pub struct Decide {
    pub id: Uuid,
    pub difference: Uuid,
    pub decision: Decision,
    pub note: String,
}

impl Payments {
    /// A page of what waits, oldest first, and the token of the next, empty when this is the last; `size` 0 is the usual one.
    ///
    /// # Errors
    /// The token is not of this list, or the database does not answer.
    pub async fn settlement_differences(
        &self,
        size: u32,
        token: &str,
    ) -> Result<(Vec<Difference>, String), Error> {
        let after = match token {
            "" => 0,
            token => token.parse().map_err(|_| Error::PageToken)?,
        };
        let size = if size == 0 { DEFAULT_SIZE } else { size.min(MAX_SIZE) } as usize;
        let mut conn = self.db.acquire().await?;
        // One more than asked for tells whether there is a next page.
        let mut page = differences::list(&mut conn, after, None, size as i64 + 1).await?;
        let more = page.len() > size;
        page.truncate(size);
        let next = match page.last() {
            Some(last) if more => last.position.to_string(),
            Some(_) | None => String::new(),
        };
        Ok((page, next))
    }

    /// # Errors
    /// It does not wait for a decision, the facts do not allow this one, the id was used for another, or the database does not answer.
    pub async fn resolve_difference(&self, command: &Decide, actor: &str) -> Result<(), Error> {
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        if was_decided(&mut tx, command).await? {
            return Ok(());
        }
        let Some(seen) = find(&mut tx, command.difference).await? else {
            return Err(Refusal::NotOpen.into());
        };
        settlement_files::lock(&mut tx, &seen.provider).await?;
        // What was seen before the lock may have been decided or settled meanwhile.
        let Some(open) = find(&mut tx, command.difference).await? else {
            return if was_decided(&mut tx, command).await? { Ok(()) } else { Err(Refusal::NotOpen.into()) };
        };
        let line = open.line_position.zip(open.line.as_ref());
        let what = (open.kind, command.decision);
        let transfer = decide(Uuid::now_v7(), command.id, what, line, open.owed.as_ref())?;
        if !differences::close(&mut tx, command, actor).await? {
            // Another provider's difference was decided under this id in the same moment.
            return Err(Error::ResolutionReused);
        }
        if let Some(transfer) = &transfer {
            settlements::append(&mut tx, &open.provider, std::slice::from_ref(transfer)).await?;
            let settled: Vec<Uuid> = transfer.event.into_iter().collect();
            differences::found_after_all(&mut tx, &settled).await?;
        }
        if let Some((position, outcome)) = open.line_position.zip(command.decision.outcome()) {
            settlement_lines::set_outcomes(&mut tx, &[position], &[outcome.to_owned()]).await?;
        }
        tx.commit().await?;
        let (kind, decision) = (open.kind.as_str(), command.decision.as_str());
        tracing::info!(difference = %command.difference, kind, decision, actor, "a settlement difference was resolved");
        Ok(())
    }
}

async fn find(conn: &mut PgConnection, id: Uuid) -> Result<Option<Difference>, sqlx::Error> {
    Ok(differences::list(conn, 0, Some(id), 1).await?.pop())
}

/// Whether this very decision was made before.
async fn was_decided(conn: &mut PgConnection, command: &Decide) -> Result<bool, Error> {
    match differences::decision(conn, command.id).await? {
        None => Ok(false),
        Some(made) if made == (command.difference, command.decision) => Ok(true),
        Some(_) => Err(Error::ResolutionReused),
    }
}
