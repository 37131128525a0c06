//! Random concurrent histories: many clients at three inventory processes on the same stores, everything killed at any time, and
//! what everybody was told checked against the books afterwards. A failure prints its seed; STAMPEDE_HISTORY_SEED plays it again,
//! STAMPEDE_HISTORY_SECONDS makes it longer.

use std::sync::Arc;
use std::time::Duration;

use stampede_kit::clock::Clock;
use tokio::time::Instant;

use crate::harness::history::books::Books;
use crate::harness::history::check;
use crate::harness::history::faults::{self, Fault, Plan};
use crate::harness::history::market;
use crate::harness::history::program::{Board, Client};
use crate::harness::history::record::{Answer, Cell, History, Recorder};
use crate::harness::history::settle;
use crate::harness::history::talk::{INTERNAL, Processes};
use crate::harness::history::watch::Reader;
use crate::harness::stage::Stage;
use crate::harness::{eventually, number};

const PROCESSES: usize = 3;
const CLIENTS: u64 = 32;
/// How long the clients are at it.
const LASTING_S: u64 = 11;
/// Between two faults.
const PAUSE_MS: std::ops::Range<u64> = 100..900;

async fn keeps_every_promise(seed: u64, menu: &'static [Fault]) {
    let seed = number("STAMPEDE_HISTORY_SEED").unwrap_or(seed);
    let lasting = Duration::from_secs(number("STAMPEDE_HISTORY_SECONDS").unwrap_or(LASTING_S));
    let stage = Stage::open(&["inventory"], &[("inventory", PROCESSES)], &[]);
    let terms = market::fill(&stage).await;
    let processes = Processes::of(&stage.stack.lock().unwrap(), &stage.names);
    let cells =
        ["hot tee", "flash tee", "flash mug", "brief cap", " tee", " cap", " mug"].map(named).to_vec();
    let skus = ["tee", "cap", "mug"].map(str::to_owned).to_vec();
    let reader = Reader::start(processes.clone(), skus);
    let board = Arc::new(Board::new(processes, Recorder::start(Clock::system().now()), cells));

    let until = Instant::now() + lasting;
    let clients =
        (0..CLIENTS).map(|n| tokio::spawn(Client::new(board.clone(), seed ^ (n + 1) << 32).run(until)));
    let clients: Vec<_> = clients.collect();
    let (stack, names) = (stage.stack.clone(), stage.names.clone());
    let plan = Plan { seed, menu, pause_ms: PAUSE_MS, recovers: false, all: false };
    let hurting =
        tokio::task::spawn_blocking(move || faults::hurt(&stack, &names, &plan, || Instant::now() < until));
    let done = hurting.await.unwrap();
    for client in futures::future::join_all(clients).await {
        client.unwrap_or_else(|error| panic!("seed {seed}: {error}; faults:\n{}", faults::told(&done)));
    }

    let db = stage.database("inventory").await;
    settle::settle(&board, &db, &terms).await;
    eventually(async || {
        let (told, is) = (reader.last(), Books::levels(&db).await);
        if told == is {
            Ok(())
        } else {
            Err(format!("seed {seed}: the feed says {told:?}, the ledger {is:?}"))
        }
    })
    .await;
    let history = History { terms, calls: board.recorder.calls(), heard: reader.heard() };
    let mut broken = check::broken_rules(&history, &Books::read(&db).await);
    let internal = history.calls.iter().filter(|call| call.answer == Answer::Unknown(INTERNAL.to_owned()));
    let faults = faults::unexcused(internal.map(|call| (call.begun, call.ended)), &done);
    broken.extend((faults > 0).then(|| format!("{faults} answers say INTERNAL while every server stood")));
    broken.extend(reader.refused().into_iter().map(|status| format!("feed: refused {status}")));
    let summary = summary(&history, done.len());
    assert!(
        broken.is_empty(),
        "seed {seed}, {summary}: {} rules broken:\n{}\nfaults:\n{}",
        broken.len(),
        broken.join("\n"),
        faults::told(&done)
    );
    eprintln!("seed {seed}: {summary}");
}

/// "campaign sku".
fn named(name: &str) -> Cell {
    let (campaign, sku) = name.split_once(' ').unwrap();
    Cell { campaign: campaign.to_owned(), sku: sku.to_owned() }
}

fn summary(history: &History, faults: usize) -> String {
    let yes = history.calls.iter().filter(|call| check::is_yes(&call.answer)).count();
    let unknown = history.calls.iter().filter(|call| call.answer.is_unknown()).count();
    let calls = history.calls.len();
    format!(
        "{calls} calls, {yes} accepted, {unknown} unknown at first, {faults} faults, {} messages",
        history.heard.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_killed_at_any_moment_keep_every_promise() {
    keeps_every_promise(1, &[Fault::Kill, Fault::Kill, Fault::Freeze, Fault::Restart]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gate_lost_at_any_moment_breaks_no_promise() {
    let menu = &[Fault::RedisKill, Fault::RedisFlush, Fault::RedisFreeze, Fault::RedisFlush, Fault::Kill];
    keeps_every_promise(2, menu).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ledger_restarted_at_any_moment_keeps_every_promise() {
    let menu = &[Fault::PostgresRestart, Fault::PostgresKill, Fault::Kill, Fault::RedisFlush];
    keeps_every_promise(3, menu).await;
}
