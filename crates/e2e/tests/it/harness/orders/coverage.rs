//! What a run has to have done before its verdict is worth anything: every move by somebody and answered, every fault of the menu, and the
//! ends that any run of this length comes to. It judges no history.

use std::collections::BTreeSet;

use stampede_proto::order::v1::OrderState as O;

use super::model::is_sold;
use super::program::moves::Move;
use super::record::{Answer, Call, Life, Verdict};
use crate::harness::history::faults::{Fault, Struck};

/// From so many histories on each end by itself is met with certainty; before that, those that most histories come to.
const MANY: usize = 400;

/// Whether a call is of one kind.
type Kind = fn(&Call) -> bool;

/// What has not happened, in words.
pub fn missing(
    moves: &BTreeSet<Move>,
    lives: &[Life],
    done: &[Struck],
    menu: &'static [Fault],
) -> Vec<String> {
    let moves = Move::ALL.iter().filter(|step| !moves.contains(step)).map(|step| format!("move {step:?}"));
    let struck: BTreeSet<Fault> = done.iter().map(|struck| struck.fault).collect();
    let faults = menu.iter().filter(|fault| !struck.contains(fault)).map(|fault| format!("fault {fault:?}"));
    let accepted: [(&str, Kind); 8] = [
        ("place", |call| matches!(call, Call::Place { .. })),
        ("pay", |call| matches!(call, Call::Pay { .. })),
        ("cancel", |call| matches!(call, Call::Cancel)),
        ("ship", |call| matches!(call, Call::Ship { .. })),
        ("deliver", |call| matches!(call, Call::Deliver { .. })),
        ("ask back", |call| matches!(call, Call::AskBack { .. })),
        ("approve", |call| matches!(call, Call::Decide { verdict: Verdict::Approve, .. })),
        ("receive", |call| matches!(call, Call::Decide { verdict: Verdict::Receive { .. }, .. })),
    ];
    let calls: Vec<_> = lives.iter().flat_map(|life| &life.calls).collect();
    let never = |is: Kind| !calls.iter().any(|call| is(&call.call) && is_yes(&call.answer));
    let accepted = accepted.into_iter().filter(|(_, is)| never(*is)).map(|(what, _)| format!("call {what}"));
    moves.chain(faults).chain(accepted).chain(ends(lives)).collect()
}

fn is_yes(answer: &Answer) -> bool {
    match answer {
        Answer::Order(_) | Answer::Back(_) | Answer::CameBack { .. } => true,
        Answer::Refused { .. } | Answer::Unknown(_) => false,
    }
}

fn ends(lives: &[Life]) -> Vec<String> {
    let ends: Vec<O> = lives.iter().filter_map(Life::last).map(|view| view.standing.state).collect();
    let mut missing: Vec<String> = Vec::new();
    let on_its_way = ends.iter().any(|end| is_sold(*end) && *end != O::Completed);
    missing.extend((!on_its_way).then(|| "an order that is sold and on its way".to_owned()));
    let some = [O::Expired, O::Cancelled, O::Completed];
    let each = [O::Confirmed, O::Fulfilling, O::Shipped, O::Delivered];
    let wanted = some.iter().chain(each.iter().filter(|_| lives.len() >= MANY));
    missing.extend(wanted.filter(|end| !ends.contains(end)).map(|end| format!("end {end:?}")));
    missing
}
