//! One id, one thing: what was accepted is in the ledger once and as it was asked for, what was refused for good is not, and
//! whoever asks again is answered the same at every process.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::super::books::Books;
use super::super::record::{Answer, Call, Cell, Demand, History, Invocation, Micros};
use super::Life;

/// The row of an id that was released before it arrived: it never held anything.
const NOTHING: &str = "NONE";

pub fn broken(history: &History, lives: &BTreeMap<Uuid, Life<'_>>, books: &Books) -> Vec<String> {
    let mut broken = Vec::new();
    for (id, life) in lives {
        broken.extend(kept(*id, life, books));
        if let Some((since, demand)) = life.accepted() {
            broken.extend(answered_otherwise(*id, life, since, demand));
        }
        broken.extend(returns(*id, life, books));
    }
    broken.extend(adjustments(history, books));
    let is_defect =
        |call: &&Invocation| matches!(&call.answer, Answer::Unknown(reason) if reason == "INTERNAL");
    broken.extend(history.calls.iter().filter(is_defect).map(|call| format!("defect: {call:?}")));
    broken
}

/// The ledger has what was accepted, and only that.
fn kept(id: Uuid, life: &Life<'_>, books: &Books) -> Option<String> {
    let row = books.rows.get(&id).filter(|row| row.kind != NOTHING);
    let is_kept = |demand: &Demand| {
        let kind = if demand.hold_ms.is_some() { "HOLD" } else { "DEDUCTION" };
        row.is_some_and(|row| row.kind == kind && row.buyer == demand.buyer && row.asked == demand.units)
    };
    match life.accepted() {
        Some((_, demand)) => (!is_kept(demand))
            .then(|| format!("repeats: {id} was accepted as {demand:?}, the ledger has {row:?}")),
        None if life.has_unknown_demand() => {
            let fits = row.is_none() || life.demands().any(|(_, demand)| is_kept(demand));
            (!fits).then(|| format!("repeats: nobody asked for {id} as the ledger has it: {row:?}"))
        }
        None => row.map(|row| format!("repeats: {id} was refused, the ledger has {row:?}")),
    }
}

/// Asked again after it was accepted.
fn answered_otherwise(id: Uuid, life: &Life<'_>, since: Micros, accepted: &Demand) -> Vec<String> {
    let receipt = life.demands().find_map(|(call, _)| match &call.answer {
        receipt @ Answer::Receipt { .. } => Some(receipt),
        Answer::Reservation { .. } | Answer::Levels(_) | Answer::Refused { .. } | Answer::Unknown(_) => None,
    });
    let fits = |call: &Invocation, demand: &Demand| match &call.answer {
        Answer::Unknown(_) => true,
        Answer::Refused { reason, state } if demand.is_same(accepted) => {
            // Before anybody knew of it, it may have been too early or too late for it; and who does not say that it has asked
            // before may be told by one process that nothing is left.
            call.begun <= since
                || (!call.again && reason == "OUT_OF_STOCK")
                || (reason == "RESERVATION_RESOLVED" && state.is_some_and(|state| state.is_gone()))
        }
        Answer::Refused { .. } => true,
        Answer::Reservation { buyer, units, .. } => {
            demand.is_same(accepted) && *buyer == accepted.buyer && *units == accepted.units
        }
        answer @ Answer::Receipt { .. } => demand.is_same(accepted) && Some(answer) == receipt,
        Answer::Levels(_) => false,
    };
    let others = life.demands().filter(|(call, demand)| !fits(call, demand));
    others.map(|(call, _)| format!("repeats: {id} had been accepted as {accepted:?}: {call:?}")).collect()
}

/// Each return once, never more than was sold.
fn returns(id: Uuid, life: &Life<'_>, books: &Books) -> Vec<String> {
    let mut broken = Vec::new();
    let mut asked: BTreeMap<Uuid, Vec<&Invocation>> = BTreeMap::new();
    for call in &life.calls {
        if let Call::Return { return_id, .. } = &call.call {
            asked.entry(*return_id).or_default().push(call);
        }
    }
    let mut least: BTreeMap<&Cell, i64> = BTreeMap::new();
    for (return_id, calls) in asked {
        let (is_in, fits) = once(&calls, books.returns.get(&return_id).map(|of| *of == id));
        if !fits {
            broken.push(format!(
                "repeats: return {return_id} of {id} is in the ledger: {is_in:?}, but {calls:?}"
            ));
        }
        if let Some(Call::Return { units, .. }) =
            calls.iter().find(|call| super::is_yes(&call.answer)).map(|call| &call.call)
        {
            units.iter().for_each(|(cell, units)| *least.entry(cell).or_default() += units);
        }
    }
    let row = books.rows.get(&id);
    for (cell, least) in least {
        let (returned, sold) = row.map_or((0, 0), |row| {
            (row.returned.get(cell).copied().unwrap_or(0), row.units.get(cell).copied().unwrap_or(0))
        });
        if returned < least || returned > sold {
            broken.push(format!(
                "repeats: of {id} {returned} of {sold} {cell:?} came back, {least} were accepted"
            ));
        }
    }
    broken
}

fn adjustments(history: &History, books: &Books) -> Vec<String> {
    let mut asked: BTreeMap<Uuid, Vec<&Invocation>> = BTreeMap::new();
    for call in &history.calls {
        if let Call::Adjust { id, .. } = &call.call {
            asked.entry(*id).or_default().push(call);
        }
    }
    let mut broken = Vec::new();
    for (id, calls) in asked {
        let as_asked = books.adjustments.get(&id).map(|made| {
            calls.iter().any(|call| matches!(&call.call, Call::Adjust { cell, delta, .. } if (cell, delta) == (&made.0, &made.1)))
        });
        let (is_in, fits) = once(&calls, as_asked);
        let answers: Vec<_> =
            calls.iter().map(|call| &call.answer).filter(|answer| super::is_yes(answer)).collect();
        if !fits || answers.windows(2).any(|pair| pair[0] != pair[1]) {
            broken.push(format!("repeats: adjustment {id} is in the ledger: {is_in:?}, but {calls:?}"));
        }
    }
    broken
}

/// In the ledger when somebody was told so, not when everybody was refused. `is_in` says whether it is there, as it was asked for.
fn once(calls: &[&Invocation], is_in: Option<bool>) -> (Option<bool>, bool) {
    let accepted = calls.iter().any(|call| super::is_yes(&call.answer));
    let refused = calls.iter().all(|call| !call.answer.may_have_happened());
    let fits = match is_in {
        Some(as_asked) => as_asked && !refused,
        None => !accepted,
    };
    (is_in, fits)
}

#[cfg(test)]
mod tests {
    use super::super::super::record::State;
    use super::super::example::Example;
    use super::*;

    fn broken_in(example: &Example) -> Vec<String> {
        broken(&example.history, &super::super::lives(&example.history), &example.books)
    }

    fn example() -> (Example, Uuid) {
        let mut example = Example::with(5, None);
        let id = example.reserves("alice", 1, 10);
        assert_eq!(broken_in(&example), Vec::<String>::new());
        (example, id)
    }

    fn again(example: &mut Example, id: Uuid, quantity: i64, answer: Answer) {
        let demand = Example::demand("alice", quantity, Some(1_000));
        example.answers(Call::Demand { id, demand }, 50, answer);
    }

    fn refused(reason: &str) -> Answer {
        Answer::Refused { reason: reason.to_owned(), state: None }
    }

    #[test]
    fn an_accepted_id_that_is_not_in_the_ledger_or_is_another_one_there_is_seen() {
        let (mut example, id) = example();
        example.books.rows.get_mut(&id).unwrap().buyer = "bob".to_owned();
        assert!(broken_in(&example)[0].contains("was accepted as"));
        example.books.rows.clear();
        assert!(broken_in(&example)[0].contains("the ledger has None"));
    }

    #[test]
    fn a_refused_id_that_is_in_the_ledger_is_seen_and_an_open_one_is_not() {
        let (mut example, _) = example();
        example.history.calls[0].answer = Answer::Unknown("UNAVAILABLE".to_owned());
        assert_eq!(broken_in(&example), Vec::<String>::new());
        example.history.calls[0].answer = refused("OUT_OF_STOCK");
        assert!(broken_in(&example)[0].contains("was refused"));
    }

    #[test]
    fn a_repeated_id_that_is_refused_is_seen() {
        let (mut example, id) = example();
        again(&mut example, id, 1, Example::reservation("alice", 1, State::Pending));
        assert_eq!(broken_in(&example), Vec::<String>::new());
        again(&mut example, id, 1, refused("OUT_OF_STOCK"));
        assert!(broken_in(&example)[0].contains("had been accepted"));
    }

    #[test]
    fn other_content_under_a_known_id_may_only_be_refused() {
        let (mut example, id) = example();
        again(&mut example, id, 2, refused("RESERVATION_CONFLICT"));
        assert_eq!(broken_in(&example), Vec::<String>::new());
        again(&mut example, id, 2, Example::reservation("alice", 2, State::Pending));
        assert!(!broken_in(&example).is_empty());
    }

    #[test]
    fn a_repeated_deduction_with_another_receipt_is_seen() {
        let mut example = Example::with(5, None);
        let id = example.deducts("alice", 1, 10);
        example.repeats_deduction(id, 20);
        assert_eq!(broken_in(&example), Vec::<String>::new());
        example.history.calls[1].answer = Answer::Receipt { remaining: 4, version: 9 };
        assert!(broken_in(&example)[0].contains("had been accepted"));
    }

    #[test]
    fn returns_and_adjustments_that_are_not_in_the_ledger_are_seen() {
        let mut example = Example::with(5, None);
        let (id, adjustment) = (example.deducts("alice", 2, 10), Uuid::from_u128(77));
        example.adjusts(adjustment, 3, 15);
        let give_back =
            Call::Return { id, return_id: Uuid::from_u128(88), units: Example::demand("", 1, None).units };
        example.answers(give_back, 20, Answer::Levels(Vec::new()));
        example.books.returns.insert(Uuid::from_u128(88), id);
        example.books.rows.get_mut(&id).unwrap().returned.values_mut().for_each(|units| *units = 1);
        assert_eq!(broken_in(&example), Vec::<String>::new());
        example.books.returns.clear();
        example.books.adjustments.clear();
        assert_eq!(broken_in(&example).len(), 2, "{:?}", broken_in(&example));
    }

    #[test]
    fn a_defect_of_ours_is_seen() {
        let (mut example, id) = example();
        example.answers(Call::Look { id }, 50, Answer::Unknown("INTERNAL".to_owned()));
        assert!(broken_in(&example)[0].starts_with("defect"));
    }
}
