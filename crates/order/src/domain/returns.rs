//! A return: what of an order is sent back, and the table of its legal steps. The refund is decided when the units are back,
//! never before.

use stampede_types::Money;
use time::OffsetDateTime;
use uuid::Uuid;

use super::fulfilment::Units;
use super::state::{IllegalStep, Steps, step};
use super::words::words;

words! {
    /// Where a return stands.
    ReturnState {
        Requested = "REQUESTED",
        Approved = "APPROVED",
        Received = "RECEIVED",
        Refunded = "REFUNDED",
        Rejected = "REJECTED",
    }
}

words! {
    /// What can happen to a return.
    ReturnEvent {
        /// The shop agrees that the units are sent back.
        Approve = "APPROVE",
        /// The shop says no, before or after having seen them.
        Reject = "REJECT",
        /// The units are back. From here on the money goes back by itself.
        Receive = "RECEIVE",
        /// The money is back, and what is to be sold again is on the shelf.
        Refund = "REFUND",
    }
}

/// Every legal step of a return.
pub const RETURNS: &Steps<ReturnState, ReturnEvent> = &[
    (ReturnState::Requested, ReturnEvent::Approve, ReturnState::Approved),
    (ReturnState::Requested, ReturnEvent::Reject, ReturnState::Rejected),
    (ReturnState::Approved, ReturnEvent::Reject, ReturnState::Rejected),
    (ReturnState::Approved, ReturnEvent::Receive, ReturnState::Received),
    (ReturnState::Received, ReturnEvent::Refund, ReturnState::Refunded),
];

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Return {
    /// Chosen by whoever asked for it.
    pub id: Uuid,
    pub state: ReturnState,
    pub units: Vec<Units>,
    /// The buyer's words.
    pub reason: String,
    /// Known once the units are back.
    pub settled: Option<Settled>,
    pub created_at: OffsetDateTime,
}

/// What was decided when the units came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    pub refund: Money,
    /// Whether the units are sold again.
    pub restock: bool,
}

impl ReturnState {
    /// # Errors
    /// The table has no such step.
    pub fn on(self, event: ReturnEvent) -> Result<ReturnState, IllegalStep<ReturnState, ReturnEvent>> {
        step(RETURNS, self, event)
    }

    /// Whether its units may still become the shop's again. A rejected return's may be asked for anew.
    #[must_use]
    pub const fn counts(self) -> bool {
        match self {
            ReturnState::Requested
            | ReturnState::Approved
            | ReturnState::Received
            | ReturnState::Refunded => true,
            ReturnState::Rejected => false,
        }
    }

    /// Whether somebody still has to do something about it.
    #[must_use]
    pub const fn is_open(self) -> bool {
        match self {
            ReturnState::Requested | ReturnState::Approved | ReturnState::Received => true,
            ReturnState::Refunded | ReturnState::Rejected => false,
        }
    }

    /// Whether the event happened on the way here: saying so again changes nothing.
    #[must_use]
    pub const fn is_past(self, event: ReturnEvent) -> bool {
        match (self, event) {
            (ReturnState::Approved | ReturnState::Received | ReturnState::Refunded, ReturnEvent::Approve)
            | (ReturnState::Received | ReturnState::Refunded, ReturnEvent::Receive)
            | (ReturnState::Refunded, ReturnEvent::Refund)
            | (ReturnState::Rejected, ReturnEvent::Reject) => true,
            (
                ReturnState::Requested
                | ReturnState::Approved
                | ReturnState::Received
                | ReturnState::Refunded
                | ReturnState::Rejected,
                ReturnEvent::Approve | ReturnEvent::Receive | ReturnEvent::Refund | ReturnEvent::Reject,
            ) => false,
        }
    }
}

impl Return {
    /// The one refund of this return.
    #[must_use]
    pub fn refund_id(&self) -> Uuid {
        Uuid::new_v5(&self.id, b"refund")
    }

    /// The one return of stock of this return.
    #[must_use]
    pub fn stock_id(&self) -> Uuid {
        Uuid::new_v5(&self.id, b"stock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn money_goes_back_only_for_units_that_are_back() {
        let refunding: Vec<_> = RETURNS.iter().filter(|(_, _, to)| *to == ReturnState::Refunded).collect();
        assert_eq!(refunding, [&(ReturnState::Received, ReturnEvent::Refund, ReturnState::Refunded)]);
    }

    #[test]
    fn units_that_are_back_are_refunded_and_never_rejected_any_more() {
        assert!(ReturnState::Received.on(ReturnEvent::Reject).is_err());
    }

    #[test]
    fn what_has_ended_takes_no_step_and_what_has_not_takes_one() {
        for state in ReturnState::ALL {
            let goes_on = ReturnEvent::ALL.iter().any(|event| state.on(*event).is_ok());
            assert_eq!(goes_on, state.is_open(), "{state}");
        }
    }

    #[test]
    fn an_event_is_past_exactly_where_it_or_what_follows_it_led() {
        for (_, event, to) in RETURNS {
            assert!(to.is_past(*event), "{to} {event}");
            for later in ReturnEvent::ALL {
                let Ok(next) = to.on(*later) else { continue };
                let undone = next == ReturnState::Rejected;
                assert_eq!(next.is_past(*event), !undone, "{event}, then {later}");
            }
        }
        for state in ReturnState::ALL {
            for event in ReturnEvent::ALL {
                assert!(!(state.is_past(*event) && state.on(*event).is_ok()), "{state} {event}");
            }
        }
    }

    #[test]
    fn the_ids_of_a_return_are_its_own_and_always_the_same() {
        let with = |id| Return {
            id: Uuid::from_u128(id),
            state: ReturnState::Received,
            units: Vec::new(),
            reason: String::new(),
            settled: None,
            created_at: OffsetDateTime::UNIX_EPOCH,
        };
        let ids = [with(1).refund_id(), with(1).stock_id(), with(2).refund_id(), with(2).stock_id()];
        let different: std::collections::HashSet<Uuid> = ids.into_iter().collect();
        assert_eq!(different.len(), 4);
        assert_eq!(with(1).refund_id(), ids[0]);
    }
}
