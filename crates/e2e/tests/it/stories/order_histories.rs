//! Random histories of orders: many buyers and staff at two order processes over mTLS, a provider that misbehaves, everything killed at
//! any time, and what everybody was told compared with a model and with all books afterwards. A failure prints its seed and the
//! histories it is about; STAMPEDE_HISTORY_SEED plays it again as far as what happens at once allows, STAMPEDE_HISTORY_ORDERS makes it
//! longer (`cargo xtask histories`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use stampede_kit::inbox::{ConsumerConfig, consume};
use stampede_kit::{Secret, nats, task};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::harness::books::are_whole;
use crate::harness::history::faults::{self, Fault, Plan};
use crate::harness::number;
use crate::harness::orders::books::{Books, HEARD};
use crate::harness::orders::check::{self, Broken};
use crate::harness::orders::coverage;
use crate::harness::orders::market;
use crate::harness::orders::program::{Board, Client};
use crate::harness::orders::record::Life;
use crate::harness::orders::settle;
use crate::harness::stage::Stage;

const SERVICES: [&str; 5] = ["psp-simulator", "payment", "inventory", "order", "gateway"];
/// The provider stands outside: it misbehaves by script.
const KILLED: [&str; 4] = ["payment", "inventory", "order", "gateway"];
/// Deadlines short enough to be met and missed within a history.
const SETTINGS: [(&str, &str, &str); 7] = [
    ("order", "payment_window_ms", "4000"),
    ("order", "session_grace_ms", "1500"),
    ("order", "hold_grace_ms", "3000"),
    ("order", "saga.lease_ms", "1000"),
    ("order", "return_period_ms", "5000"),
    ("payment", "psp.timeout_ms", "500"),
    ("order", "database.connections", "16"),
];
/// Histories at once.
const AT_ONCE: usize = 16;
/// Answers between two faults, however long a busy machine takes over them; and a moment more.
const ANSWERS: u64 = 80;
const PAUSE_MS: std::ops::Range<u64> = 0..1_000;
const POLL: Duration = Duration::from_millis(20);
/// Histories of a failure that are printed whole.
const PRINTED: usize = 4;

async fn ends_well(seed: u64, orders: u64, menu: &'static [Fault]) {
    let seed = number("STAMPEDE_HISTORY_SEED").unwrap_or(seed);
    let orders = number("STAMPEDE_HISTORY_ORDERS").unwrap_or(orders);
    let stage = Stage::open(&SERVICES, &[("order", 2)], &SETTINGS);
    let terms = market::fill(&stage).await;
    let hearing = hear(&stage).await;
    let board = Arc::new(Board::of(&stage).await);

    let began = Instant::now();
    let over = Arc::new(AtomicBool::new(false));
    let (stack, names, ends) = (stage.stack.clone(), killed(&stage), over.clone());
    let (plan, played) = (Plan { seed, menu, pause_ms: PAUSE_MS, recovers: true, all: true }, board.clone());
    let hurting =
        tokio::task::spawn_blocking(move || faults::hurt(&stack, &names, &plan, || goes_on(&played, &ends)));
    let clerk = CancellationToken::new();
    let deciding = tokio::spawn(settle::clerk(board.clone(), clerk.clone()));
    let playing = (0..orders).map(|number| tokio::spawn(Client::new(board.clone(), seed, number).run()));
    let played: Vec<_> = futures::stream::iter(playing).buffer_unordered(AT_ONCE).collect().await;
    over.store(true, Ordering::SeqCst);
    let done = hurting.await.unwrap();
    let failed = |error| panic!("seed {seed}: {error}; faults:\n{}", faults::told(&done));
    let mut clients: Vec<Client> = played.into_iter().map(|client| client.unwrap_or_else(failed)).collect();

    clerk.cancel();
    deciding.await.unwrap();

    let noise = began.elapsed();
    settle::settle(&stage, &board, &mut clients, seed).await;
    let mut lives: Vec<Life> = clients.iter().map(Client::life).collect();
    lives.sort_by_key(|life| life.number);
    let books = Books::read(&stage, &board.counter).await;
    let broken = check::broken_rules(&lives, &books, &terms, &done);
    let summary =
        format!("{}, {} faults, noise {noise:?} of {:?}", summary(&lives), done.len(), began.elapsed());
    assert!(
        broken.is_empty(),
        "seed {seed}, {summary}\n{}\nfaults:\n{}",
        told(&broken, &lives),
        faults::told(&done)
    );
    are_whole(
        &stage.database("order").await,
        &stage.database("inventory").await,
        &stage.database("payment").await,
    )
    .await;
    let moves = clients.iter().flat_map(Client::done).copied().collect();
    let missing = coverage::missing(&moves, &lives, &done, menu);
    assert!(missing.is_empty(), "seed {seed}, {summary}: it ended well and has never met {missing:?}");
    eprintln!("seed {seed}: {summary}");
    hearing.cancel();
}

/// Waits for the next fault; whether there is one.
fn goes_on(board: &Board, over: &AtomicBool) -> bool {
    let enough = board.answered() + ANSWERS;
    while !over.load(Ordering::SeqCst) && board.answered() < enough {
        std::thread::sleep(POLL);
    }
    !over.load(Ordering::SeqCst)
}

fn killed(stage: &Stage) -> Vec<String> {
    KILLED.iter().flat_map(|service| stage.names_of(service)).collect()
}

/// A consumer of what order tells, with a database of its own: each event it handles leaves a row.
async fn hear(stage: &Stage) -> CancellationToken {
    let (db, stop) = (stage.database("order").await, CancellationToken::new());
    sqlx::raw_sql(HEARD).execute(&db).await.unwrap();
    let url = stage.stack.lock().unwrap().servers().nats_url();
    let client = nats::connect(&Secret::new(url)).await.unwrap();
    let hearing = consume(
        db,
        client,
        ConsumerConfig::new("history-orders", ["order.*", "return.*"]),
        |conn, message| {
            Box::pin(async move {
                sqlx::query("INSERT INTO heard (event_id, event_key, subject) VALUES ($1, $2, $3)")
                    .bind(message.id)
                    .bind(&message.key)
                    .bind(&message.subject)
                    .execute(conn)
                    .await?;
                Ok(())
            })
        },
        stop.clone(),
    );
    task::spawn("consumer", hearing);
    stop
}

/// What broke, and the histories it is about.
fn told(broken: &[Broken], lives: &[Life]) -> String {
    let mut text = format!("{} rules broken:\n", broken.len());
    broken.iter().for_each(|one| text += &format!("{:?}: {}\n", one.history, one.what));
    let about: BTreeSet<u64> = broken.iter().filter_map(|one| one.history).take(PRINTED).collect();
    lives.iter().filter(|life| about.contains(&life.number)).for_each(|life| text += &life.to_string());
    text
}

fn summary(lives: &[Life]) -> String {
    let mut ends = std::collections::BTreeMap::new();
    for life in lives {
        let end = life.last().map_or("none".to_owned(), |view| format!("{:?}", view.standing.state));
        *ends.entry(end).or_insert(0) += 1;
    }
    let calls: usize = lives.iter().map(|life| life.calls.len()).sum();
    let backs = lives.iter().filter_map(Life::last).flat_map(|view| view.backs.values());
    let refunded = backs.filter(|back| back.refund.is_some()).count();
    let came_back: usize = lives.iter().map(|life| life.came_back().count()).sum();
    let unknown = lives.iter().flat_map(|life| &life.calls).filter(|call| call.answer.is_unknown()).count();
    format!(
        "{} histories, {calls} calls, {unknown} unknown at first, {refunded} returns refunded, {came_back} came back, {ends:?}",
        lives.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_end_well_whatever_process_is_killed() {
    ends_well(11, 105, &[Fault::Kill, Fault::Kill, Fault::Freeze, Fault::Restart]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn orders_end_well_whatever_server_is_lost() {
    let menu = &[Fault::PostgresKill, Fault::NatsKill, Fault::RedisKill, Fault::RedisFlush, Fault::Kill];
    ends_well(12, 70, menu).await;
}
