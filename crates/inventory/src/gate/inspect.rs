//! What the gate has of a cell, page by page, for the reconciler; and the one mend that touches a single buyer. It loads
//! nothing and admits nobody. None means that Redis does not answer.

use std::sync::Arc;

use redis::{Cmd, FromRedisValue};
use uuid::Uuid;

use super::cells::Cell;
use super::{Gate, bucket};
use crate::domain::CellKey;

/// Fields asked for by one scan. Redis answers a small hash whole.
const PAGE: usize = 1_000;
/// Sets a buyer's units to what the ledger says unless they have moved since they were read.
const SET_QUOTA: &str = "
if (tonumber(redis.call('HGET', KEYS[1], ARGV[1])) or 0) ~= tonumber(ARGV[2]) then return 0 end
if ARGV[3] == '0' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
return 1";

/// Where a cell has been read up to: a bucket, and Redis's cursor in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place {
    bucket: u32,
    cursor: u64,
}

impl Place {
    /// Behind a page that ended at this cursor; none when it was the last of all buckets.
    fn behind(self, cell: &Cell, cursor: u64) -> Option<Self> {
        if cursor != 0 {
            return Some(Self { cursor, ..self });
        }
        let bucket = self.bucket + 1;
        (bucket < cell.buckets().layout()).then_some(Self { bucket, cursor: 0 })
    }
}

/// Units put aside for an id on its way to the ledger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Put {
    pub token: Uuid,
    pub buyer: String,
    pub units: i64,
}

impl Gate {
    /// The cell as this process knows it, or one made to look at it: nothing is remembered.
    pub fn peek(&self, key: &CellKey) -> Arc<Cell> {
        self.cells.peek(key)
    }

    /// Into how many buckets the cell is divided; it is not loaded where this is zero.
    pub async fn layout(&self, cell: &Cell) -> Option<i64> {
        let mut command = redis::cmd("HGET");
        command.arg(&cell.buckets().keys(0)[0]).arg("layout");
        let layout: Option<i64> = self.ask(cell, command).await?;
        cell.moved_to(layout.unwrap_or(0));
        Some(layout.unwrap_or(0))
    }

    /// A page of buyers with the units counted for them, and where the next begins, if there is one.
    pub async fn quotas(&self, cell: &Cell, at: Place) -> Option<(Option<Place>, Vec<(String, i64)>)> {
        let (cursor, counted) = self.scan(cell, &cell.buckets().keys(at.bucket)[1], at.cursor).await?;
        Some((at.behind(cell, cursor), counted))
    }

    /// The units counted for this buyer.
    pub async fn quota(&self, cell: &Cell, buyer: &str) -> Option<i64> {
        let mut command = redis::cmd("HGET");
        command.arg(&keys_of(cell, buyer)[1]).arg(buyer);
        let used: Option<i64> = self.ask(cell, command).await?;
        Some(used.unwrap_or(0))
    }

    /// Sets a buyer's units unless they are no longer what was `seen`; whether it did.
    pub async fn set_quota(&self, cell: &Cell, buyer: &str, seen: i64, units: i64) -> Option<bool> {
        let mut command = redis::cmd("EVAL");
        command.arg(SET_QUOTA).arg(1).arg(&keys_of(cell, buyer)[1]).arg(buyer).arg(seen).arg(units);
        self.ask(cell, command).await
    }

    /// A page of what is put aside, and where the next begins, if there is one.
    pub async fn tokens(&self, cell: &Cell, at: Place) -> Option<(Option<Place>, Vec<Put>)> {
        let (cursor, fields): (u64, Vec<(Vec<u8>, String)>) =
            self.scan(cell, &cell.buckets().keys(at.bucket)[2], at.cursor).await?;
        let put = fields.into_iter().filter_map(|(token, held)| put(&token, &held));
        Some((at.behind(cell, cursor), put.collect()))
    }

    /// What is put aside for this buyer's id.
    pub async fn token(&self, cell: &Cell, buyer: &str, token: Uuid) -> Option<Option<Put>> {
        let mut command = redis::cmd("HGET");
        command.arg(&keys_of(cell, buyer)[2]).arg(token.as_bytes().as_slice());
        let held: Option<String> = self.ask(cell, command).await?;
        Some(held.and_then(|held| put(token.as_bytes(), &held)))
    }

    async fn scan<T: FromRedisValue>(&self, cell: &Cell, key: &str, cursor: u64) -> Option<(u64, Vec<T>)> {
        let mut command = redis::cmd("HSCAN");
        command.arg(key).arg(cursor).arg("COUNT").arg(PAGE);
        self.ask(cell, command).await
    }

    async fn ask<T: FromRedisValue>(&self, cell: &Cell, command: Cmd) -> Option<T> {
        let mut pipeline = redis::pipe();
        pipeline.add_command(command);
        let (answer,) = self.shared.link.pipeline(cell.lane, &pipeline).await.ok()?;
        Some(answer)
    }
}

fn keys_of<'a>(cell: &'a Cell, buyer: &str) -> &'a bucket::Keys {
    let buckets = cell.buckets();
    buckets.keys(bucket::of_buyer(buyer, buckets.layout()))
}

/// `units:admitted:buyer`, as the scripts write it.
fn put(token: &[u8], held: &str) -> Option<Put> {
    let mut parts = held.splitn(3, ':');
    let units = parts.next()?.parse().ok()?;
    let _admitted = parts.next()?;
    Some(Put { token: Uuid::from_slice(token).ok()?, buyer: parts.next()?.to_owned(), units })
}
