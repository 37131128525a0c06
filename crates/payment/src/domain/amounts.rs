//! Amounts as sums over events: any order of the same events gives the same amounts, and an event counts once.

use std::collections::HashSet;

use super::{Event, EventKind};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    pub authorized_minor: i64,
    pub captured_minor: i64,
    pub voided_minor: i64,
    pub refunded_minor: i64,
    /// The provider said no to an authorisation.
    pub declined: bool,
    /// What was not captured has been let go, or will never be authorised.
    pub closed: bool,
}

impl Amounts {
    #[must_use]
    pub fn of(events: &[Event]) -> Self {
        let mut seen = HashSet::with_capacity(events.len());
        let mut sum = Self::default();
        for event in events.iter().filter(|event| seen.insert(event.id)) {
            match event.kind {
                EventKind::Authorized => sum.authorized_minor += event.amount_minor,
                EventKind::Captured => sum.captured_minor += event.amount_minor,
                EventKind::Refunded => sum.refunded_minor += event.amount_minor,
                EventKind::Declined => sum.declined = true,
                EventKind::Voided => {
                    sum.voided_minor += event.amount_minor;
                    sum.closed = true;
                }
                // What is on its way is counted from open attempts; disputes move no money of this payment.
                EventKind::RefundPending
                | EventKind::RefundFailed
                | EventKind::DisputeOpened
                | EventKind::DisputeClosed => {}
            }
        }
        sum
    }
}
