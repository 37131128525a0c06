//! Uses of promotions: where they stand while their order lives, and who of several orders gets the last of them.

use std::collections::HashMap;

use super::Applied;
use crate::domain::order::Order;
use crate::domain::state::OrderState;
use crate::domain::words::words;

words! {
    /// Where one use stands.
    UseState {
        /// By an order that is not paid yet.
        Reserved = "RESERVED",
        /// By an order that is paid.
        Committed = "COMMITTED",
        /// Given back.
        Released = "RELEASED",
    }
}

impl UseState {
    /// Where the uses of an order in this state are to be; `None` where they stay as they are.
    #[must_use]
    pub const fn of(order: OrderState) -> Option<UseState> {
        match order {
            OrderState::Confirmed
            | OrderState::Fulfilling
            | OrderState::Shipped
            | OrderState::Delivered
            | OrderState::Completed => Some(UseState::Committed),
            OrderState::Expired | OrderState::Cancelled | OrderState::Rejected => Some(UseState::Released),
            OrderState::AwaitingPayment | OrderState::Cancelling | OrderState::ManualReview => None,
        }
    }

    /// From where a use may come here while its order goes on.
    #[must_use]
    pub const fn from(self) -> &'static [UseState] {
        match self {
            UseState::Reserved => &[],
            UseState::Committed => &[UseState::Reserved],
            UseState::Released => &[UseState::Reserved, UseState::Committed],
        }
    }
}

/// What is left of one promotion that counts its uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// `None` without a limit.
    pub uses: Option<i64>,
    /// Minor units; `None` without a budget.
    pub budget: Option<i64>,
}

/// What several orders may take, one after another.
#[derive(Debug, Clone, Default)]
pub struct Grants {
    /// Of every promotion that counts its uses.
    left: HashMap<String, Left>,
    /// Uses by (promotion, buyer), of promotions that have a limit for each buyer.
    used: HashMap<(String, String), i64>,
}

/// This promotion is not to be had any more; nothing was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsedUp {
    pub promotion: String,
}

impl Grants {
    #[must_use]
    pub fn new(left: HashMap<String, Left>, used: HashMap<(String, String), i64>) -> Self {
        Self { left, used }
    }

    /// Takes one use of each promotion of the order, all of them or none.
    ///
    /// # Errors
    /// The first promotion that has none left for it.
    pub fn take(&mut self, order: &Order) -> Result<(), UsedUp> {
        let buyer = order.buyer.as_str();
        if let Some(gone) = order.promotions.iter().find(|applied| !self.has(applied, buyer)) {
            return Err(UsedUp { promotion: gone.terms.id.to_string() });
        }
        for applied in &order.promotions {
            let id = &*applied.terms.id;
            if let Some(left) = self.left.get_mut(id) {
                left.uses = left.uses.map(|uses| uses - 1);
                left.budget = left.budget.map(|budget| budget - applied.discount.amount_minor());
            }
            *self.used.entry((id.to_owned(), buyer.to_owned())).or_default() += 1;
        }
        Ok(())
    }

    fn has(&self, applied: &Applied, buyer: &str) -> bool {
        let (terms, amount) = (&applied.terms, applied.discount.amount_minor());
        let of_all = !terms.is_counted()
            || self.left.get(&*terms.id).is_some_and(|left| {
                left.uses.is_none_or(|uses| uses >= 1) && left.budget.is_none_or(|budget| budget >= amount)
            });
        let used = || self.used.get(&(terms.id.to_string(), buyer.to_owned())).copied().unwrap_or(0);
        of_all && terms.per_buyer_limit.is_none_or(|limit| used() < i64::from(limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_kept_by_every_order_that_is_paid_and_given_back_by_every_one_that_died() {
        let state = |order| UseState::of(order);
        for paid in [OrderState::Confirmed, OrderState::Shipped, OrderState::Completed] {
            assert_eq!(state(paid), Some(UseState::Committed));
        }
        for dead in [OrderState::Expired, OrderState::Cancelled, OrderState::Rejected] {
            assert_eq!(state(dead), Some(UseState::Released));
        }
        // Somebody still decides: until then the use is nobody else's.
        for open in [OrderState::AwaitingPayment, OrderState::Cancelling, OrderState::ManualReview] {
            assert_eq!(state(open), None);
        }
    }

    #[test]
    fn what_was_given_back_is_not_given_back_twice() {
        for state in UseState::ALL {
            assert!(!state.from().contains(&UseState::Released), "{state}");
        }
    }
}
