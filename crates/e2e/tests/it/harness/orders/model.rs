//! What an order may do: a small machine over the states that its owner sees, one row for each change. It is written from what the
//! contract promises and knows nothing of the program: an order that was seen to do anything else is a failure.

pub mod answer;
pub mod card;
pub mod till;

use std::collections::BTreeSet;

use stampede_proto::order::v1::OrderFulfilmentState as F;
use stampede_proto::order::v1::OrderPaymentState as P;
use stampede_proto::order::v1::OrderState as O;
use stampede_proto::order::v1::OrderStockState as S;

use super::record::{Standing, View};

/// A change: from these states, to those that are named.
struct Rule {
    from: O,
    payment: &'static [P],
    stock: &'static [S],
    to: O,
    becomes: Option<P>,
    moves: Option<S>,
}

const fn rule(from: O, payment: &'static [P], stock: &'static [S], to: O) -> Rule {
    Rule { from, payment, stock, to, becomes: None, moves: None }
}

impl Rule {
    const fn pays(self, payment: P) -> Rule {
        Rule { becomes: Some(payment), ..self }
    }

    const fn moves(self, stock: S) -> Rule {
        Rule { moves: Some(stock), ..self }
    }

    fn apply(&self, at: Standing) -> Option<Standing> {
        let fits =
            at.state == self.from && self.payment.contains(&at.payment) && self.stock.contains(&at.stock);
        fits.then(|| Standing {
            state: self.to,
            payment: self.becomes.unwrap_or(at.payment),
            stock: self.moves.unwrap_or(at.stock),
        })
    }
}

/// Money that was neither captured nor let go for certain.
const OPEN: &[P] = &[P::Unpaid, P::Pending, P::Authorized];
const NO_MONEY: &[P] = &[P::Unpaid, P::Voided, P::Refunded];
const SETTLED: &[P] = &[P::Voided, P::Refunded];
const PAID: &[P] = &[P::Paid, P::PartiallyRefunded, P::Refunded];
const NOT_SOLD: &[S] = &[S::Held, S::Released];
const ANY: &[S] = &[S::Held, S::Committed, S::Released];
const EVERY: &[P] = &[P::Unpaid, P::Pending, P::Authorized, P::Paid, P::Voided, P::Refunded];

const RULES: &[Rule] = &[
    // Paying: authorise, commit, capture.
    rule(O::AwaitingPayment, &[P::Unpaid], &[S::Held], O::AwaitingPayment).pays(P::Pending),
    rule(O::AwaitingPayment, &[P::Pending], &[S::Held], O::AwaitingPayment).pays(P::Unpaid),
    rule(O::AwaitingPayment, &[P::Pending], &[S::Held], O::AwaitingPayment).pays(P::Authorized),
    rule(O::AwaitingPayment, &[P::Authorized], &[S::Held], O::AwaitingPayment).moves(S::Committed),
    rule(O::AwaitingPayment, &[P::Authorized], &[S::Committed], O::Confirmed).pays(P::Paid),
    rule(O::AwaitingPayment, &[P::Authorized], &[S::Committed], O::Cancelling),
    // The time to pay ends: the provider's session, then the hold.
    rule(O::AwaitingPayment, &[P::Pending], &[S::Held], O::AwaitingPayment),
    rule(O::AwaitingPayment, &[P::Authorized], &[S::Held], O::AwaitingPayment).moves(S::Released),
    rule(O::AwaitingPayment, OPEN, NOT_SOLD, O::AwaitingPayment).pays(P::Voided),
    rule(O::AwaitingPayment, OPEN, NOT_SOLD, O::AwaitingPayment).pays(P::Paid),
    rule(O::AwaitingPayment, &[P::Paid], NOT_SOLD, O::AwaitingPayment).pays(P::Refunded),
    rule(O::AwaitingPayment, NO_MONEY, NOT_SOLD, O::Expired).moves(S::Released),
    // Cancelling, before and after the money was taken; one that met a payment took its stock away.
    rule(O::AwaitingPayment, &[P::Unpaid], &[S::Held], O::Cancelling),
    rule(O::AwaitingPayment, &[P::Pending, P::Authorized], &[S::Held], O::Cancelling).moves(S::Released),
    rule(O::Confirmed, &[P::Paid], &[S::Committed], O::Cancelling),
    rule(O::Cancelling, OPEN, ANY, O::Cancelling).pays(P::Voided),
    rule(O::Cancelling, OPEN, ANY, O::Cancelling).pays(P::Paid),
    rule(O::Cancelling, &[P::Paid], ANY, O::Cancelling).pays(P::Refunded),
    rule(O::Cancelling, SETTLED, NOT_SOLD, O::Cancelling).moves(S::Committed),
    rule(O::Cancelling, NO_MONEY, NOT_SOLD, O::Cancelled).moves(S::Released),
    rule(O::Cancelling, SETTLED, &[S::Committed], O::Cancelled).moves(S::Returned),
    // A person looks, and decides: again, done by hand, undone, or confirmed.
    rule(O::AwaitingPayment, EVERY, ANY, O::ManualReview),
    rule(O::Cancelling, EVERY, ANY, O::ManualReview),
    rule(O::ManualReview, EVERY, ANY, O::AwaitingPayment),
    rule(O::ManualReview, EVERY, ANY, O::Cancelling),
    rule(O::ManualReview, OPEN, NOT_SOLD, O::AwaitingPayment).pays(P::Voided),
    rule(O::ManualReview, &[P::Paid], NOT_SOLD, O::AwaitingPayment).pays(P::Refunded),
    rule(O::ManualReview, OPEN, ANY, O::Cancelling).pays(P::Voided),
    rule(O::ManualReview, &[P::Paid], ANY, O::Cancelling).pays(P::Refunded),
    rule(O::ManualReview, &[P::Authorized], &[S::Committed], O::Confirmed).pays(P::Paid),
    // The warehouse: parcels leave and arrive, units come back, their money goes back, the time for that ends.
    rule(O::Confirmed, PAID, &[S::Committed], O::Fulfilling),
    rule(O::Confirmed, PAID, &[S::Committed], O::Shipped),
    rule(O::Fulfilling, PAID, &[S::Committed], O::Fulfilling),
    rule(O::Fulfilling, PAID, &[S::Committed], O::Fulfilling).pays(P::PartiallyRefunded),
    rule(O::Fulfilling, PAID, &[S::Committed], O::Fulfilling).pays(P::Refunded),
    rule(O::Fulfilling, PAID, &[S::Committed], O::Shipped),
    rule(O::Shipped, PAID, &[S::Committed], O::Shipped),
    rule(O::Shipped, PAID, &[S::Committed], O::Shipped).pays(P::PartiallyRefunded),
    rule(O::Shipped, PAID, &[S::Committed], O::Shipped).pays(P::Refunded),
    rule(O::Shipped, PAID, &[S::Committed], O::Delivered),
    rule(O::Delivered, PAID, &[S::Committed], O::Delivered),
    rule(O::Delivered, PAID, &[S::Committed], O::Delivered).pays(P::PartiallyRefunded),
    rule(O::Delivered, PAID, &[S::Committed], O::Delivered).pays(P::Refunded),
    rule(O::Delivered, PAID, &[S::Committed], O::Completed),
];

/// A new order.
pub const PLACED: Standing = Standing { state: O::AwaitingPayment, payment: P::Unpaid, stock: S::Held };

/// Where exactly so many changes lead.
pub fn after(from: Standing, changes: i64) -> BTreeSet<Standing> {
    let mut at = BTreeSet::from([from]);
    for _ in 0..changes {
        at = at.iter().flat_map(|at| RULES.iter().filter_map(|rule| rule.apply(*at))).collect();
    }
    at
}

/// Where any number of changes leads, none included.
pub fn ahead(from: Standing) -> BTreeSet<Standing> {
    let mut all = BTreeSet::from([from]);
    let mut fresh = all.clone();
    while !fresh.is_empty() {
        fresh = fresh.iter().flat_map(|at| after(*at, 1)).filter(|next| !all.contains(next)).collect();
        all.extend(&fresh);
    }
    all
}

/// Whether an order that was seen as `earlier` can be seen as `later`.
pub fn follows(earlier: &View, later: &View) -> Result<(), String> {
    let changes = later.version - earlier.version;
    if changes == 0 && earlier != later {
        return Err(format!("version {} was told in two ways: {earlier:?} and {later:?}", later.version));
    }
    if !after(earlier.standing, changes).contains(&later.standing) {
        return Err(format!("{changes} changes led from {:?} to {:?}", earlier.standing, later.standing));
    }
    for (id, parcel) in &earlier.parcels {
        if !later
            .parcels
            .get(id)
            .is_some_and(|now| now.units == parcel.units && now.arrived >= parcel.arrived)
        {
            return Err(format!("parcel {id} was {parcel:?} and is {:?}", later.parcels.get(id)));
        }
    }
    for (id, back) in &earlier.backs {
        let now = later.backs.get(id);
        if !now.is_some_and(|now| now.units == back.units && now.state as i32 >= back.state as i32) {
            return Err(format!("return {id} was {back:?} and is {now:?}"));
        }
        if back.refund.is_some() && now.is_some_and(|now| now.refund != back.refund) {
            return Err(format!("return {id} was worth {:?} and is {now:?}", back.refund));
        }
    }
    let same =
        (
            earlier.id,
            &earlier.units,
            &earlier.promotions,
            earlier.total,
            earlier.reservation,
            earlier.expires_at,
        ) == (later.id, &later.units, &later.promotions, later.total, later.reservation, later.expires_at);
    if same { Ok(()) } else { Err(format!("what was bought has changed: {earlier:?}, {later:?}")) }
}

/// Whether the warehouse's side belongs beside an order in this state.
pub fn beside(state: O) -> F {
    match state {
        O::Fulfilling => F::PartiallyShipped,
        O::Shipped => F::Shipped,
        O::Delivered | O::Completed => F::Delivered,
        O::Unspecified
        | O::AwaitingPayment
        | O::Confirmed
        | O::Rejected
        | O::Expired
        | O::Cancelling
        | O::Cancelled
        | O::ManualReview => F::None,
    }
}

/// Sold: its money is kept and its stock is gone.
pub fn is_sold(state: O) -> bool {
    match state {
        O::Confirmed | O::Fulfilling | O::Shipped | O::Delivered | O::Completed => true,
        O::Unspecified
        | O::AwaitingPayment
        | O::Rejected
        | O::Expired
        | O::Cancelling
        | O::Cancelled
        | O::ManualReview => false,
    }
}

/// Nothing happens to it any more.
pub fn is_over(state: O) -> bool {
    match state {
        O::Completed | O::Rejected | O::Expired | O::Cancelled => true,
        O::Unspecified
        | O::AwaitingPayment
        | O::Confirmed
        | O::Fulfilling
        | O::Shipped
        | O::Delivered
        | O::Cancelling
        | O::ManualReview => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_paid_in_four_changes_and_in_no_fewer() {
        let sold = Standing { state: O::Confirmed, payment: P::Paid, stock: S::Committed };
        assert!(after(PLACED, 4).contains(&sold));
        assert!((0..4).all(|changes| !after(PLACED, changes).contains(&sold)));
    }

    #[test]
    fn nothing_leads_to_money_without_stock_or_stock_without_money() {
        for at in ahead(PLACED) {
            let sold = PAID.contains(&at.payment) && at.stock == S::Committed;
            assert!(!is_sold(at.state) || sold, "{at:?}");
            let kept = at.state == O::Cancelled && (at.payment == P::Paid || at.stock == S::Committed);
            assert!(!kept, "{at:?}");
        }
    }

    #[test]
    fn what_is_over_stays_as_it_is() {
        for at in ahead(PLACED).into_iter().filter(|at| is_over(at.state)) {
            assert_eq!(after(at, 1), BTreeSet::new());
        }
    }
}
