//! The books of a drill, read straight from Postgres and Redis. It only reads, and judges nothing.

use anyhow::{Context as _, bail};
use sqlx::PgPool;
use uuid::Uuid;

use super::sale::{CAMPAIGN, SKUS};
use crate::loadtest::gate::Gate;

/// What the ledger says of one SKU of the sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cell {
    /// Units the campaign put on sale, and what one buyer may have of them.
    pub on_sale: i64,
    pub per_buyer_limit: i64,
    pub level: Level,
    /// The level its movements add up to.
    pub moved: Level,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Level {
    pub on_hand: i64,
    pub held: i64,
    pub committed: i64,
}

impl Level {
    pub fn free(&self) -> i64 {
        self.on_hand - self.held - self.committed
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Pending,
    Committed,
    Released,
    Expired,
}

/// One line of a reservation; `sku` is its place in the sale.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    pub id: Uuid,
    pub buyer: String,
    pub state: State,
    pub sku: usize,
    pub units: i64,
    pub returned: i64,
}

impl Row {
    /// Units it keeps from others.
    pub fn taken(&self) -> i64 {
        match self.state {
            State::Pending | State::Committed => self.units - self.returned,
            State::Released | State::Expired => 0,
        }
    }
}

/// Everything the ledger says of the sale.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Books {
    pub cells: Vec<Cell>,
    pub rows: Vec<Row>,
    /// What each buyer's quota says of each SKU.
    pub quotas: Vec<(usize, String, i64)>,
}

/// Free units of one SKU by both accounts; the gate says nothing of what it has not loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sides {
    pub gate: Option<i64>,
    pub ledger: Level,
}

impl Sides {
    pub fn agree(&self) -> bool {
        self.gate == Some(self.ledger.free()) && self.ledger.held == 0
    }
}

fn place(sku: &str) -> anyhow::Result<usize> {
    SKUS.iter().position(|known| *known == sku).with_context(|| format!("{sku:?} is not in this sale"))
}

fn state(word: &str) -> anyhow::Result<State> {
    Ok(match word {
        "PENDING" => State::Pending,
        "COMMITTED" => State::Committed,
        "RELEASED" => State::Released,
        "EXPIRED" => State::Expired,
        _ => bail!("a reservation has the unknown state {word:?}"),
    })
}

/// Both accounts of every SKU.
pub async fn sides(ledger: &PgPool, gate_url: &str) -> anyhow::Result<Vec<Sides>> {
    let mut gate = Gate::connect(gate_url).await?;
    let mut sides = Vec::with_capacity(SKUS.len());
    for sku in SKUS {
        let gate = gate.free(CAMPAIGN, sku).await?;
        sides.push(Sides { gate, ledger: level(ledger, sku).await? });
    }
    Ok(sides)
}

pub async fn level(ledger: &PgPool, sku: &str) -> anyhow::Result<Level> {
    let (on_hand, held, committed) =
        sqlx::query_as("SELECT on_hand, held, committed FROM stock WHERE pool = $1 AND sku_id = $2")
            .bind(CAMPAIGN)
            .bind(sku)
            .fetch_one(ledger)
            .await
            .context("a level could not be read")?;
    Ok(Level { on_hand, held, committed })
}

pub async fn read(ledger: &PgPool) -> anyhow::Result<Books> {
    let mut cells = Vec::with_capacity(SKUS.len());
    for sku in SKUS {
        cells.push(cell(ledger, sku).await?);
    }
    let lines: Vec<(Uuid, String, String, String, i64, i64)> = sqlx::query_as(
        "SELECT r.reservation_id, r.buyer_id, r.state, l.sku_id, l.quantity, l.returned
         FROM reservation r JOIN reservation_line l USING (reservation_id) WHERE l.pool = $1",
    )
    .bind(CAMPAIGN)
    .fetch_all(ledger)
    .await
    .context("the reservations could not be read")?;
    let rows = lines.into_iter().map(|(id, buyer, word, sku, units, returned)| {
        Ok(Row { id, buyer, state: state(&word)?, sku: place(&sku)?, units, returned })
    });
    let rows = rows.collect::<anyhow::Result<_>>()?;
    let quotas: Vec<(String, String, i64)> =
        sqlx::query_as("SELECT sku_id, buyer_id, used FROM buyer_quota WHERE pool = $1 AND used <> 0")
            .bind(CAMPAIGN)
            .fetch_all(ledger)
            .await
            .context("the quotas could not be read")?;
    let quotas = quotas.into_iter().map(|(sku, buyer, used)| Ok((place(&sku)?, buyer, used)));
    Ok(Books { cells, rows, quotas: quotas.collect::<anyhow::Result<_>>()? })
}

async fn cell(ledger: &PgPool, sku: &str) -> anyhow::Result<Cell> {
    let (on_sale, per_buyer_limit) = sqlx::query_as(
        "SELECT units, per_buyer_limit::bigint FROM campaign_item WHERE campaign_id = $1 AND sku_id = $2",
    )
    .bind(CAMPAIGN)
    .bind(sku)
    .fetch_one(ledger)
    .await
    .context("the campaign's item could not be read")?;
    let (on_hand, held, committed) = sqlx::query_as(
        "SELECT coalesce(sum(on_hand_delta), 0)::bigint, coalesce(sum(held_delta), 0)::bigint,
                coalesce(sum(committed_delta), 0)::bigint
         FROM movement WHERE pool = $1 AND sku_id = $2",
    )
    .bind(CAMPAIGN)
    .bind(sku)
    .fetch_one(ledger)
    .await
    .context("the movements could not be read")?;
    let moved = Level { on_hand, held, committed };
    Ok(Cell { on_sale, per_buyer_limit, level: level(ledger, sku).await?, moved })
}
