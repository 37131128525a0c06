//! Who was charged what, as the provider knows it: what tests and reconciliation compare our books with.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bank::{Kind, Operation, Status};

/// One payment: amounts, and how many operations took effect. Two authorisations are a double hold.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Truth {
    pub currency: String,
    pub authorized_minor: i64,
    pub captured_minor: i64,
    pub voided_minor: i64,
    pub refunded_minor: i64,
    /// Taken back by the buyer's bank: in dispute, or lost.
    pub disputed_minor: i64,
    /// Of that, what is gone.
    pub lost_minor: i64,
    pub authorizations: u64,
    pub captures: u64,
    pub voids: u64,
    pub refunds: u64,
    pub declines: u64,
    /// Voided: nothing more will be authorised.
    pub closed: bool,
}

impl Truth {
    pub fn capturable_minor(&self) -> i64 {
        self.authorized_minor - self.captured_minor - self.voided_minor
    }

    pub fn refundable_minor(&self) -> i64 {
        (self.captured_minor - self.refunded_minor - self.disputed_minor).max(0)
    }

    /// Adds what the operation did.
    pub fn enter(&mut self, operation: &Operation) {
        match operation.status {
            Status::Declined => self.declines += 1,
            Status::Succeeded => self.apply(operation),
            Status::RequiresAction => {}
        }
    }

    fn apply(&mut self, operation: &Operation) {
        let (amount, times) = match operation.command.kind {
            Kind::Authorization => {
                self.currency.clone_from(&operation.command.currency);
                (&mut self.authorized_minor, &mut self.authorizations)
            }
            Kind::Capture => (&mut self.captured_minor, &mut self.captures),
            Kind::Void => {
                self.closed = true;
                (&mut self.voided_minor, &mut self.voids)
            }
            Kind::Refund => (&mut self.refunded_minor, &mut self.refunds),
        };
        *amount += operation.amount_minor;
        *times += 1;
    }
}

/// All payments together; amounts by currency.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Totals {
    pub payments: u64,
    pub by_currency: BTreeMap<String, Truth>,
}

impl Totals {
    pub fn of<'a>(accounts: impl Iterator<Item = &'a Truth>) -> Self {
        let mut totals = Self::default();
        for account in accounts {
            totals.payments += 1;
            let sum = totals.by_currency.entry(account.currency.clone()).or_default();
            sum.currency.clone_from(&account.currency);
            sum.authorized_minor += account.authorized_minor;
            sum.captured_minor += account.captured_minor;
            sum.voided_minor += account.voided_minor;
            sum.refunded_minor += account.refunded_minor;
            sum.disputed_minor += account.disputed_minor;
            sum.lost_minor += account.lost_minor;
            sum.authorizations += account.authorizations;
            sum.captures += account.captures;
            sum.voids += account.voids;
            sum.refunds += account.refunds;
            sum.declines += account.declines;
        }
        totals
    }
}
