//! The rows of the machine: each says from which states a change leads, and where to. What is left out does not happen.

use std::collections::BTreeSet;

use stampede_proto::order::v1::OrderPaymentState as P;
use stampede_proto::order::v1::OrderState as O;
use stampede_proto::order::v1::OrderStockState as S;

use crate::harness::orders::record::Standing;

/// A change: from these states, to those that are named.
struct Rule {
    from: O,
    payment: &'static [P],
    stock: &'static [S],
    to: O,
    becomes: Option<P>,
    moves: Option<S>,
    late: bool,
}

const fn rule(from: O, payment: &'static [P], stock: &'static [S], to: O) -> Rule {
    Rule { from, payment, stock, to, becomes: None, moves: None, late: false }
}

impl Rule {
    const fn pays(self, payment: P) -> Rule {
        Rule { becomes: Some(payment), ..self }
    }

    const fn moves(self, stock: S) -> Rule {
        Rule { moves: Some(stock), ..self }
    }

    /// By money that is found when the order has ended.
    const fn late(self) -> Rule {
        Rule { late: true, ..self }
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
const LET_GO: &[P] = &[P::Unpaid, P::Voided];
const SETTLED: &[P] = &[P::Voided, P::Refunded];
pub(super) const PAID: &[P] = &[P::Paid, P::PartiallyRefunded, P::Refunded];
const NOT_SOLD: &[S] = &[S::Held, S::Released];
const ANY: &[S] = &[S::Held, S::Committed, S::Released];
const EVERY: &[P] = &[P::Unpaid, P::Pending, P::Authorized, P::Paid, P::Voided, P::Refunded];
const GONE: &[S] = &[S::Released, S::Returned];

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
    // Money that is there after the end: it buys the stock once more, or goes back and the order says why.
    rule(O::Expired, LET_GO, &[S::Released], O::AwaitingPayment).pays(P::Authorized).moves(S::Held).late(),
    rule(O::Expired, LET_GO, &[S::Released], O::Expired).late(),
    rule(O::Cancelled, LET_GO, GONE, O::Cancelled).late(),
];

/// Where exactly so many changes lead; `late` when money may be found after the end.
pub fn after(from: Standing, changes: i64, late: bool) -> BTreeSet<Standing> {
    let mut at = BTreeSet::from([from]);
    for _ in 0..changes {
        let next = |at: &Standing| {
            let at = *at;
            RULES.iter().filter(move |rule| late || !rule.late).filter_map(move |rule| rule.apply(at))
        };
        at = at.iter().flat_map(next).collect();
    }
    at
}

/// Where any number of changes leads, none included.
pub fn ahead(from: Standing, late: bool) -> BTreeSet<Standing> {
    let mut all = BTreeSet::from([from]);
    let mut fresh = all.clone();
    while !fresh.is_empty() {
        fresh = fresh.iter().flat_map(|at| after(*at, 1, late)).filter(|next| !all.contains(next)).collect();
        all.extend(&fresh);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::super::{PLACED, is_over, is_sold};
    use super::*;

    #[test]
    fn an_order_is_paid_in_four_changes_and_in_no_fewer() {
        let sold = Standing { state: O::Confirmed, payment: P::Paid, stock: S::Committed };
        assert!(after(PLACED, 4, false).contains(&sold));
        assert!((0..4).all(|changes| !after(PLACED, changes, true).contains(&sold)));
    }

    #[test]
    fn nothing_leads_to_money_without_stock_or_stock_without_money() {
        for at in ahead(PLACED, true) {
            let sold = PAID.contains(&at.payment) && at.stock == S::Committed;
            assert!(!is_sold(at.state) || sold, "{at:?}");
            let kept = at.state == O::Cancelled && (at.payment == P::Paid || at.stock == S::Committed);
            assert!(!kept, "{at:?}");
        }
    }

    #[test]
    fn what_is_over_stays_as_it_is_unless_money_comes_late() {
        for at in ahead(PLACED, true).into_iter().filter(|at| is_over(at.state)) {
            assert_eq!(after(at, 1, false), BTreeSet::new());
            let stays = at.state != O::Expired || at.payment == P::Refunded;
            assert!(!stays || after(at, 1, true).iter().all(|next| *next == at), "{at:?}");
        }
    }
}
