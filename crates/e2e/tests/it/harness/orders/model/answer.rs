//! Which answers a call may get: from the order as it was last told before the call began, and as it was first told after the call
//! ended, through whatever may have happened between the two.

use std::collections::BTreeSet;

use stampede_proto::order::v1::OrderState as O;
use stampede_proto::order::v1::{ReturnState, ReviewResolution};

use super::{after, ahead, beside, is_over, is_sold, may_be_late, placed};
use crate::harness::history::record::{Micros, Units};
use crate::harness::orders::record::{
    Answer, Back, Call, Invocation, Life, Standing, Verdict, View, sum, without,
};

/// What was known around a call.
pub(super) struct Around<'a> {
    pub(super) life: &'a Life,
    pub(super) call: &'a Invocation,
    /// Money may be found when the order has ended.
    late: bool,
    /// The newest order that was told before it began.
    before: Option<&'a View>,
    /// The oldest that was told to somebody who asked when it had ended.
    behind: Option<&'a View>,
}

/// Why this answer is none that the call may get; nothing when it is one.
pub fn unexpected(life: &Life, call: &Invocation) -> Option<String> {
    let told = || life.calls.iter().filter(|other| !std::ptr::eq(*other, call));
    let newest = told().filter(|other| other.ended <= call.begun).filter_map(|other| other.answer.view());
    let oldest = told().filter(|other| other.begun >= call.ended).filter_map(|other| other.answer.view());
    let around = Around {
        life,
        call,
        late: may_be_late(life),
        before: newest.max_by_key(|view| view.version),
        behind: oldest.min_by_key(|view| view.version),
    };
    match &call.answer {
        Answer::Unknown(_) => None,
        Answer::Order(view) => around.told(view).err(),
        Answer::Back(back) => around.told_back(back).err(),
        Answer::CameBack { .. } => (!matches!(call.call, Call::ComesBack)).then(|| "nobody asked".to_owned()),
        Answer::Refused { reason, facts } => {
            let state = facts.get("state").map(String::as_str);
            let wrong = !around.may_refuse(reason, state, facts.get("decline").map(String::as_str));
            wrong.then(|| format!("refused with {reason} {facts:?} after {:?}", around.before))
        }
    }
}

impl Around<'_> {
    /// Where the order may have stood while the call was answered.
    fn standings(&self) -> BTreeSet<Standing> {
        let Some(before) = self.before else { return ahead(super::PLACED, self.late) };
        let may_be = ahead(before.standing, self.late);
        match self.behind {
            None => may_be,
            Some(behind) => {
                let leads = |at: &Standing| ahead(*at, self.late).contains(&behind.standing);
                may_be.into_iter().filter(leads).collect()
            }
        }
    }

    fn may_stand(&self, fits: impl Fn(O) -> bool) -> bool {
        self.standings().iter().any(|at| fits(at.state))
    }

    fn told(&self, view: &View) -> Result<(), String> {
        if let Some(before) = self.before {
            if view.version < before.version {
                return Err(format!("version {} was told after {}", view.version, before.version));
            }
            if !after(before.standing, view.version - before.version, self.late).contains(&view.standing) {
                return Err(format!("{:?} is not ahead of {:?}", view.standing, before.standing));
            }
        }
        if view.fulfilment != beside(view.standing.state) {
            return Err(format!("{:?} stands beside {:?}", view.fulfilment, view.standing.state));
        }
        let state = view.standing.state;
        let fits = match &self.call.call {
            Call::Place { basket, .. } => return placed::priced(basket, view),
            Call::Pay { .. } => is_sold(state) || state == O::AwaitingPayment,
            Call::Cancel => matches!(state, O::Cancelling | O::Cancelled),
            Call::Ship { id, units } => {
                view.parcels.get(id).is_some_and(|parcel| units.is_empty() || parcel.units == *units)
            }
            Call::Deliver { id } => view.parcels.get(id).is_some_and(|parcel| parcel.arrived),
            Call::Resolve { .. } | Call::Look => true,
            Call::AskBack { .. } | Call::Decide { .. } | Call::ComesBack => false,
        };
        if fits { Ok(()) } else { Err(format!("that is no answer to it: {view:?}")) }
    }

    fn told_back(&self, back: &Back) -> Result<(), String> {
        let fits = match &self.call.call {
            Call::AskBack { id, units } => back.id == *id && back.units == *units,
            Call::Decide { id, verdict } => {
                let states: &[ReturnState] = match verdict {
                    Verdict::Approve => {
                        &[ReturnState::Approved, ReturnState::Received, ReturnState::Refunded]
                    }
                    Verdict::Reject => &[ReturnState::Rejected],
                    Verdict::Receive { .. } => &[ReturnState::Received, ReturnState::Refunded],
                };
                back.id == *id && states.contains(&back.state)
            }
            Call::Place { .. }
            | Call::Pay { .. }
            | Call::Cancel
            | Call::Ship { .. }
            | Call::Deliver { .. }
            | Call::Resolve { .. }
            | Call::ComesBack
            | Call::Look => false,
        };
        if fits { Ok(()) } else { Err(format!("that is no answer to it: {back:?}")) }
    }

    fn may_refuse(&self, reason: &str, state: Option<&str>, class: Option<&str>) -> bool {
        // The order stood there, and there the call is none.
        let refused_at = |legal: fn(O) -> bool| {
            let named = state.and_then(|state| O::from_str_name(&format!("ORDER_STATE_{state}")));
            named.is_some_and(|named| !legal(named) && self.may_stand(|at| at == named))
        };
        match (&self.call.call, reason) {
            (Call::Place { key, basket }, reason) => placed::may_refuse(self, *key, basket, reason),
            (Call::Pay { .. }, "ORDER_EXPIRED") => self.is_late() && self.may_stand(|at| !is_sold(at)),
            (Call::Pay { .. }, "PAYMENT_DECLINED") => self.may_decline(class.unwrap_or_default()),
            (Call::Pay { .. }, "ORDER_STATE") => {
                refused_at(|at| is_sold(at) || matches!(at, O::AwaitingPayment | O::Expired))
            }
            (Call::Cancel, "ORDER_STATE") => refused_at(|at| {
                matches!(at, O::AwaitingPayment | O::Confirmed | O::Cancelling | O::Cancelled)
            }),
            (Call::Pay { .. } | Call::Cancel, "ORDER_BUSY") => self.may_stand(|at| !is_over(at)),
            (Call::Ship { .. }, "ORDER_STATE") => refused_at(|at| matches!(at, O::Confirmed | O::Fulfilling)),
            (Call::AskBack { .. }, "ORDER_STATE") => {
                refused_at(|at| matches!(at, O::Fulfilling | O::Shipped | O::Delivered))
            }
            // A refund is under way, or waits for a person.
            (Call::Ship { .. } | Call::Decide { .. }, "ORDER_BUSY") => self.receives(),
            (Call::Ship { units, .. }, "QUANTITY_EXCEEDED") => {
                let view = self.behind.or(self.before);
                view.is_some_and(|view| is_more(units, &without(&view.units, &self.in_parcels(view))))
            }
            (Call::AskBack { units, .. }, "QUANTITY_EXCEEDED") => {
                let view = self.before;
                view.is_some_and(|view| {
                    let there = view.shipped(|parcel| parcel.arrived);
                    is_more(units, &without(&there, &self.asked_back(view)))
                })
            }
            (Call::Deliver { id }, "SHIPMENT_NOT_FOUND") => {
                !self.before.is_some_and(|view| view.parcels.contains_key(id))
            }
            (Call::Decide { id, .. }, "RETURN_NOT_FOUND") => {
                !self.before.is_some_and(|view| view.backs.contains_key(id))
            }
            (Call::Decide { verdict, .. }, "RETURN_STATE") => match verdict {
                Verdict::Approve => matches!(state, Some("REJECTED")),
                Verdict::Reject => matches!(state, Some("RECEIVED" | "REFUNDED")),
                Verdict::Receive { .. } => matches!(state, Some("REQUESTED" | "REJECTED")),
            },
            (Call::Resolve { .. }, "REVIEW_NOT_FOUND") | (Call::ComesBack, "NOTHING_GIVEN_BACK") => true,
            (Call::Resolve { resolution, .. }, "REVIEW_IMPOSSIBLE") => *resolution != ReviewResolution::Retry,
            (_, _) => false,
        }
    }

    fn is_late(&self) -> bool {
        let expires_at: Option<Micros> = self.before.map(|view| view.expires_at);
        expires_at.is_none_or(|expires_at| self.call.ended >= expires_at)
    }

    /// A card said so, or the payment was let go under it.
    fn may_decline(&self, class: &str) -> bool {
        let scripted = self.life.cards(self.call.ended).any(|card| card.class() == Some(class));
        let let_go = matches!(class, "voided" | "failed" | "expired");
        let undone = self.is_late() || self.life.calls.iter().any(|other| other.call == Call::Cancel);
        scripted || (let_go && undone)
    }

    /// Whether a return of it was being received when the call was answered, or waits for a person.
    fn receives(&self) -> bool {
        self.life.calls.iter().any(|other| {
            let receives = matches!(other.call, Call::Decide { verdict: Verdict::Receive { .. }, .. });
            receives && !std::ptr::eq(other, self.call) && other.begun <= self.call.ended
        })
    }

    /// What has left, with what others shipped at the same time.
    fn in_parcels(&self, view: &View) -> Units {
        let others = self.life.calls.iter().filter(|other| other.begun <= self.call.ended);
        let others = others.filter_map(|other| {
            let Call::Ship { id, units } = &other.call else { return None };
            let counts = !std::ptr::eq(other, self.call) && !view.parcels.contains_key(id);
            counts.then_some(if units.is_empty() { &view.units } else { units })
        });
        sum(view.parcels.values().map(|parcel| &parcel.units).chain(others))
    }

    fn asked_back(&self, view: &View) -> Units {
        let others = self.life.calls.iter().filter(|other| other.begun <= self.call.ended);
        let others = others.filter_map(|other| {
            let Call::AskBack { id, units } = &other.call else { return None };
            let counts = !std::ptr::eq(other, self.call) && !view.backs.contains_key(id);
            counts.then_some(units)
        });
        let known = view.spoken_for();
        sum([&known].into_iter().chain(others))
    }
}

fn is_more(asked: &Units, left: &Units) -> bool {
    asked.iter().any(|(cell, units)| units > left.get(cell).unwrap_or(&0))
}
