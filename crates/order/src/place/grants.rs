//! Uses of promotions in the transaction that writes their orders. A batch in which no order uses one that has an end pays nothing.

use std::collections::{HashMap, HashSet};

use sqlx::PgConnection;
use uuid::Uuid;

use super::NewOrder;
use crate::domain::order::Order;
use crate::domain::promotion::uses::UsedUp;
use crate::store;

/// What was found out before anything is written, by order.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// There is nothing left of one of their promotions.
    pub used_up: HashMap<Uuid, UsedUp>,
    /// They were written before and have their uses. Writing them again would wait for whoever changes them, who may wait for us.
    pub there: HashSet<Uuid>,
}

impl Found {
    /// Whether this order is to be written.
    pub fn is_to_write(&self, id: Uuid) -> bool {
        !self.used_up.contains_key(&id) && !self.there.contains(&id)
    }
}

/// Whether writing the order may have to wait for others that use its promotions.
pub(super) fn is_limited(order: &Order) -> bool {
    order.promotions.iter().any(|applied| applied.terms.is_limited())
}

/// Takes the rows that count the uses of the batch's promotions and says which orders are not to be written. Orders come with
/// their place in the batch, each once; the last uses go by that: first come, first served.
pub(super) async fn take(
    conn: &mut PgConnection,
    orders: &[(usize, &NewOrder)],
) -> Result<Found, sqlx::Error> {
    let mut limited: Vec<(usize, &Order)> =
        orders.iter().map(|(at, one)| (*at, &one.order)).filter(|(_, order)| is_limited(order)).collect();
    if limited.is_empty() {
        return Ok(Found::default());
    }
    limited.sort_by_key(|(at, _)| *at);
    let limited: Vec<&Order> = limited.into_iter().map(|(_, order)| order).collect();
    let mut grants = store::uses::lock(&mut *conn, &limited).await?;
    let ids: Vec<Uuid> = limited.iter().map(|order| order.id.uuid()).collect();
    // After the rows were taken: whoever wrote one of these orders meanwhile had them before us.
    let there: HashSet<Uuid> = store::uses::placed(&mut *conn, &ids).await?.into_iter().collect();
    let used_up = limited
        .into_iter()
        .filter(|order| !there.contains(&order.id.uuid()))
        .filter_map(|order| grants.take(order).err().map(|used_up| (order.id.uuid(), used_up)))
        .collect();
    Ok(Found { used_up, there })
}
