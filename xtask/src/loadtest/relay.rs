//! `loadtest relay`: what orders notice of the relay that tells of them. Orders are placed in three equal times: with nothing else to
//! do, with NATS gone and a long backlog put into the order service's outbox, and while that backlog is caught up. The time from
//! an order's transaction to a consumer is taken before, at a small steady rate, and while the backlog is caught up. A debug
//! build's figures mean something only beside each other.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use hdrhistogram::Histogram;
use serde::Serialize;
use sqlx::PgPool;
use stampede_kit::clock::Clock;
use stampede_kit::task;
use uuid::Uuid;

use super::follower::{BACKLOG_KEY, Follower};
use super::grpc;
use super::outcome::Tally;
use super::shop::{self, Sale, Shop};
use crate::cli::block_on;
use crate::generator::Crowd;
use crate::generator::pace::Pace;
use crate::servers::Kind;
use crate::terminal::{Step, say};
use crate::{home, release};

const CONNECTIONS: usize = 4;
const BUYERS: usize = 1_000;
const UNITS: i64 = 1_000_000;
/// Keys of the backlog, as many as there would be orders with four events each.
const EVENTS_OF_A_KEY: i64 = 4;
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(600);
const LOOK_EVERY: Duration = Duration::from_millis(50);

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Rows of the backlog.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(i64).range(1..=10_000_000))]
    rows: i64,
    /// How long orders are placed each time, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    duration: u64,
    /// Orders in flight at once.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    streams: u64,
    /// Orders a second while the way to a consumer is timed.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    rate: u64,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
    /// With what was built last in debug: ratios only.
    #[arg(long)]
    debug_build: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    rows: i64,
    /// From NATS being back until no row of the backlog waits, orders being placed meanwhile.
    caught_up_in_s: f64,
    rows_per_s: f64,
    orders_per_s: f64,
    orders_per_s_without_nats: f64,
    orders_per_s_catching_up: f64,
    /// Catching up beside nothing to do.
    ratio: f64,
    /// From the beginning of the order's transaction to the event at a consumer, at a steady rate.
    to_consumer_ms_p50: f64,
    to_consumer_ms_p99: f64,
    events_timed: u64,
    /// The same for orders placed from NATS being back on: events wait behind the backlog.
    to_consumer_catching_up_ms_p50: f64,
    to_consumer_catching_up_ms_p99: f64,
    events_timed_catching_up: u64,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if cfg!(debug_assertions) && !args.debug_build {
        return release::again(&["--workspace"]);
    }
    let _held = home::lock(&shop::folder())?;
    let step = Step::begin("opening a shop of its own");
    let mut shop = Shop::with(home::binaries(!args.debug_build), &step)?;
    step.done(shop.gateway()?);
    let report = block_on(measure(&mut shop, args));
    shop.close()?;
    let report = report?;
    if args.json {
        say(serde_json::to_string(&report)?);
        return Ok(ExitCode::SUCCESS);
    }
    say(format!(
        "{} rows in {:.1} s ({:.0}/s); orders: {:.0}/s, without NATS {:.0}/s, catching up {:.0}/s (x {:.2})",
        report.rows,
        report.caught_up_in_s,
        report.rows_per_s,
        report.orders_per_s,
        report.orders_per_s_without_nats,
        report.orders_per_s_catching_up,
        report.ratio
    ));
    say(format!(
        "to a consumer: p50 {:.1} ms, p99 {:.1} ms ({} events at {}/s)",
        report.to_consumer_ms_p50, report.to_consumer_ms_p99, report.events_timed, args.rate
    ));
    say(format!(
        "to a consumer while catching up: p50 {:.0} ms, p99 {:.0} ms ({} events)",
        report.to_consumer_catching_up_ms_p50,
        report.to_consumer_catching_up_ms_p99,
        report.events_timed_catching_up
    ));
    Ok(ExitCode::SUCCESS)
}

async fn measure(shop: &mut Shop, args: &Args) -> anyhow::Result<Report> {
    let run = Uuid::now_v7();
    let sale = Arc::new(shop.campaign(run, UNITS, 1_000).await?);
    let db =
        PgPool::connect(&shop.stack().servers().database_url("order")).await.context("order's database")?;
    let whole = Duration::from_secs(args.duration);

    let step = Step::begin("timing the way to a consumer");
    let url = shop.stack().servers().nats_url();
    let follower = Follower::start(&url).await?;
    place(shop, &sale, args, Pace::new(args.rate, whole)).await?;
    empty(&db, None).await?;
    let times = follower.end();
    step.done(format!("{} events", times.len()));

    let step = Step::begin("placing orders");
    let alone = place(shop, &sale, args, Pace::new(0, whole)).await?;
    step.at("placing orders without NATS");
    empty(&db, None).await?;
    shop.stack_mut().servers_mut().stop_one(Kind::Nats)?;
    let last = backlog(&db, args.rows).await?;
    let without = place(shop, &sale, args, Pace::new(0, whole)).await?;
    step.at("placing orders while the relay catches up");
    shop.stack_mut().servers_mut().restart(Kind::Nats)?;
    let back = Instant::now();
    let follower = Follower::start(&url).await?;
    let (catching, caught_up) = futures::try_join!(place(shop, &sale, args, Pace::new(0, whole)), async {
        empty(&db, Some(last)).await?;
        anyhow::Ok(back.elapsed())
    })?;
    empty(&db, None).await?;
    let waited = follower.end();
    step.done("");
    let ms = |times: &Histogram<u64>, quantile: f64| times.value_at_quantile(quantile) as f64 / 1_000.0;
    Ok(Report {
        rows: args.rows,
        caught_up_in_s: caught_up.as_secs_f64(),
        rows_per_s: args.rows as f64 / caught_up.as_secs_f64(),
        orders_per_s: alone,
        orders_per_s_without_nats: without,
        orders_per_s_catching_up: catching,
        ratio: catching / alone,
        to_consumer_ms_p50: ms(&times, 0.5),
        to_consumer_ms_p99: ms(&times, 0.99),
        events_timed: times.len(),
        to_consumer_catching_up_ms_p50: ms(&waited, 0.5),
        to_consumer_catching_up_ms_p99: ms(&waited, 0.99),
        events_timed_catching_up: waited.len(),
    })
}

/// Places orders until the pace ends; accepted orders a second.
async fn place(shop: &Shop, sale: &Sale, args: &Args, pace: Pace) -> anyhow::Result<f64> {
    let crowd = Crowd::gather(BUYERS, shop.issuer(), Clock::system().now(), Uuid::now_v7())?;
    let (crowd, pace) = (Arc::new(crowd), Arc::new(pace));
    let channels = shop.order_channels(CONNECTIONS)?;
    let senders: Vec<_> = (0..usize::try_from(args.streams)?)
        .map(|n| {
            let channel = channels[n % CONNECTIONS].clone();
            task::spawn("load", grpc::stream(channel, sale.order(), crowd.clone(), pace.clone()))
        })
        .collect();
    let mut tally = Tally::new();
    for sender in senders {
        tally.add(&sender.await.context("a sender panicked")??);
    }
    ensure!(tally.accepted > 0, "no order was accepted: {:?} {:?}", tally.refused, tally.broken);
    Ok(tally.accepted as f64 / pace.elapsed().as_secs_f64())
}

/// Rows as four events of many orders would be, a few hundred bytes each; the position of the last.
async fn backlog(db: &PgPool, rows: i64) -> anyhow::Result<i64> {
    let last = sqlx::query_scalar(
        "WITH written AS (
           INSERT INTO outbox (event_id, subject, event_key, payload)
           SELECT gen_random_uuid(), 'order.placed', $3 || n / $2, decode(repeat('00', 300), 'hex')
           FROM generate_series(1, $1) AS n ORDER BY n RETURNING position)
         SELECT max(position) FROM written",
    );
    Ok(last.bind(rows).bind(EVENTS_OF_A_KEY).bind(BACKLOG_KEY).fetch_one(db).await?)
}

/// Waits until nothing is unpublished, up to that position.
async fn empty(db: &PgPool, last: Option<i64>) -> anyhow::Result<()> {
    let deadline = Instant::now() + CAUGHT_UP_WITHIN;
    let waiting = "SELECT EXISTS (SELECT FROM outbox_waiting WHERE position <= $1)";
    while sqlx::query_scalar(waiting).bind(last.unwrap_or(i64::MAX)).fetch_one(db).await? {
        ensure!(Instant::now() < deadline, "the relay has not caught up within {CAUGHT_UP_WITHIN:?}");
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}
