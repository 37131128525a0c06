//! Every order has come to an end that its history allows, or is owned by somebody; and no order is there that nobody was told of.

use std::collections::BTreeMap;

use stampede_proto::order::v1::OrderState as O;
use stampede_proto::order::v1::ReturnState;
use uuid::Uuid;

use super::super::books::Books;
use super::super::model::{is_sold, till};
use super::super::record::{Back, Call, View, sum};
use super::{Broken, Known};
use crate::harness::history::record::{Micros, Units};

pub fn broken(orders: &BTreeMap<Uuid, Known<'_>>, books: &Books) -> Vec<Broken> {
    let mut broken = Vec::new();
    for (id, state) in &books.orders {
        match orders.get(id) {
            None => {
                broken.push(Broken { history: None, what: format!("ends: nobody was told of {id}, {state}") })
            }
            Some(known) => {
                let last = known.last.standing.state.as_str_name();
                if last != format!("ORDER_STATE_{state}") {
                    broken.push(known.broken(format!("ends: {id} is {state} and was last told as {last}")));
                }
            }
        }
    }
    for (id, known) in orders {
        if !books.orders.contains_key(id) {
            broken.push(known.broken(format!("ends: {id} was accepted and is not there")));
        }
        broken.extend(unfit(known).map(|why| known.broken(format!("ends: {why}"))));
        broken.extend(of_returns(known.last).into_iter().map(|why| known.broken(format!("ends: {why}"))));
    }
    broken
}

/// Why the order may not have ended like this.
fn unfit(known: &Known<'_>) -> Option<String> {
    let (state, life) = (known.last.standing.state, known.life);
    let called = |is: fn(&Call) -> bool| life.calls.iter().any(|call| is(&call.call));
    let paid = life.cards(Micros::MAX).any(|card| card.pays());
    let fits = match state {
        O::Confirmed | O::Fulfilling | O::Shipped | O::Completed => paid,
        // Somebody still has to say what becomes of a return.
        O::Delivered => paid && known.last.backs.values().any(|back| is_open(back.state)),
        O::Expired => !called(|call| matches!(call, Call::Ship { .. })) || known.last.parcels.is_empty(),
        // Somebody wanted it, or the money was not to be had after the stock was taken.
        O::Cancelled => {
            called(|call| matches!(call, Call::Cancel | Call::Resolve { .. }))
                || life.cards(Micros::MAX).any(|card| card.class().is_some() && !card.pays())
        }
        O::Unspecified | O::AwaitingPayment | O::Rejected | O::Cancelling | O::ManualReview => false,
    };
    let reviewed = life.calls.iter().filter_map(|call| call.answer.view());
    let reviewed = reviewed.into_iter().any(|view| view.standing.state == O::ManualReview);
    let came_back = life.came_back().next().is_some();
    if reviewed && !came_back && !life.cards(Micros::MAX).any(|card| card.needs_a_person()) {
        return Some("it waited for a person and nothing in it needs one".to_owned());
    }
    (!fits).then(|| format!("it cannot end as {state:?}"))
}

/// A received return is worth what the price list says, and ends refunded.
fn of_returns(view: &View) -> Vec<String> {
    let mut broken = Vec::new();
    let settled: Vec<&Back> = view.backs.values().filter(|back| back.refund.is_some()).collect();
    let given: i64 = settled.iter().filter_map(|back| back.refund).sum();
    if given != view.refunded || (!is_sold(view.standing.state) && !view.backs.is_empty()) {
        broken.push(format!("returns gave {given} back, the order says {}", view.refunded));
    }
    if let Some(back) = view.backs.values().find(|back| back.state == ReturnState::Received) {
        broken.push(format!("return {} was received and is not refunded", back.id));
    }
    if !explained(view, &settled, &Units::new(), 0) {
        broken.push(format!("no order of receiving them explains the refunds of {:?}", view.backs));
    }
    broken
}

/// Whether these returns, received in some order after `gone` and `refunded`, are worth what they gave.
fn explained(view: &View, left: &[&Back], gone: &Units, refunded: i64) -> bool {
    left.is_empty()
        || left.iter().enumerate().any(|(at, back)| {
            let gone = sum([gone, &back.units].into_iter());
            let worth = till::refund(&view.units, view.promotions.keys(), &gone, refunded);
            let others = [&left[..at], &left[at + 1..]].concat();
            back.refund == Some(worth) && explained(view, &others, &gone, refunded + worth)
        })
}

fn is_open(state: ReturnState) -> bool {
    match state {
        ReturnState::Requested | ReturnState::Approved => true,
        ReturnState::Unspecified | ReturnState::Received | ReturnState::Refunded | ReturnState::Rejected => {
            false
        }
    }
}
