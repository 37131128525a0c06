//! Settling: what the ledger has decided about admitted units, told to Redis in the order it was decided, many at once.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use super::Shared;
use super::cells::{Cell, KEYS};

/// Settlements that may wait. One more makes its cell be loaded again instead.
pub const QUEUE: usize = 65_536;
/// Settlements of one script call.
const AT_ONCE: usize = 500;

#[derive(Debug)]
pub enum What {
    /// The token's units are sold.
    Drop(Uuid),
    /// The token's units are free again.
    Return(Uuid),
    /// The token keeps so many units, the rest is free again.
    Keep(Uuid, i64),
    /// So many more units are free, and count no longer for this buyer.
    Give(String, i64),
}

#[derive(Debug)]
pub struct Settlement {
    pub cell: Arc<Cell>,
    pub what: What,
    /// Told when it is done.
    pub done: Option<oneshot::Sender<()>>,
}

/// Ends when the gate is gone.
pub async fn run(gate: Arc<Shared>, mut queue: mpsc::Receiver<Settlement>) {
    let mut taken = Vec::with_capacity(AT_ONCE);
    while queue.recv_many(&mut taken, AT_ONCE).await > 0 {
        let mut pools: HashMap<&str, Vec<&Settlement>> = HashMap::new();
        for settlement in &taken {
            pools.entry(settlement.cell.key.pool.as_str()).or_default().push(settlement);
        }
        let calls = pools.values().map(|settlements| call(&gate, settlements));
        futures::future::join_all(calls).await;
        for settlement in taken.drain(..) {
            if let Some(done) = settlement.done {
                // Whoever asked may have stopped waiting.
                let _ = done.send(());
            }
        }
    }
}

/// When Redis does not answer nothing is repeated: the failure has put every cell in doubt, and loading settles it.
async fn call(gate: &Shared, settlements: &[&Settlement]) {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut cells: Vec<&Arc<Cell>> = Vec::new();
    for Settlement { cell, .. } in settlements {
        places.entry(&cell.keys[0]).or_insert_with(|| {
            cells.push(cell);
            cells.len()
        });
    }
    let Some(lane) = cells.first().map(|cell| cell.lane) else { return };
    let mut call = gate.scripts.settle.call(cells.len() * KEYS);
    for key in cells.iter().flat_map(|cell| &cell.keys) {
        call.arg(key);
    }
    for Settlement { cell, what, .. } in settlements {
        call.arg(places[cell.keys[0].as_str()]);
        match what {
            What::Drop(token) => call.arg("drop").arg(token.as_bytes().as_slice()).arg(0),
            What::Return(token) => call.arg("return").arg(token.as_bytes().as_slice()).arg(0),
            What::Keep(token, units) => call.arg("keep").arg(token.as_bytes().as_slice()).arg(*units),
            What::Give(buyer, units) => call.arg("give").arg(buyer).arg(*units),
        };
    }
    let Ok(versions) = gate.link.script::<Vec<i64>>(lane, &gate.scripts.settle, &call).await else { return };
    for (cell, version) in cells.iter().zip(versions) {
        let frees =
            settlements.iter().any(|s| Arc::ptr_eq(&s.cell, cell) && !matches!(s.what, What::Drop(_)));
        if frees {
            cell.reopen(version);
        }
    }
}
