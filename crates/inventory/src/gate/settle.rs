//! Settling: what became of units at the ledger, told to Redis, many at once. Each decision of the ledger carries its number, so
//! that the script counts it once, in whatever order decisions and loads arrive.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::bucket::KEYS;
use super::cells::Cell;
use super::{Shared, bucket};

/// Settlements that may wait. One more makes its cell be loaded again instead.
pub const QUEUE: usize = 65_536;
/// Settlements of one script call.
const AT_ONCE: usize = 500;
/// How often a settlement follows a cell whose buckets changed meanwhile.
const FOLLOWS: usize = 3;

#[derive(Debug, Clone, Copy)]
pub enum What {
    /// The ledger gave so many units to the token by the movement of this number.
    Taken { token: Uuid, units: i64, number: i64 },
    /// The ledger gave the token nothing.
    Refused { token: Uuid },
    /// The same, because of this limit.
    Over { token: Uuid, limit: i64 },
    /// Nobody knows what the ledger did. The cell is loaded before it is used again.
    Unknown { token: Uuid },
    /// So many units more are free, or less, and no longer count for the buyer, by the movement of this number.
    Moved { units: i64, number: i64 },
}

#[derive(Debug)]
pub struct Settlement {
    pub cell: Arc<Cell>,
    /// Nobody's is empty.
    pub buyer: String,
    pub what: What,
    /// Told when it is done.
    pub done: Option<oneshot::Sender<()>>,
}

/// Ends when the gate is gone.
pub async fn run(gate: Arc<Shared>, mut queue: mpsc::Receiver<Settlement>) {
    let mut taken = Vec::with_capacity(AT_ONCE);
    while queue.recv_many(&mut taken, AT_ONCE).await > 0 {
        let mut rest: Vec<&Settlement> = taken.iter().collect();
        for _ in 0..FOLLOWS {
            rest = round(&gate, rest).await;
            if rest.is_empty() {
                break;
            }
        }
        // Its buckets change faster than they can be told: what is not counted is loaded.
        rest.iter().for_each(|settlement| settlement.cell.invalidate());
        for settlement in taken.drain(..) {
            if let Some(done) = settlement.done {
                // Whoever asked may have stopped waiting.
                let _ = done.send(());
            }
        }
    }
}

type Place<'a> = (&'a str, u32, u32);

/// One call a bucket; what has to be told again because its cell is divided otherwise.
async fn round<'a>(gate: &Shared, settlements: Vec<&'a Settlement>) -> Vec<&'a Settlement> {
    let mut places: HashMap<Place<'a>, Vec<&'a Settlement>> = HashMap::new();
    for settlement in settlements {
        let layout = settlement.cell.buckets().layout();
        let place = (settlement.cell.key.pool.as_str(), bucket::of_buyer(&settlement.buyer, layout), layout);
        places.entry(place).or_default().push(settlement);
    }
    let calls = places.into_iter().map(|((_, bucket, layout), members)| call(gate, bucket, layout, members));
    futures::future::join_all(calls).await.concat()
}

/// When Redis does not answer nothing is repeated: the failure has put every cell in doubt, and loading settles it.
async fn call<'a>(
    gate: &Shared,
    bucket: u32,
    layout: u32,
    members: Vec<&'a Settlement>,
) -> Vec<&'a Settlement> {
    let mut places: HashMap<usize, usize> = HashMap::new();
    let mut cells: Vec<&Arc<Cell>> = Vec::new();
    for Settlement { cell, .. } in &members {
        places.entry(Arc::as_ptr(cell).addr()).or_insert_with(|| {
            cells.push(cell);
            cells.len()
        });
    }
    let Some(lane) = cells.first().map(|cell| cell.lane) else { return Vec::new() };
    let mut call = gate.scripts.settle.call(cells.len() * KEYS);
    for key in cells.iter().flat_map(|cell| cell.buckets().keys(bucket)) {
        call.arg(key);
    }
    call.arg(layout);
    for Settlement { cell, buyer, what, .. } in &members {
        let (word, token, units, number) = match what {
            What::Taken { token, units, number } => ("taken", Some(token), *units, *number),
            What::Refused { token } => ("refused", Some(token), 0, 0),
            What::Over { token, limit } => ("over", Some(token), *limit, 0),
            What::Unknown { token } => ("unknown", Some(token), 0, 0),
            What::Moved { units, number } => ("moved", None, *units, *number),
        };
        let token = token.map_or(&[][..], |token| token.as_bytes());
        call.arg(places[&Arc::as_ptr(cell).addr()]).arg(word).arg(token).arg(buyer).arg(units).arg(number);
    }
    let Ok(reply) = gate.link.script::<Vec<i64>>(lane, &gate.scripts.settle, &call).await else {
        return Vec::new();
    };
    let mut moved: Vec<&Arc<Cell>> = Vec::new();
    for (cell, reply) in cells.into_iter().zip(reply.chunks_exact(2)) {
        match *reply {
            [0, elsewhere] => {
                cell.moved_to(elsewhere);
                moved.push(cell);
            }
            [version, 1] => cell.reopen(version),
            _ => {}
        }
    }
    // What is not loaded anywhere has nothing to be told.
    let follows = |settlement: &&Settlement| {
        moved.iter().any(|cell| Arc::ptr_eq(cell, &settlement.cell))
            && settlement.cell.buckets().layout() != layout
    };
    members.iter().copied().filter(follows).collect()
}
