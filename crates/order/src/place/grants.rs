//! Uses of promotions in the transaction that writes their orders. A batch in which no order has a promotion pays nothing.

use std::collections::{BTreeSet, HashMap};

use sqlx::PgConnection;
use uuid::Uuid;

use super::NewOrder;
use crate::domain::order::Order;
use crate::domain::promotion::uses::{Grants, UsedUp};
use crate::store;

/// Takes the rows of the batch's promotions and says which orders, by id, find nothing left of one of theirs. Orders come with
/// their place in the batch, each once; the last uses go by that: first come, first served.
pub(super) async fn refused(
    conn: &mut PgConnection,
    orders: &[(usize, &NewOrder)],
) -> Result<HashMap<Uuid, UsedUp>, sqlx::Error> {
    let mut with: Vec<(usize, &Order)> = orders
        .iter()
        .filter(|(_, one)| !one.order.promotions.is_empty())
        .map(|(at, one)| (*at, &one.order))
        .collect();
    if with.is_empty() {
        return Ok(HashMap::new());
    }
    with.sort_by_key(|(at, _)| *at);
    let with: Vec<&Order> = with.into_iter().map(|(_, order)| order).collect();
    let promotions: BTreeSet<String> = with
        .iter()
        .flat_map(|order| order.promotions.iter().map(|applied| applied.terms.id.to_string()))
        .collect();
    let promotions: Vec<String> = promotions.into_iter().collect();
    let left = store::uses::lock(&mut *conn, &promotions).await?;
    let used = if left.values().any(|left| left.per_buyer.is_some()) {
        let buyers: BTreeSet<String> = with.iter().map(|order| order.buyer.to_string()).collect();
        let buyers: Vec<String> = buyers.into_iter().collect();
        store::uses::of_buyers(&mut *conn, &promotions, &buyers).await?
    } else {
        HashMap::new()
    };
    let ids: Vec<Uuid> = with.iter().map(|order| order.id.uuid()).collect();
    // Who is there already has his uses.
    let there = store::uses::placed(&mut *conn, &ids).await?;
    let mut grants = Grants::new(left, used);
    Ok(with
        .into_iter()
        .filter(|order| !there.contains(&order.id.uuid()))
        .filter_map(|order| grants.take(order).err().map(|used_up| (order.id.uuid(), used_up)))
        .collect())
}
