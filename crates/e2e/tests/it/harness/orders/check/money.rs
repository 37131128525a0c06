//! Money is conserved: what the provider says of each payment is what payment says, and what the order's state says it should be. No
//! money without an order, no order without its money, and nothing held for nobody.

use std::collections::BTreeMap;

use stampede_proto::order::v1::OrderPaymentState as P;
use uuid::Uuid;

use super::super::books::{Books, Money, Payment};
use super::super::model::card::{Card, Word};
use super::super::model::is_sold;
use super::super::record::Call;
use super::{Broken, Known};
use crate::harness::history::record::Micros;

pub fn broken(orders: &BTreeMap<Uuid, Known<'_>>, books: &Books) -> Vec<Broken> {
    let mut broken = Vec::new();
    let mut sum = Money::default();
    for (id, payment) in &books.payments {
        let theirs = payment.providers;
        sum = Money {
            authorized: sum.authorized + theirs.authorized,
            captured: sum.captured + theirs.captured,
            voided: sum.voided + theirs.voided,
            refunded: sum.refunded + theirs.refunded,
        };
        let known = payment.order.and_then(|order| orders.get(&order));
        let history = known.map(|known| known.life.number);
        let wrong = of_payment(*id, payment, known, by_hand(*id, payment, books));
        broken.extend(wrong.into_iter().map(|why| Broken { history, what: format!("money: {why}") }));
    }
    if sum != books.provider {
        let what = format!("money: our payments sum to {sum:?}, the provider has {:?}", books.provider);
        broken.push(Broken { history: None, what });
    }
    for known in orders.values() {
        let without = known.last.payment.is_none_or(|id| !books.payments.contains_key(&id));
        if is_sold(known.last.standing.state) && without {
            broken.push(known.broken(format!("money: it is sold and has no payment: {:?}", known.last)));
        }
        let of_view = payment_state(known);
        broken.extend(of_view.map(|why| known.broken(format!("money: {why}"))));
    }
    broken
}

/// Whether a person has said of the order's money, or of this payment's, that it was given back past the provider.
fn by_hand(id: Uuid, payment: &Payment, books: &Books) -> bool {
    books.by_hand.contains(&id) || payment.order.is_some_and(|order| books.by_hand.contains(&order))
}

fn of_payment(id: Uuid, payment: &Payment, known: Option<&Known<'_>>, by_hand: bool) -> Vec<String> {
    let (ours, theirs) = (payment.ours, payment.providers);
    let mut broken = Vec::new();
    if ours != theirs || payment.pending != 0 {
        broken.push(format!("payment {id} is {payment:?}"));
    }
    if theirs.refunded > theirs.captured || theirs.captured + theirs.voided > theirs.authorized {
        broken.push(format!("more was moved than there was: {theirs:?}"));
    }
    let Some(known) = known else {
        if theirs != Money::default() {
            broken.push(format!("payment {id} moved {theirs:?} for no order that anybody was told of"));
        }
        return broken;
    };
    let want = wanted(id, known);
    let cards: Vec<&Card> = known.life.cards(Micros::MAX).collect();
    let is_kept = |word: fn(&Card) -> Word| cards.iter().any(|card| word(card) != Word::Yes);
    // What a provider refuses to give back is given back by hand, past it.
    let came_back: i64 = known.life.came_back().filter(|back| back.1 == id).map(|back| back.2).sum();
    let beyond = theirs.kept() - want;
    // What has come back is given back once more, or past the provider.
    let fits = beyond == 0
        || (by_hand && (1..=came_back).contains(&beyond))
        || (is_kept(|card| card.refund) && theirs.refunded == 0 && theirs.captured >= want);
    if !fits {
        broken.push(format!(
            "payment {id} keeps {} and the order should have {want}: {:?}",
            theirs.kept(),
            known.last
        ));
    }
    if payment.state == "CONFLICTED" && !is_kept(|card| card.void) {
        broken.push(format!("payment {id} is in conflict: {payment:?}"));
    }
    if theirs.dangling() != 0 && !is_kept(|card| card.void) {
        broken.push(format!("payment {id} holds {} for nothing: {payment:?}", theirs.dangling()));
    }
    if theirs.captured != 0 && theirs.captured != known.last.total {
        broken.push(format!("payment {id} took {} of {}", theirs.captured, known.last.total));
    }
    broken
}

/// What the order should have of this payment.
fn wanted(id: Uuid, known: &Known<'_>) -> i64 {
    let sold = is_sold(known.last.standing.state) && known.last.payment == Some(id);
    if sold { known.last.total - known.last.refunded } else { 0 }
}

/// Money's side of an order fits what went back.
fn payment_state(known: &Known<'_>) -> Option<String> {
    let last = known.last;
    let paid = known.life.calls.iter().any(|call| matches!(call.call, Call::Pay { .. }));
    let fits = match last.standing.payment {
        P::Unpaid => !is_sold(last.standing.state),
        P::Voided => paid && !is_sold(last.standing.state),
        P::Paid => is_sold(last.standing.state) && last.refunded == 0,
        P::PartiallyRefunded => is_sold(last.standing.state) && (1..last.total).contains(&last.refunded),
        P::Refunded => paid && (!is_sold(last.standing.state) || last.refunded == last.total),
        P::Unspecified | P::Pending | P::Authorized => false,
    };
    (!fits).then(|| format!("it ended with {:?}: {last:?}", last.standing.payment))
}
