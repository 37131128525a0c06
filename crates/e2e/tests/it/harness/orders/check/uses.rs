//! Uses of promotions are conserved: an order has those it was told of, for as long as it lives; nobody has more than the limits
//! and the budget allow; and what staff read is the sum of them.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::super::books::{Books, Use};
use super::super::model::is_sold;
use super::super::model::till::PROMOTIONS;
use super::{Broken, Known};

pub fn broken(orders: &BTreeMap<Uuid, Known<'_>>, books: &Books) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut of_order: BTreeMap<Uuid, BTreeMap<String, i64>> = BTreeMap::new();
    for used in &books.uses {
        of_order.entry(used.order).or_default().insert(used.promotion.clone(), used.amount);
        let known = orders.get(&used.order);
        let should =
            known.map(|known| if is_sold(known.last.standing.state) { "COMMITTED" } else { "RELEASED" });
        if should != Some(used.state.as_str()) {
            let what = format!("uses: {used:?} should be {should:?}");
            broken.push(Broken { history: known.map(|known| known.life.number), what });
        }
    }
    for (id, known) in orders {
        let has = of_order.remove(id).unwrap_or_default();
        if has != known.last.promotions {
            broken
                .push(known.broken(format!("uses: it has {has:?} and was told {:?}", known.last.promotions)));
        }
    }
    broken.extend(beyond(books).into_iter().map(|what| Broken { history: None, what }));
    broken
}

fn beyond(books: &Books) -> Vec<String> {
    let mut broken = Vec::new();
    for known in &PROMOTIONS {
        let taken: Vec<&Use> =
            books.uses.iter().filter(|used| used.promotion == known.id && used.state != "RELEASED").collect();
        let (uses, given) = (taken.len() as i64, taken.iter().map(|used| used.amount).sum::<i64>());
        let mut by_buyer: BTreeMap<&str, u32> = BTreeMap::new();
        for used in &taken {
            *by_buyer.entry(&used.buyer).or_default() += 1;
        }
        let most = by_buyer.values().copied().max().unwrap_or(0);
        let within = known.use_limit.is_none_or(|limit| uses <= limit)
            && known.per_buyer_limit.is_none_or(|limit| most <= limit)
            && known.budget.is_none_or(|budget| given <= budget);
        if !within {
            broken.push(format!("uses: {uses} of {known:?}, {most} by one buyer, {given} given"));
        }
        let told = &books.promotions[known.id];
        let reserved = taken.iter().filter(|used| used.state == "RESERVED").count() as i64;
        if (told.uses_reserved, told.uses_committed) != (reserved, uses - reserved) {
            broken.push(format!(
                "uses: staff read {told:?}, and {uses} are taken, {reserved} of them reserved"
            ));
        }
    }
    broken
}
