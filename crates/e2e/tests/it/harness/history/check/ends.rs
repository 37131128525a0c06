//! Each reservation ends once: everything anybody was told about it agrees with how the ledger says it ended, and whoever lost
//! learned who won.

use std::collections::BTreeMap;

use uuid::Uuid;

use super::super::books::Books;
use super::super::record::{Answer, Call, Invocation, Micros, State};
use super::Life;

pub fn broken(lives: &BTreeMap<Uuid, Life<'_>>, books: &Books) -> Vec<String> {
    let mut broken = Vec::new();
    for (id, life) in lives {
        for call in &life.calls {
            broken.extend(wrong_word(call));
            if let Some(told) = told(&call.answer).filter(|state| *state != State::Pending) {
                let is = books.rows.get(id).map(|row| row.state);
                if is != Some(told) {
                    broken
                        .push(format!("ends: {id} was said to be {told:?}, the ledger has {is:?}: {call:?}"));
                }
            }
        }
        broken.extend(came_back_to_life(*id, life));
        broken.extend(forgotten(*id, life));
        broken.extend(shortened(*id, life));
    }
    broken
}

/// The state an answer tells, refusals included.
fn told(answer: &Answer) -> Option<State> {
    match answer {
        Answer::Reservation { state, .. } => Some(*state),
        Answer::Refused { reason, state } if reason == "RESERVATION_RESOLVED" => *state,
        Answer::Refused { .. } | Answer::Receipt { .. } | Answer::Levels(_) | Answer::Unknown(_) => None,
    }
}

/// An answer that does not fit its question.
fn wrong_word(call: &Invocation) -> Option<String> {
    let fits = match (&call.call, &call.answer) {
        (_, Answer::Refused { reason, state: None }) => reason != "RESERVATION_RESOLVED",
        (Call::Commit { .. }, Answer::Reservation { state, .. }) => *state == State::Committed,
        (Call::Commit { .. }, Answer::Refused { state: Some(state), .. }) => state.is_gone(),
        (Call::Release { .. }, Answer::Reservation { state, .. }) => state.is_gone(),
        (Call::Release { .. }, Answer::Refused { state: Some(state), .. }) => *state == State::Committed,
        (Call::Demand { .. }, Answer::Reservation { state, .. }) => !state.is_gone(),
        (Call::Extend { .. }, Answer::Reservation { state, .. }) => *state == State::Pending,
        (
            Call::Demand { .. }
            | Call::Commit { .. }
            | Call::Release { .. }
            | Call::Look { .. }
            | Call::Extend { .. }
            | Call::Return { .. }
            | Call::Adjust { .. },
            _,
        ) => true,
    };
    (!fits).then(|| format!("ends: an answer does not fit its question: {call:?}"))
}

/// Pending after somebody knew that it had ended.
fn came_back_to_life(id: Uuid, life: &Life<'_>) -> Option<String> {
    let ended =
        life.calls.iter().filter(|call| told(&call.answer).is_some_and(|state| state != State::Pending));
    let ended = ended.map(|call| call.ended).min()?;
    let after = life.calls.iter().find(|c| c.begun > ended && told(&c.answer) == Some(State::Pending))?;
    Some(format!("ends: {id} was pending again after it had ended: {after:?}"))
}

/// Not known any more after somebody knew that it was there.
fn forgotten(id: Uuid, life: &Life<'_>) -> Option<String> {
    let known = life.calls.iter().filter(|call| super::is_yes(&call.answer)).map(|call| call.ended).min()?;
    let is_unknown = |answer: &Answer| matches!(answer, Answer::Refused { reason, .. } if reason == "RESERVATION_NOT_FOUND");
    let after = life.calls.iter().find(|call| call.begun > known && is_unknown(&call.answer))?;
    Some(format!("ends: {id} was forgotten: {after:?}"))
}

/// A pending hold's expiry only moves later.
fn shortened(id: Uuid, life: &Life<'_>) -> Option<String> {
    let expiry = |call: &Invocation| match &call.answer {
        Answer::Reservation { state: State::Pending, expires_at, .. } => *expires_at,
        Answer::Reservation { .. }
        | Answer::Receipt { .. }
        | Answer::Levels(_)
        | Answer::Refused { .. }
        | Answer::Unknown(_) => None,
    };
    let told: Vec<_> = life.calls.iter().filter_map(|call| Some((call, expiry(call)?))).collect();
    let is_shorter = |(later, until): &&(&&Invocation, Micros)| {
        told.iter().any(|(earlier, promised)| earlier.ended < later.begun && promised > until)
    };
    told.iter()
        .find(is_shorter)
        .map(|(call, _)| format!("ends: {id} was promised for longer before: {call:?}"))
}

#[cfg(test)]
mod tests {
    use super::super::example::Example;
    use super::*;

    fn broken_in(example: &Example) -> Vec<String> {
        broken(&super::super::lives(&example.history), &example.books)
    }

    fn committed() -> (Example, Uuid) {
        let mut example = Example::with(5, None);
        let id = example.reserves("alice", 1, 10);
        example.commits(id, 20);
        assert_eq!(broken_in(&example), Vec::<String>::new());
        (example, id)
    }

    #[test]
    fn two_winners_are_seen() {
        let (mut example, id) = committed();
        example.answers(Call::Release { id }, 21, Example::reservation("alice", 1, State::Released));
        assert!(broken_in(&example)[0].contains("was said to be Released"));
    }

    #[test]
    fn a_loser_who_did_not_learn_who_won_is_seen() {
        let (mut example, id) = committed();
        let lost = |state| Answer::Refused { reason: "RESERVATION_RESOLVED".to_owned(), state };
        example.answers(Call::Release { id }, 21, lost(Some(State::Committed)));
        assert_eq!(broken_in(&example), Vec::<String>::new());
        example.answers(Call::Release { id }, 22, lost(None));
        assert!(broken_in(&example)[0].contains("does not fit"));
    }

    #[test]
    fn a_commit_of_what_has_expired_is_seen() {
        let (mut example, id) = committed();
        example.books.rows.get_mut(&id).unwrap().state = State::Expired;
        assert!(broken_in(&example)[0].contains("the ledger has Some(Expired)"));
    }

    #[test]
    fn a_hold_that_is_extended_backwards_is_seen() {
        let mut example = Example::with(5, None);
        let id = example.reserves("alice", 1, 10);
        let mut answer = Example::reservation("alice", 1, State::Pending);
        example.answers(Call::Extend { id, until: 0 }, 20, answer.clone());
        assert_eq!(broken_in(&example), Vec::<String>::new());
        if let Answer::Reservation { expires_at, .. } = &mut answer {
            *expires_at = expires_at.map(|at| at - 1);
        }
        example.answers(Call::Look { id }, 30, answer);
        assert!(broken_in(&example)[0].contains("promised for longer"));
    }

    #[test]
    fn pending_after_the_end_and_forgetting_are_seen() {
        let (mut example, id) = committed();
        example.answers(Call::Look { id }, 30, Example::reservation("alice", 1, State::Pending));
        assert!(broken_in(&example)[0].contains("pending again"));
        let (mut example, id) = committed();
        let gone = Answer::Refused { reason: "RESERVATION_NOT_FOUND".to_owned(), state: None };
        example.answers(Call::Look { id }, 30, gone);
        assert!(broken_in(&example)[0].contains("forgotten"));
    }
}
