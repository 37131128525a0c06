//! The books as Postgres has them when everything has settled. Only read.

use std::collections::BTreeMap;

use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row as _};
use time::OffsetDateTime;
use uuid::Uuid;

use super::record::{Cell, Level, Micros, State, Units, micros};

/// A reservation or a deduction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub kind: String,
    pub buyer: String,
    pub state: State,
    /// As first demanded.
    pub asked: Units,
    /// Held or sold now.
    pub units: Units,
    pub returned: Units,
    pub expires_at: Option<Micros>,
    pub resolved_at: Option<Micros>,
    pub remaining: Option<i64>,
    pub version: Option<i64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    pub sequence: i64,
    /// The transaction it was made in.
    pub transaction: String,
    pub cell: Cell,
    pub on_hand: i64,
    pub held: i64,
    pub committed: i64,
}

#[derive(Debug, Clone, Default)]
pub struct Books {
    pub rows: BTreeMap<Uuid, Row>,
    pub levels: BTreeMap<Cell, Level>,
    /// By sequence.
    pub movements: Vec<Movement>,
    /// Units used, by cell and buyer; zeros are left out.
    pub quotas: BTreeMap<(Cell, String), i64>,
    /// Return id and the reservation it belongs to.
    pub returns: BTreeMap<Uuid, Uuid>,
    pub adjustments: BTreeMap<Uuid, (Cell, i64)>,
}

fn cell(pool: &str, sku: String) -> Cell {
    Cell { campaign: if pool == "shelf" { String::new() } else { pool.to_owned() }, sku }
}

impl Books {
    pub async fn read(db: &PgPool) -> Self {
        let (rows, movements) = (rows(db).await, movements(db).await);
        Self {
            rows,
            movements,
            levels: Self::levels(db).await.into_iter().map(|level| (level.cell.clone(), level)).collect(),
            quotas: quotas(db).await,
            returns: sqlx::query_as("SELECT return_id, reservation_id FROM stock_return")
                .fetch_all(db)
                .await
                .unwrap()
                .into_iter()
                .collect(),
            adjustments: adjustments(db).await,
        }
    }

    /// Every level, by cell.
    pub async fn levels(db: &PgPool) -> Vec<Level> {
        let found = sqlx::query("SELECT pool, sku_id, on_hand, held, committed, version FROM stock");
        let level = |row: PgRow| {
            let cell = cell(row.get("pool"), row.get("sku_id"));
            let (on_hand, held, committed): (i64, i64, i64) =
                (row.get("on_hand"), row.get("held"), row.get("committed"));
            let free = on_hand - held - committed;
            Level { cell, on_hand, held, committed, free, version: row.get("version") }
        };
        let mut levels: Vec<Level> = found.fetch_all(db).await.unwrap().into_iter().map(level).collect();
        levels.sort_by(|a, b| a.cell.cmp(&b.cell));
        levels
    }
}

async fn rows(db: &PgPool) -> BTreeMap<Uuid, Row> {
    let found = sqlx::query(
        "SELECT reservation_id, kind, buyer_id, state, expires_at, resolved_at, remaining, made_by FROM reservation",
    );
    let mut rows = BTreeMap::new();
    for row in found.fetch_all(db).await.unwrap() {
        let at = |name| row.get::<Option<OffsetDateTime>, _>(name).map(micros);
        let made = Row {
            kind: row.get("kind"),
            buyer: row.get("buyer_id"),
            state: State::of_word(row.get("state")).unwrap(),
            asked: Units::new(),
            units: Units::new(),
            returned: Units::new(),
            expires_at: at("expires_at"),
            resolved_at: at("resolved_at"),
            remaining: row.get("remaining"),
            version: row.get("made_by"),
        };
        rows.insert(row.get("reservation_id"), made);
    }
    let lines =
        sqlx::query("SELECT reservation_id, pool, sku_id, asked, quantity, returned FROM reservation_line");
    for line in lines.fetch_all(db).await.unwrap() {
        let row: &mut Row = rows.get_mut(&line.get::<Uuid, _>("reservation_id")).unwrap();
        let cell = cell(line.get("pool"), line.get("sku_id"));
        row.asked.insert(cell.clone(), line.get("asked"));
        row.units.insert(cell.clone(), line.get("quantity"));
        row.returned.insert(cell, line.get("returned"));
    }
    rows
}

async fn movements(db: &PgPool) -> Vec<Movement> {
    let found = sqlx::query(
        "SELECT sequence, changed_in::text AS transaction, pool, sku_id, on_hand_delta, held_delta, committed_delta
         FROM movement ORDER BY sequence",
    );
    let movement = |row: PgRow| Movement {
        sequence: row.get("sequence"),
        transaction: row.get("transaction"),
        cell: cell(row.get("pool"), row.get("sku_id")),
        on_hand: row.get("on_hand_delta"),
        held: row.get("held_delta"),
        committed: row.get("committed_delta"),
    };
    found.fetch_all(db).await.unwrap().into_iter().map(movement).collect()
}

async fn quotas(db: &PgPool) -> BTreeMap<(Cell, String), i64> {
    let found: Vec<(String, String, String, i64)> =
        sqlx::query_as("SELECT pool, sku_id, buyer_id, used FROM buyer_quota WHERE used > 0")
            .fetch_all(db)
            .await
            .unwrap();
    found.into_iter().map(|(pool, sku, buyer, used)| ((cell(&pool, sku), buyer), used)).collect()
}

async fn adjustments(db: &PgPool) -> BTreeMap<Uuid, (Cell, i64)> {
    let found: Vec<(Uuid, String, String, i64)> =
        sqlx::query_as("SELECT adjustment_id, pool, sku_id, delta FROM stock_adjustment")
            .fetch_all(db)
            .await
            .unwrap();
    found.into_iter().map(|(id, pool, sku, delta)| (id, (cell(&pool, sku), delta))).collect()
}
