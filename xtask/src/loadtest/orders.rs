//! `loadtest orders`: how many durable orders a second the whole shop takes, what each costs every process, and how long buyers wait
//! at half of that. The load is as light as it can be made, so that the two cores are the shop's. It never mixes faces in one run.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use serde::Serialize;
use stampede_kit::clock::Clock;
use uuid::Uuid;

use super::Protocol;
use super::shop::{self, Shop};
use crate::cli::block_on;
use crate::generator::grpc::Target;
use crate::generator::pace::Pace;
use crate::generator::{Crowd, Load, Orders, rest};
use crate::measure::{self, CLIENT, Figures, Span};
use crate::processes::Measured;
use crate::servers::Kind;
use crate::terminal::{Step, say};
use crate::{home, release, stack};

/// Few connections with many streams cost half of many with one.
const GRPC_CONNECTIONS: usize = 4;
const UNITS: i64 = 1_000_000_000;
const WARM_UP: Duration = Duration::from_secs(3);
/// The outboxes are published within this after a load.
const QUIET_WITHIN: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(100);
/// What one durable order costs by itself, in CPU microseconds, all processes together: the parts measured one by one.
const FLOOR_US: [(Protocol, f64); 2] = [(Protocol::Rest, 117.0), (Protocol::Grpc, 95.0)];

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Through the gateway's REST, or straight to the order service.
    #[arg(long, value_enum, default_value = "rest")]
    protocol: Protocol,
    /// Every figure is the median of so many rounds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=99))]
    rounds: u64,
    /// How long each figure is measured in each round, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Requests in flight at once; over REST each is a connection of its own.
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u64).range(1..=5_000))]
    connections: u64,
    /// SKUs on the shelf that are bought in turn.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    skus: u64,
    /// Buyers, each with a token of their own.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    buyers: u64,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// With what was built last in debug: to try the command itself, the figures mean nothing.
    #[arg(long, hide = true)]
    debug_build: bool,
}

/// One run. Field names are the interface: scripts read them.
#[derive(Debug, Serialize)]
struct Report {
    protocol: &'static str,
    rounds: u64,
    seconds: u64,
    connections: u64,
    skus: u64,
    /// As many as there is room for.
    most: Figures,
    most_per_s_by_round: Vec<f64>,
    /// At half of that, on a schedule that waits for no answer.
    half: Figures,
    /// CPU microseconds an order, all processes together, and what the parts come to.
    cpu_us: f64,
    floor_us: f64,
    /// Each difference found in the books, as a sentence. Empty is what passes.
    differences: Vec<String>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if cfg!(debug_assertions) && !args.debug_build {
        return release::again(&["--workspace"]);
    }
    let _held = home::lock(&shop::folder())?;
    let step = Step::begin("opening a shop of its own");
    let shop = Shop::with(home::binaries(!args.debug_build), &step)?;
    step.done(shop.gateway()?);
    let report = block_on(measured(&shop, args));
    shop.close()?;
    let report = report?;
    if args.json {
        say(serde_json::to_string(&report)?);
    } else {
        report.print();
    }
    Ok(if report.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measured(shop: &Shop, args: &Args) -> anyhow::Result<Report> {
    let mut loads = Loads::open(shop, args).await?;
    let (mut most, mut half) = (Vec::new(), Vec::new());
    for round in 1..=args.rounds {
        let step = Step::begin(format!("round {round} of {}: as many as there is room for", args.rounds));
        most.push(loads.run(0).await?);
        step.done(format!("{:.0} orders/s", most[most.len() - 1].accepted_per_s));
    }
    let by_round: Vec<f64> = most.iter().map(|figures| figures.accepted_per_s).collect();
    let most = Figures::median(&most).context("no round")?;
    let rate = (most.accepted_per_s / 2.0) as u64;
    for round in 1..=args.rounds {
        let step = Step::begin(format!("round {round} of {}: {rate} orders/s", args.rounds));
        half.push(loads.run(rate.max(1)).await?);
        step.done(format!("p99 {:.1} ms", half[half.len() - 1].p99_ms));
    }
    let floor_us =
        FLOOR_US.into_iter().find(|(protocol, _)| *protocol == args.protocol).map_or(0.0, |(_, us)| us);
    Ok(Report {
        protocol: args.protocol.name(),
        rounds: args.rounds,
        seconds: args.seconds,
        connections: args.connections,
        skus: args.skus,
        cpu_us: most.cpu_us.values().sum(),
        floor_us,
        most,
        most_per_s_by_round: by_round,
        half: Figures::median(&half).context("no round")?,
        differences: loads.differences().await?,
    })
}

/// Loads one after the other on one shop.
struct Loads<'a> {
    shop: &'a Shop,
    args: &'a Args,
    orders: Orders,
    gateway: SocketAddr,
    processes: Vec<Measured>,
    span: Span,
    next: u64,
    accepted: u64,
    unknown: u64,
}

impl Loads<'_> {
    async fn open<'a>(shop: &'a Shop, args: &'a Args) -> anyhow::Result<Loads<'a>> {
        let step = Step::begin("gathering the crowd");
        let run = Uuid::now_v7();
        let skus = shop.shelf(run, args.skus, UNITS).await?;
        let crowd = Crowd::gather(usize::try_from(args.buyers)?, shop.issuer(), Clock::system().now(), run)?;
        let gateway = shop.stack().address("gateway")?;
        step.done(format!("{} buyers", args.buyers));
        Ok(Loads {
            shop,
            args,
            orders: Orders::new(Arc::new(crowd), &skus, "", &gateway.to_string()),
            gateway,
            processes: processes(shop),
            span: Span { warm_up: WARM_UP, measured: Duration::from_secs(args.seconds) },
            next: 0,
            accepted: 0,
            unknown: 0,
        })
    }

    /// One load; `rate` 0 is as many as there is room for.
    async fn run(&mut self, rate: u64) -> anyhow::Result<Figures> {
        self.quiet().await?;
        let load = self.load(rate)?;
        let (figures, whole) =
            tokio::task::block_in_place(|| measure::load(load, self.span, &self.processes))?;
        // Each connection may have been handed one number more than it sent.
        self.next += whole.requests() + self.args.connections;
        self.accepted += whole.accepted;
        self.unknown += whole.unknown;
        let refused: BTreeMap<_, _> = figures.by_status.iter().filter(|(status, _)| **status != 0).collect();
        ensure!(refused.is_empty(), "orders were refused, by gRPC status: {refused:?}");
        Ok(figures)
    }

    fn load(&self, rate: u64) -> anyhow::Result<Load> {
        let pace = Arc::new(Pace::endless(rate, self.next));
        let (connections, orders) = (usize::try_from(self.args.connections)?, self.orders.clone());
        match self.args.protocol {
            Protocol::Rest => {
                let gateway = self.gateway;
                Load::start(move |counters| {
                    let one = |_| rest::run(gateway, orders.clone(), Arc::clone(&pace), Arc::clone(counters));
                    (0..connections).map(one).collect()
                })
            }
            Protocol::Grpc => {
                let target = Target {
                    addresses: vec![self.shop.stack().address("order")?],
                    service: "order",
                    connections: GRPC_CONNECTIONS.min(connections),
                    streams: connections.div_ceil(GRPC_CONNECTIONS),
                };
                let tls = self.shop.client_tls()?;
                Load::start(move |counters| target.connections(&tls, &orders, &pace, counters))
            }
        }
    }

    /// Waits until what was committed has been published.
    async fn quiet(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + QUIET_WITHIN;
        for service in ["order", "inventory"] {
            let db = self.shop.database(service).await?;
            while sqlx::query_scalar("SELECT EXISTS (SELECT FROM outbox_waiting)")
                .fetch_one(&db)
                .await
                .context("the outbox could not be read")?
            {
                ensure!(Instant::now() < deadline, "{service}'s outbox is not published in time");
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// The books after everything: as many orders, and as many units held, as were accepted.
    async fn differences(&self) -> anyhow::Result<Vec<String>> {
        let orders: i64 = sqlx::query_scalar("SELECT count(*) FROM orders")
            .fetch_one(&self.shop.database("order").await?)
            .await?;
        let units: i64 = sqlx::query_scalar("SELECT coalesce(sum(held + committed), 0)::bigint FROM stock")
            .fetch_one(&self.shop.database("inventory").await?)
            .await?;
        let sold = self.accepted..=self.accepted + self.unknown;
        let differs = |(what, count): (&str, i64)| {
            let agrees = u64::try_from(count).is_ok_and(|count| sold.contains(&count));
            (!agrees).then(|| format!("{} orders were accepted, {count} {what}", self.accepted))
        };
        Ok([("are in the books", orders), ("units are held", units)]
            .into_iter()
            .filter_map(differs)
            .collect())
    }
}

/// Every process of the shop, and this one.
fn processes(shop: &Shop) -> Vec<Measured> {
    let servers = shop.stack().servers();
    let kinds =
        Kind::ALL.into_iter().filter_map(|kind| Some(Measured::new(kind.name(), servers.pid(kind)?.pid)));
    let services =
        stack::NAMES.into_iter().filter_map(|name| Some(Measured::new(name, shop.stack().pid(name)?.pid)));
    services.chain(kinds).chain([Measured::own(CLIENT)]).collect()
}

impl Report {
    fn print(&self) {
        let Report { protocol, rounds, seconds, connections, skus, most, half, .. } = self;
        println!(
            "orders over {protocol}: {connections} in flight, {skus} SKU(s), medians of {rounds} rounds of {seconds} s"
        );
        println!(
            "  most       {:>8.0} durable orders/s   rounds {:.0?}",
            most.accepted_per_s, self.most_per_s_by_round
        );
        println!(
            "             p50 {:.1} ms   p99 {:.1} ms   p99.9 {:.1} ms",
            most.p50_ms, most.p99_ms, most.p999_ms
        );
        println!(
            "  at half    {:>8.0} durable orders/s   p50 {:.1} ms   p99 {:.1} ms   p99.9 {:.1} ms",
            half.accepted_per_s, half.p50_ms, half.p99_ms, half.p999_ms
        );
        println!("  us an order {:>7.1}   the parts come to {:.0}", self.cpu_us, self.floor_us);
        for (name, us) in &most.cpu_us {
            println!(
                "    {name:<10} {us:>7.1}   {:>7.1} at half",
                half.cpu_us.get(name).copied().unwrap_or(0.0)
            );
        }
        for difference in &self.differences {
            println!("  DIFFERENCE  {difference}");
        }
        if self.differences.is_empty() {
            println!("  the books agree: orders accepted = orders in the books = units held");
        }
    }
}
