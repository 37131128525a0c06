//! Amounts as sums over events: any order of the same events gives the same amounts, and an event counts once.

use std::collections::HashSet;

use super::{Event, EventKind};

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amounts {
    pub authorized_minor: i64,
    pub captured_minor: i64,
    pub voided_minor: i64,
    /// Given back and not come back again.
    pub refunded_minor: i64,
    /// Captured, and taken back by the buyer's bank: in dispute, or lost.
    pub disputed_minor: i64,
    /// Of that, what is gone for good.
    pub lost_minor: i64,
    /// The provider said no to an authorisation.
    pub declined: bool,
    /// What was not captured has been let go, or will never be authorised.
    pub closed: bool,
    /// It was let go because the hold lapsed.
    pub expired: bool,
}

impl Amounts {
    #[must_use]
    pub fn of<'a>(events: impl IntoIterator<Item = &'a Event>) -> Self {
        let mut seen = HashSet::new();
        let mut sum = Self::default();
        for event in events.into_iter().filter(|event| seen.insert(event.id)) {
            match event.kind {
                EventKind::Authorized => sum.authorized_minor += event.amount_minor,
                EventKind::Captured => sum.captured_minor += event.amount_minor,
                EventKind::CaptureCorrected => sum.captured_minor -= event.amount_minor,
                EventKind::Refunded => sum.refunded_minor += event.amount_minor,
                EventKind::Declined => sum.declined = true,
                EventKind::Voided => {
                    sum.voided_minor += event.amount_minor;
                    sum.closed = true;
                }
                EventKind::RefundReversed => sum.refunded_minor -= event.amount_minor,
                EventKind::DisputeOpened => sum.disputed_minor += event.amount_minor,
                EventKind::DisputeClosed => sum.disputed_minor -= event.amount_minor,
                EventKind::DisputeLost => sum.lost_minor += event.amount_minor,
                EventKind::Expired => {
                    sum.voided_minor += event.amount_minor;
                    sum.closed = true;
                    sum.expired = true;
                }
                // What is on its way is counted from open attempts.
                EventKind::RefundPending | EventKind::RefundFailed => {}
            }
        }
        sum
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            authorized_minor: self.authorized_minor + other.authorized_minor,
            captured_minor: self.captured_minor + other.captured_minor,
            voided_minor: self.voided_minor + other.voided_minor,
            refunded_minor: self.refunded_minor + other.refunded_minor,
            disputed_minor: self.disputed_minor + other.disputed_minor,
            lost_minor: self.lost_minor + other.lost_minor,
            declined: self.declined || other.declined,
            closed: self.closed || other.closed,
            expired: self.expired || other.expired,
        }
    }
}
