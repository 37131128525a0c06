//! Admission: one script call for all requests of a pool's bucket that have gathered.

use std::collections::HashMap;
use std::sync::Arc;

use stampede_kit::metrics::KeyValue;
use stampede_types::BuyerId;
use uuid::Uuid;

use super::Shared;
use super::bucket::KEYS;
use super::cells::Cell;
use super::link::Down;
use crate::domain::CellKey;

/// The most lines one script call decides: Lua takes no more than about 8,000 arguments at once.
const MAX_LINES: usize = 2_000;
/// Integers of a reply.
const REPLY: usize = 4;

/// A request's lines in one bucket of a pool, one line a cell.
#[derive(Debug, Clone)]
pub struct Ask {
    pub token: Uuid,
    pub buyer: BuyerId,
    pub bucket: u32,
    /// Into how many buckets all its cells are divided.
    pub layout: u32,
    pub lines: Vec<(Arc<Cell>, i64)>,
}

/// What the script said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    Admitted,
    Already,
    SoldOut,
    BuyerLimit,
    NotOpen,
    Closed,
    NotLoaded,
}

impl Code {
    fn parse(code: i64) -> Option<Self> {
        use Code::{Admitted, Already, BuyerLimit, Closed, NotLoaded, NotOpen, SoldOut};
        let codes = [Admitted, Already, SoldOut, BuyerLimit, NotOpen, Closed, NotLoaded];
        codes.get(usize::try_from(code).ok()?).copied()
    }
}

#[derive(Debug, Clone)]
pub struct Reply {
    pub code: Code,
    /// The cell the code is about.
    pub cell: Arc<Cell>,
    /// The limit that was reached, the layout of a cell that is loaded in another, else the cell's free units.
    pub value: i64,
}

/// Decides a batch: pools apart, each in as few calls as the size allows, all under way together.
pub async fn run(gate: Arc<Shared>, asks: Vec<Ask>) -> Vec<Result<Reply, Down>> {
    let calls = split(&asks);
    let replies = calls.iter().map(|members| call(&gate, &asks, members));
    let replies = futures::future::join_all(replies).await;
    let mut answers: Vec<Result<Reply, Down>> = asks.iter().map(|_| Err(Down)).collect();
    for (members, replies) in calls.iter().zip(replies) {
        for (member, reply) in members.iter().zip(replies.into_iter().flatten()) {
            answers[*member] = Ok(reply);
        }
    }
    answers
}

/// The members of each call: of one bucket of a pool, in their order, at most so many lines.
fn split(asks: &[Ask]) -> Vec<Vec<usize>> {
    let mut calls: Vec<Vec<usize>> = Vec::new();
    let mut open: HashMap<(&str, u32, u32), (usize, usize)> = HashMap::new();
    for (member, ask) in asks.iter().enumerate() {
        let Some((cell, _)) = ask.lines.first() else { continue };
        let place = (cell.key.pool.as_str(), ask.bucket, ask.layout);
        match open.get_mut(&place) {
            Some((call, lines)) if *lines + ask.lines.len() <= MAX_LINES => {
                calls[*call].push(member);
                *lines += ask.lines.len();
            }
            Some(_) | None => {
                open.insert(place, (calls.len(), ask.lines.len()));
                calls.push(vec![member]);
            }
        }
    }
    calls
}

async fn call(gate: &Shared, asks: &[Ask], members: &[usize]) -> Result<Vec<Reply>, Down> {
    let Some(first) = members.first().map(|member| &asks[*member]) else { return Err(Down) };
    let mut places: HashMap<&CellKey, usize> = HashMap::new();
    let mut cells: Vec<&Arc<Cell>> = Vec::new();
    for (cell, _) in members.iter().flat_map(|member| asks[*member].lines.iter()) {
        places.entry(&cell.key).or_insert_with(|| {
            cells.push(cell);
            cells.len()
        });
    }
    let Some(lane) = cells.first().map(|cell| cell.lane) else { return Err(Down) };
    let mut call = gate.scripts.admit.call(cells.len() * KEYS);
    for key in cells.iter().flat_map(|cell| cell.buckets().keys(first.bucket)) {
        call.arg(key);
    }
    call.arg(first.layout);
    for ask in members.iter().map(|member| &asks[*member]) {
        call.arg(ask.token.as_bytes().as_slice()).arg(ask.buyer.as_str()).arg(ask.lines.len());
        for (cell, quantity) in &ask.lines {
            call.arg(places[&cell.key]).arg(*quantity);
        }
    }
    gate.metrics.gate_batch.record(members.len() as f64, &[KeyValue::new("script", "admit")]);
    let reply: Vec<i64> = gate.link.script(lane, &gate.scripts.admit, &call).await?;
    let parsed: Option<Vec<Reply>> =
        reply.chunks_exact(REPLY).map(|reply| parse(reply, &cells, first.layout)).collect();
    parsed.filter(|replies| replies.len() == members.len()).ok_or_else(|| {
        tracing::error!(
            asked = members.len(),
            answered = reply.len() / REPLY,
            "the gate's script answered wrongly"
        );
        Down
    })
}

fn parse(reply: &[i64], cells: &[&Arc<Cell>], layout: u32) -> Option<Reply> {
    let [code, about, value, version] = *reply else { return None };
    let cell = Arc::clone(cells.get(usize::try_from(about - 1).ok()?)?);
    let code = Code::parse(code)?;
    // Below zero when units were taken away that others had been promised.
    let value = value.max(0);
    // One of several buckets that is empty says nothing about the others.
    if code == Code::SoldOut && value == 0 && layout == 1 {
        cell.sold_out(version);
    }
    Some(Reply { code, cell, value })
}

#[cfg(test)]
mod tests {
    use stampede_types::Pool;

    use super::*;
    use crate::gate::{Cells, SoldOut};

    #[test]
    fn a_gate_below_zero_is_sold_out_with_nothing_free() {
        let cell = Cells::new("t".into(), SoldOut::default())
            .meet(&CellKey { pool: Pool::Shelf, sku: "tee".parse().unwrap() });
        let reply = parse(&[Code::SoldOut as i64, 1, -3, 10], &[&cell], 1).unwrap();
        assert_eq!((reply.code, reply.value), (Code::SoldOut, 0));
        assert!(cell.is_sold_out());
    }
}
