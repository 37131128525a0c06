//! What has happened to an order was told, once for each, in the order in which it happened, and heard like that.

use std::collections::{BTreeMap, BTreeSet};

use stampede_proto::order::v1::OrderState as O;
use stampede_proto::order::v1::ReturnState;
use uuid::Uuid;

use super::super::books::{Books, Told};
use super::super::model::{is_over, is_sold, may_be_late};
use super::super::record::View;
use super::{Broken, Known};

pub fn broken(orders: &BTreeMap<Uuid, Known<'_>>, books: &Books) -> Vec<Broken> {
    let (written, heard) = (by_key(&books.written), by_key(&books.heard));
    let mut broken = Vec::new();
    for key in heard.keys().filter(|key| !written.contains_key(*key)) {
        broken.push(Broken { history: None, what: format!("events: {key} was heard and never written") });
    }
    for (id, known) in orders {
        let nothing = Vec::new();
        let key = id.to_string();
        let (written, heard) =
            (written.get(key.as_str()).unwrap_or(&nothing), heard.get(key.as_str()).unwrap_or(&nothing));
        if written != heard {
            broken.push(known.broken(format!("events: {written:?} were written, {heard:?} were heard")));
        }
        let told: Vec<&str> = written.iter().map(|told| told.subject.as_str()).collect();
        let decisions = books.decisions.get(id).copied().unwrap_or(0);
        let by_hand = known.last.payment.is_some_and(|payment| books.by_hand.contains(&payment));
        let wrong = unfit(known, &told, decisions, by_hand);
        broken
            .extend(wrong.map(|why| known.broken(format!("events: {why} in {told:?} of {:?}", known.last))));
    }
    let ids: BTreeSet<Uuid> = books.written.iter().map(|told| told.event).collect();
    if ids.len() != books.written.len() {
        broken.push(Broken { history: None, what: "events: an id was given twice".to_owned() });
    }
    broken
}

fn by_key(all: &[Told]) -> BTreeMap<&str, Vec<&Told>> {
    let mut by_key: BTreeMap<&str, Vec<&Told>> = BTreeMap::new();
    for told in all {
        by_key.entry(&told.key).or_default().push(told);
    }
    by_key
}

/// How often it may have been told that what came back went again: at least once when it came back to an order that was over, at most as
/// often as something came back.
fn given_back_late(known: &Known<'_>) -> (usize, usize) {
    let is_over = |view: &View| is_over(view.standing.state);
    let over = known.life.calls.iter().filter(|call| call.answer.view().is_some_and(is_over));
    let over = over.map(|call| call.ended).min();
    let least = known.life.came_back().any(|back| over.is_some_and(|over| over <= back.0));
    (usize::from(least), known.life.came_back().count())
}

/// What is missing, or too much.
fn unfit(known: &Known<'_>, told: &[&str], decisions: i64, by_hand: bool) -> Option<String> {
    let last = known.last;
    let state = last.standing.state;
    let told_of = |view: &View| view.standing.state == O::Confirmed;
    let confirmed = known.life.calls.iter().filter_map(|call| call.answer.view()).any(told_of);
    let times = |subject: &str| told.iter().filter(|told| **told == subject).count();
    let arrived = last.parcels.values().filter(|parcel| parcel.arrived).count();
    let in_state =
        |states: &[ReturnState]| last.backs.values().filter(|back| states.contains(&back.state)).count();
    let received = in_state(&[ReturnState::Received, ReturnState::Refunded]);
    let exact = [
        ("order.placed", 1),
        ("order.cancelled", usize::from(state == O::Cancelled)),
        ("order.completed", usize::from(state == O::Completed)),
        ("order.shipped", last.parcels.len()),
        ("order.delivered", arrived),
        ("order.needs_review", usize::try_from(decisions).unwrap()),
        ("return.requested", last.backs.len()),
        ("return.refunded", in_state(&[ReturnState::Refunded])),
    ];
    for (subject, want) in exact {
        if times(subject) != want {
            return Some(format!("{subject} should be there {want} times"));
        }
    }
    let late = may_be_late(known.life);
    // An order that late money has bought may expire once more.
    let expired = usize::from(state == O::Expired);
    if times("order.expired") < expired || (!late && times("order.expired") > expired) {
        return Some(format!("order.expired should be there {expired} times"));
    }
    let (least, most) = given_back_late(known);
    // Nobody here gives anything back by hand: who says it was done is asked again when the payment is heard of once more, and says it again.
    let most = if by_hand { most.max(usize::try_from(decisions).unwrap()) } else { most };
    if times("order.refunded_late") < least || (!late && times("order.refunded_late") > most) {
        return Some(format!("order.refunded_late should be there {least} to {most} times"));
    }
    if times("order.confirmed") > 1 || ((is_sold(state) || confirmed) && times("order.confirmed") == 0) {
        return Some("order.confirmed should be there once".to_owned());
    }
    // Approved and then received; a return may be rejected before or after it was approved.
    let rejected = in_state(&[ReturnState::Rejected]);
    let least = in_state(&[ReturnState::Approved]) + 2 * received + rejected;
    if !(least..=least + rejected).contains(&times("return.resolved")) {
        return Some(format!("return.resolved should be there {least} times and up to {rejected} more"));
    }
    let place = |subject: &str| told.iter().position(|told| *told == subject);
    let follows =
        |later: &str| place(later).is_none_or(|at| place("order.confirmed").is_some_and(|paid| paid < at));
    let first = place("order.placed") == Some(0);
    let ordered = first
        && ["order.shipped", "order.delivered", "return.requested", "order.completed"]
            .into_iter()
            .all(follows);
    (!ordered).then(|| "the order is wrong".to_owned())
}
