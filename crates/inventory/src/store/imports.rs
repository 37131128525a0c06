//! How far imports have come.

use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;

/// What has become of an import's rows up to the last one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    pub accepted: i64,
    pub rejected: i64,
    /// The first of them.
    pub rejections: Vec<Rejected>,
    pub last_row: i64,
}

/// A row that was refused, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    pub row: i64,
    pub field: String,
    pub reason: String,
    pub why: String,
}

struct Stored {
    accepted: i64,
    rejected: i64,
    rejections: Value,
    last_row: i64,
}

impl Stored {
    fn parse(self) -> Result<Progress, sqlx::Error> {
        let Self { accepted, rejected, rejections, last_row } = self;
        let told: Vec<(i64, String, String, String)> =
            serde_json::from_value(rejections).map_err(super::broken)?;
        let rejection = |(row, field, reason, why)| Rejected { row, field, reason, why };
        Ok(Progress { accepted, rejected, rejections: told.into_iter().map(rejection).collect(), last_row })
    }
}

/// Where the import stands, locked until the transaction ends; it begins when it was not known.
pub async fn lock(conn: &mut PgConnection, id: Uuid) -> Result<Progress, sqlx::Error> {
    // An update that changes nothing takes the lock and answers the row, made or found.
    let stored = sqlx::query_as!(
        Stored,
        "INSERT INTO sku_import (import_id) VALUES ($1)
         ON CONFLICT (import_id) DO UPDATE SET changed_at = now()
         RETURNING accepted, rejected, rejections, last_row",
        id
    )
    .fetch_one(conn)
    .await?;
    stored.parse()
}

pub async fn find(conn: &mut PgConnection, id: Uuid) -> Result<Option<Progress>, sqlx::Error> {
    let stored = sqlx::query_as!(
        Stored,
        "SELECT accepted, rejected, rejections, last_row FROM sku_import WHERE import_id = $1",
        id
    )
    .fetch_optional(conn)
    .await?;
    stored.map(Stored::parse).transpose()
}

pub async fn save(conn: &mut PgConnection, id: Uuid, progress: &Progress) -> Result<(), sqlx::Error> {
    let told = progress.rejections.iter().map(|r| json!([r.row, r.field, r.reason, r.why])).collect();
    sqlx::query!(
        "UPDATE sku_import SET accepted = $2, rejected = $3, rejections = $4, last_row = $5, changed_at = now()
         WHERE import_id = $1",
        id,
        progress.accepted,
        progress.rejected,
        Value::Array(told),
        progress.last_row
    )
    .execute(conn)
    .await?;
    Ok(())
}
