//! Random histories of payments: many callers at two payment processes, a provider that misbehaves by script and moves money by itself,
//! processes and stores killed at any time, staff who decide meanwhile, and the provider's own books as the judge. A failure prints its seed
//! and the histories it is about; STAMPEDE_HISTORY_SEED plays it again as far as what happens at once allows, STAMPEDE_HISTORY_ORDERS makes
//! it longer (`cargo xtask histories --of payments`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::harness::history::faults::{self, Fault, Plan, Struck};
use crate::harness::number;
use crate::harness::payments::card::{Step, Word};
use crate::harness::payments::clerk::{self, Decided};
use crate::harness::payments::coverage::{self, Seen};
use crate::harness::payments::judge::{self, Books};
use crate::harness::payments::program::Client;
use crate::harness::payments::till::Till;
use crate::harness::stage::Stage;

/// The gateway takes the provider's webhooks, and is ready when all whom it asks are.
const SERVICES: [&str; 5] = ["psp-simulator", "payment", "inventory", "order", "gateway"];
const SETTINGS: [(&str, &str, &str); 1] = [("payment", "psp.timeout_ms", "800")];
/// Histories at once.
const AT_ONCE: usize = 12;
/// What has to be met is mostly met in the first; what chance has spared gets as many histories again. How often at most.
const ROUNDS: u64 = 4;
/// Between two faults.
const PAUSE_MS: std::ops::Range<u64> = 200..1_500;
/// What is not settled by then never is: an attempt that was lost again and again is asked about once a minute.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Histories of a failure that are printed whole.
const PRINTED: usize = 4;

/// How it ended.
struct End {
    broken: Vec<String>,
    met: BTreeSet<(Step, Word)>,
}

async fn ends_well(seed: u64, payments: u64, menu: &'static [Fault]) {
    let seed = number("STAMPEDE_HISTORY_SEED").unwrap_or(seed);
    let payments = number("STAMPEDE_HISTORY_ORDERS").unwrap_or(payments);
    let stage = Stage::open(&SERVICES, &[("payment", 2)], &SETTINGS);
    let till = Arc::new(Till::of(&stage));
    let database = stage.database("payment").await;
    let (mut clients, mut decided, mut done) = (Vec::new(), Decided::new(), Vec::new());
    for round in 1..=ROUNDS {
        let plan =
            Plan { seed: seed.wrapping_add(round - 1), menu, pause_ms: PAUSE_MS, recovers: true, all: true };
        let numbers = (round - 1) * payments..round * payments;
        let mut end = play_round(&stage, &till, plan, numbers, (&mut clients, &mut decided, &mut done)).await;
        let internal =
            faults::unexcused(clients.iter().flat_map(|client| client.internal.iter().copied()), &done);
        end.broken.extend(
            (internal > 0).then(|| format!("{internal} answers say INTERNAL while every server stood")),
        );
        let summary = summary(&database, clients.len(), &decided, &done).await;
        assert!(
            end.broken.is_empty(),
            "seed {seed}, {summary}\n{}\nfaults:\n{}",
            end.broken.join("\n"),
            faults::told(&done)
        );
        let seen = Seen { clients: &clients, met: &end.met, decided: &decided, done: &done, menu };
        let missing = coverage::missing(&seen, &database).await;
        eprintln!("seed {seed}: {summary}");
        if missing.is_empty() {
            return;
        }
        assert!(
            round < ROUNDS,
            "seed {seed}, {summary}: it ended well and has never met {missing:?} in {round} rounds"
        );
        eprintln!("never met {missing:?}: as many again");
    }
}

/// Plays the histories of these numbers beside those that were played before, until all of them are settled; what is wrong then.
async fn play_round(
    stage: &Stage,
    till: &Arc<Till>,
    plan: Plan,
    numbers: Range<u64>,
    (clients, decided, done): (&mut Vec<Client>, &mut Decided, &mut Vec<Struck>),
) -> End {
    let database = stage.database("payment").await;
    let stop = CancellationToken::new();
    let deciding = tokio::spawn(clerk::work(till.clone(), stop.clone()));
    let watching = tokio::spawn(watch(database.clone(), stop.clone()));
    let (played, struck) = play(stage, till, plan, numbers).await;
    stop.cancel();
    for (what, times) in deciding.await.unwrap() {
        *decided.entry(what).or_default() += times;
    }
    clients.extend(played);
    done.extend(struck);
    let mut end = settle(till, &database, clients, decided).await;
    end.broken.extend(watching.await.unwrap().iter().map(|(payment, how)| {
        let client = clients.iter().find(|client| client.payment == *payment);
        let told = client.map(|client| (client.script.token(), &client.told));
        format!("nobody would ever come to {payment}, {how}: {told:#?}")
    }));
    end
}

/// Plays them all while the stack is hurt.
async fn play(
    stage: &Stage,
    till: &Arc<Till>,
    plan: Plan,
    numbers: Range<u64>,
) -> (Vec<Client>, Vec<Struck>) {
    let over = Arc::new(AtomicBool::new(false));
    let (stack, names, ends) = (stage.stack.clone(), stage.names_of("payment"), over.clone());
    let seed = plan.seed;
    let hurting = tokio::task::spawn_blocking(move || {
        faults::hurt(&stack, &names, &plan, || !ends.load(Ordering::SeqCst))
    });
    let playing = numbers.map(|number| tokio::spawn(Client::new(till.clone(), seed, number).run()));
    let played: Vec<_> = futures::stream::iter(playing).buffer_unordered(AT_ONCE).collect().await;
    over.store(true, Ordering::SeqCst);
    let done = hurting.await.unwrap();
    let failed = |error| panic!("seed {seed}: {error}; faults:\n{}", faults::told(&done));
    let clients = played.into_iter().map(|client| client.unwrap_or_else(failed)).collect();
    (clients, done)
}

/// While everything goes on, no payment is without an owner; those that were.
async fn watch(database: PgPool, stop: CancellationToken) -> BTreeSet<(Uuid, String)> {
    let mut unowned = BTreeSet::new();
    while stop.run_until_cancelled(tokio::time::sleep(LOOK_EVERY)).await.is_some() {
        // The database may be away.
        unowned.extend(judge::unowned(&database).await.unwrap_or_default());
    }
    unowned
}

/// Waits until everything the provider tells late has come and everything is settled, and what is wrong then is wrong.
async fn settle(till: &Till, database: &PgPool, clients: &[Client], decided: &mut Decided) -> End {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let end = look(till, database, clients, decided).await;
        if end.broken.is_empty() || Instant::now() >= deadline {
            return end;
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

async fn look(till: &Till, database: &PgPool, clients: &[Client], decided: &mut Decided) -> End {
    let mut end = End { broken: Vec::new(), met: BTreeSet::new() };
    let waiting = clerk::decide(till, decided).await.unwrap();
    end.broken.extend((waiting > 0).then(|| format!("{waiting} wait for a person")));
    let open = judge::unsettled(database).await.unwrap();
    end.broken.extend((open > 0).then(|| format!("{open} are open")));
    let unowned = judge::unowned(database).await.unwrap();
    end.broken.extend(unowned.iter().map(|(payment, how)| format!("nobody will come to {payment}: {how}")));
    let books = Books::read(database).await.unwrap();
    end.broken.extend(books.differences().iter().cloned());
    let mut printed = 0;
    for client in clients {
        let verdict = books.judge(till, client).await;
        end.met.extend(verdict.met);
        if verdict.broken.is_empty() {
            continue;
        }
        printed += 1;
        let told = match printed <= PRINTED {
            true => format!("{:#?}\n{:#?}", client.told, judge::story(database, client.payment).await),
            false => String::new(),
        };
        let what = verdict.broken.join("\n  ");
        end.broken.push(format!("{} with {}:\n  {what}\n{told}", client.payment, client.script.token()));
    }
    end
}

async fn summary(database: &PgPool, payments: usize, decided: &Decided, done: &[Struck]) -> String {
    let states: Vec<(String, i64)> =
        sqlx::query_as("SELECT state, count(*) FROM payment_intent GROUP BY state ORDER BY state")
            .fetch_all(database)
            .await
            .unwrap();
    let parked: i64 =
        sqlx::query_scalar("SELECT count(*) FROM webhook WHERE state = 'APPLIED' AND payload <> ''")
            .fetch_one(database)
            .await
            .unwrap();
    let decided: BTreeMap<String, usize> = decided
        .iter()
        .map(|((why, way), times)| (format!("{} {}", why.as_str_name(), way.as_str_name()), *times))
        .collect();
    format!(
        "{payments} payments, {} faults, {parked} webhooks waited for their time, {decided:?}, {states:?}",
        done.len()
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn payments_end_as_the_provider_knows_them_whatever_it_tells_and_whoever_is_killed() {
    ends_well(11, 72, &[Fault::Kill, Fault::Kill, Fault::Freeze, Fault::Restart]).await;
}

/// The database dies in long runs only: on a busy machine its processes may need longer to be ready again than one test may take.
#[tokio::test(flavor = "multi_thread")]
async fn payments_end_as_the_provider_knows_them_when_servers_are_lost_too() {
    let long = number("STAMPEDE_HISTORY_ORDERS").is_some();
    let menu: &[Fault] = if long {
        &[Fault::Kill, Fault::PostgresKill, Fault::NatsKill]
    } else {
        &[Fault::Kill, Fault::NatsKill]
    };
    ends_well(12, 54, menu).await;
}
