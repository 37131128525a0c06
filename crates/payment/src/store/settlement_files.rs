//! Settlement files and their pieces, as they came. A whole one is never changed (the database refuses it).

use futures::TryStreamExt as _;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use time::OffsetDateTime;

use crate::import::{FileState, Import, Imported};

/// What is known of a file.
#[derive(Debug, Clone)]
pub struct File {
    pub digest: Vec<u8>,
    pub chunks: i32,
    pub received: i32,
    /// Lines of text that have come.
    pub text_lines: i32,
    pub state: String,
    pub period_end: OffsetDateTime,
}

/// A whole file that is not matched to its end.
#[derive(Debug, Clone)]
pub struct Pending {
    pub provider: String,
    pub file_id: String,
}

/// Until the transaction ends nobody else settles anything of this provider.
///
/// # Errors
/// The database's.
pub async fn lock(conn: &mut PgConnection, provider: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended('settlement ' || $1, 0))", provider)
        .execute(conn)
        .await?;
    Ok(())
}

/// # Errors
/// The database's.
pub async fn find(conn: &mut PgConnection, provider: &str, file: &str) -> Result<Option<File>, sqlx::Error> {
    sqlx::query_as!(
        File,
        "SELECT digest, chunks, received, text_lines, state, period_end FROM settlement_file
         WHERE provider = $1 AND file_id = $2",
        provider,
        file,
    )
    .fetch_optional(conn)
    .await
}

/// # Errors
/// The database's.
pub async fn insert(conn: &mut PgConnection, import: &Import, actor: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO settlement_file (provider, file_id, digest, chunks, period_start, period_end, actor)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
        import.provider,
        import.file,
        &import.digest[..],
        import.chunks,
        import.period_start,
        import.period_end,
        actor,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Forgets a file that never became whole.
///
/// # Errors
/// The database's; it refuses to forget a whole one.
pub async fn forget(conn: &mut PgConnection, provider: &str, file: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM settlement_file WHERE provider = $1 AND file_id = $2", provider, file)
        .execute(conn)
        .await?;
    Ok(())
}

/// Whether this piece has come with these very bytes.
///
/// # Errors
/// The database's.
pub async fn has_chunk(conn: &mut PgConnection, import: &Import) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM settlement_chunk
           WHERE provider = $1 AND file_id = $2 AND sequence = $3 AND content = $4) AS "has!""#,
        import.provider,
        import.file,
        import.chunk,
        import.content,
    )
    .fetch_one(conn)
    .await
}

/// Keeps the next piece, of so many lines of text; whether the file is whole now.
///
/// # Errors
/// The database's.
pub async fn add_chunk(
    conn: &mut PgConnection,
    import: &Import,
    text_lines: i32,
) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"WITH kept AS (INSERT INTO settlement_chunk (provider, file_id, sequence, content) VALUES ($1, $2, $3, $4))
           UPDATE settlement_file SET received = received + 1, text_lines = text_lines + $5,
                  state = CASE received + 1 WHEN chunks THEN 'MATCHING' ELSE 'RECEIVING' END
           WHERE provider = $1 AND file_id = $2 RETURNING state = 'MATCHING' AS "whole!""#,
        import.provider,
        import.file,
        import.chunk,
        import.content,
        text_lines,
    )
    .fetch_one(conn)
    .await
}

/// SHA-256 of all pieces in order.
///
/// # Errors
/// The database's.
pub async fn digest(conn: &mut PgConnection, provider: &str, file: &str) -> Result<Vec<u8>, sqlx::Error> {
    let mut pieces = sqlx::query_scalar!(
        "SELECT content FROM settlement_chunk WHERE provider = $1 AND file_id = $2 ORDER BY sequence",
        provider,
        file,
    )
    .fetch(conn);
    let mut digest = Sha256::new();
    while let Some(piece) = pieces.try_next().await? {
        digest.update(piece.as_bytes());
    }
    Ok(digest.finalize().to_vec())
}

/// # Errors
/// The database's.
pub async fn done(conn: &mut PgConnection, provider: &str, file: &str) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE settlement_file SET state = 'DONE', done_at = now()
         WHERE provider = $1 AND file_id = $2 AND state = 'MATCHING'",
        provider,
        file,
    )
    .execute(conn)
    .await?;
    Ok(())
}

/// Whole files that are not matched to their end, oldest first.
///
/// # Errors
/// The database's.
pub async fn pending(conn: &mut PgConnection, limit: i64) -> Result<Vec<Pending>, sqlx::Error> {
    sqlx::query_as!(
        Pending,
        "SELECT provider, file_id FROM settlement_file WHERE state = 'MATCHING' ORDER BY begun_at LIMIT $1",
        limit,
    )
    .fetch_all(conn)
    .await
}

/// How far a file has come; None when there is none.
///
/// # Errors
/// The database's.
pub async fn progress(
    conn: &mut PgConnection,
    provider: &str,
    file: &str,
) -> Result<Option<Imported>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT state, received,
                  (SELECT count(*) FROM settlement_line l WHERE (l.provider, l.file_id) = (f.provider, f.file_id)) AS "lines!",
                  (SELECT count(*) FROM settlement_line l
                   WHERE (l.provider, l.file_id) = (f.provider, f.file_id) AND outcome = 'MATCHED') AS "matched!",
                  (SELECT count(*) FROM settlement_difference d WHERE (d.provider, d.file_id) = (f.provider, f.file_id)) AS "differences!"
           FROM settlement_file f WHERE provider = $1 AND file_id = $2"#,
        provider,
        file,
    )
    .fetch_optional(conn)
    .await?;
    row.map(|row| {
        let state = FileState::parse(&row.state).map_err(super::unknown)?;
        let (received, lines, matched) = (row.received, row.lines, row.matched);
        Ok(Imported { state, received, lines, matched, differences: row.differences })
    })
    .transpose()
}
