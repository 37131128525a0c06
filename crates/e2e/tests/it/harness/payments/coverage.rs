//! What a run has to have met before its verdict is worth anything: every word of the scripts at a step that was taken, every way to pay,
//! every move with its effect, every fact, every fault, and every decision but to
//! believe a lie. It judges no history.

use std::collections::BTreeSet;

use sqlx::PgPool;
use stampede_proto::payment::v1::{PaymentDecision, StuckReason};

use super::card::{AUTHORIZE, LATER, METHODS, Step, TOLD, Word};
use super::clerk::Decided;
use super::program::{Client, Move};
use crate::harness::history::faults::{Fault, Struck};

/// From so many histories on each move has its effect, and each fact and decision is met, with certainty, on a busy machine too; before that
/// those that most come to.
const MANY: usize = 400;
const SELDOM: [Move; 1] = [Move::RefundComesBack];
const FEW: [&str; 2] = ["REFUND_REVERSED", "REFUND_FAILED"];

/// A fact is a person's finding only after a provider's lie, and no script has such a lie.
const FACTS: [&str; 12] = [
    "AUTHORIZED",
    "DECLINED",
    "CAPTURED",
    "VOIDED",
    "REFUND_PENDING",
    "REFUNDED",
    "REFUND_FAILED",
    "REFUND_REVERSED",
    "DISPUTE_OPENED",
    "DISPUTE_CLOSED",
    "DISPUTE_LOST",
    "EXPIRED",
];
const STATES: [&str; 6] = ["AUTHORIZED", "PARTIALLY_CAPTURED", "CAPTURED", "VOIDED", "FAILED", "EXPIRED"];

/// Of what there has to be some.
pub struct Seen<'a> {
    pub clients: &'a [Client],
    pub met: &'a BTreeSet<(Step, Word)>,
    pub decided: &'a Decided,
    pub done: &'a [Struck],
    pub menu: &'static [Fault],
}

/// What has not happened, in words.
pub async fn missing(seen: &Seen<'_>, database: &PgPool) -> Vec<String> {
    let mut missing = Vec::new();
    let met = |word: Word, first: bool| {
        seen.met.iter().any(|(step, known)| *known == word && (*step == Step::Authorize) == first)
    };
    let words = AUTHORIZE.iter().map(|word| (word, true)).chain(LATER.iter().map(|word| (word, false)));
    missing.extend(words.filter(|(word, first)| !met(word, *first)).map(|(word, _)| format!("word {word}")));
    let told = TOLD.iter().filter(|word| !met(word, true) && !met(word, false));
    missing.extend(told.map(|word| format!("word {word}")));
    let methods: BTreeSet<usize> = seen.clients.iter().map(|client| client.script.method).collect();
    missing.extend((methods.len() < METHODS).then(|| format!("ways to pay: {methods:?} alone")));
    let moves: BTreeSet<Move> = seen.clients.iter().flat_map(|client| client.done.iter().copied()).collect();
    let many = seen.clients.len() >= MANY;
    let never = Move::ALL.iter().filter(|step| !moves.contains(step) && (many || !SELDOM.contains(step)));
    missing.extend(never.map(|step| format!("move {step:?}")));
    let struck: BTreeSet<Fault> = seen.done.iter().map(|struck| struck.fault).collect();
    let spared = seen.menu.iter().filter(|fault| !struck.contains(fault));
    missing.extend(spared.map(|fault| format!("fault {fault:?}")));
    let wanted = [PaymentDecision::AskAgain, PaymentDecision::KeepOurs, PaymentDecision::CloseByHand];
    let wanted = if many { &wanted[..] } else { &wanted[..2] };
    let undecided = wanted.iter().filter(|way| !seen.decided.contains_key(&(StuckReason::Conflict, **way)));
    missing.extend(undecided.map(|way| format!("decision {}", way.as_str_name())));
    let facts = unseen(database, "SELECT DISTINCT kind FROM payment_event", &FACTS).await;
    missing.extend(facts.into_iter().filter(|fact| many || !FEW.contains(&fact.as_str())));
    missing.extend(unseen(database, "SELECT DISTINCT state FROM payment_intent", &STATES).await);
    missing
}

async fn unseen(database: &PgPool, question: &'static str, wanted: &[&str]) -> Vec<String> {
    let there: Vec<String> = sqlx::query_scalar(question).fetch_all(database).await.unwrap();
    wanted
        .iter()
        .filter(|one| !there.iter().any(|known| known == *one))
        .map(|one| (*one).to_owned())
        .collect()
}
