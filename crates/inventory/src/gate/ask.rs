//! One request at the gate: loads the cells that are not loaded, asks bucket by bucket, finds out where the cells are when they
//! have moved. It puts aside all lines or none.

use std::sync::Arc;

use stampede_types::BuyerId;
use uuid::Uuid;

use super::admit::{Ask, Code, Reply};
use super::cells::Cell;
use super::{Failure, Gate, balance, bucket, load};
use crate::domain::Denied;
use crate::error::Error;

/// A request whose cells are lost or moved so often while it asks is let through: the ledger decides alone.
const ROUNDS: usize = 8;

type Lines = Vec<(Arc<Cell>, i64)>;

/// Asks for all lines. What was put aside is in `aside`, whatever the answer; lines whose Redis is not there are let through.
pub async fn all(
    gate: &Gate,
    token: Uuid,
    buyer: &BuyerId,
    lines: &[(Arc<Cell>, i64)],
    aside: &mut Vec<Arc<Cell>>,
) -> Result<Option<Denied>, Error> {
    let mut rest = lines.to_vec();
    for _ in 0..lines.len() + ROUNDS {
        let Some(ask) = next(token, buyer, &mut rest) else { return Ok(None) };
        match loaded(gate, &ask).await {
            Ok(()) => {}
            Err(Failure::Down | Failure::Overtaken) => continue,
            Err(Failure::Ledger(error)) => return Err(error.into()),
            Err(Failure::Unavailable) => return Err(Error::Unavailable),
        }
        if ask.lines.iter().any(|(cell, _)| cell.buckets().layout() != ask.layout) {
            // It was loaded in another layout just now.
            rest.extend(ask.lines);
            continue;
        }
        let Ok(reply) = gate.admissions.submit(ask.clone()).await? else { continue };
        let need = ask.lines.iter().find(|(cell, _)| Arc::ptr_eq(cell, &reply.cell)).map_or(1, |(_, q)| *q);
        match answer(&reply, ask.layout) {
            Answer::Aside => aside.extend(ask.lines.into_iter().map(|(cell, _)| cell)),
            Answer::Nothing => {}
            Answer::Again => rest.extend(ask.lines),
            // Boxed, as what is rare and large.
            Answer::Empty => {
                match Box::pin(balance::fill(gate, &reply.cell, ask.bucket, ask.layout, need)).await {
                    Ok(()) => rest.extend(ask.lines),
                    Err(Failure::Down | Failure::Overtaken) => {}
                    Err(Failure::Ledger(error)) => return Err(error.into()),
                    Err(Failure::Unavailable) => return Err(Error::Unavailable),
                }
            }
            Answer::No(denied) => return Ok(Some(denied)),
        }
    }
    tracing::warn!("the gate's cells were lost again and again while a request asked: the ledger decides");
    Ok(None)
}

/// Takes the lines that one script call can decide: those of the first one's bucket.
fn next(token: Uuid, buyer: &BuyerId, rest: &mut Lines) -> Option<Ask> {
    let place = |cell: &Cell| {
        let layout = cell.buckets().layout();
        (bucket::of_buyer(buyer.as_str(), layout), layout)
    };
    let (first, _) = rest.first()?;
    let (pool, (bucket, layout)) = (first.key.pool.clone(), place(first));
    let here = |cell: &Cell| cell.key.pool == pool && place(cell) == (bucket, layout);
    let lines = if rest.iter().all(|(cell, _)| here(cell)) {
        std::mem::take(rest)
    } else {
        rest.extract_if(.., |(cell, _)| here(cell)).collect()
    };
    Some(Ask { token, buyer: buyer.clone(), bucket, layout, lines })
}

async fn loaded(gate: &Gate, ask: &Ask) -> Result<(), Failure> {
    for (cell, _) in ask.lines.iter().filter(|(cell, _)| !gate.is_loaded(cell)) {
        // Boxed: it is rare and large, and every request would carry room for it.
        Box::pin(load::load(&gate.shared, cell)).await?;
    }
    Ok(())
}

enum Answer {
    Aside,
    /// It has been put aside before.
    Nothing,
    Again,
    /// This bucket has too little, and it is not the only one.
    Empty,
    No(Denied),
}

fn answer(reply: &Reply, layout: u32) -> Answer {
    let cell = reply.cell.key.clone();
    match reply.code {
        Code::Admitted => {
            reply.cell.buckets().asked(reply.value);
            Answer::Aside
        }
        Code::Already => Answer::Nothing,
        Code::SoldOut if layout > 1 => Answer::Empty,
        Code::SoldOut => Answer::No(Denied::OutOfStock { cell, free: reply.value }),
        Code::BuyerLimit => Answer::No(Denied::BuyerLimit { cell, limit: Some(reply.value) }),
        Code::NotOpen => Answer::No(Denied::NotOpen { cell }),
        Code::Closed => Answer::No(Denied::Closed { cell }),
        Code::NotLoaded => {
            reply.cell.moved_to(reply.value);
            Answer::Again
        }
    }
}
