//! `loadtest orders`: how many durable orders a second the whole shop takes, what each costs every process, and how long buyers wait
//! at half of that. The load is as light as it can be made, so that the two cores are the shop's. It never mixes faces in one run.

mod fill;
mod report;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
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
use report::{Grown, Report};

/// Few connections with many streams cost half of many with one.
const GRPC_CONNECTIONS: usize = 4;
const ORDER: &str = "order";
const READY_WITHIN: Duration = Duration::from_secs(60);
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
    /// A promotion that every order has: none, one without an end, or one whose uses are counted.
    #[arg(long, value_enum, default_value = "none")]
    promotion: Promotion,
    /// Measure again beside so many old orders; 0 does not.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=100_000_000))]
    grow_to: u64,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// With what was built last in debug: to try the command itself, the figures mean nothing.
    #[arg(long, hide = true)]
    debug_build: bool,
}

/// What every order has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Promotion {
    None,
    /// Ten per cent off, for ever.
    Open,
    /// The same, a number of times.
    Counted,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if cfg!(debug_assertions) && !args.debug_build {
        return release::again(&["--workspace"]);
    }
    let _held = home::lock(&shop::folder())?;
    let step = Step::begin("opening a shop of its own");
    let mut shop = Shop::with(home::binaries(!args.debug_build), &step)?;
    step.done(shop.gateway()?);
    let report = block_on(measured(&mut shop, args));
    shop.close()?;
    let report = report?;
    if args.json {
        say(serde_json::to_string(&report)?);
    } else {
        report.print();
    }
    Ok(if report.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measured(shop: &mut Shop, args: &Args) -> anyhow::Result<Report> {
    let mut loads = Loads::open(shop, args).await?;
    let by_round = loads.rounds(0).await?;
    let most = Figures::median(&by_round).context("no round")?;
    let half = loads.rounds((most.accepted_per_s / 2.0) as u64).await?;
    let grown = if args.grow_to > 0 { Some(loads.grown(&most).await?) } else { None };
    let floor = FLOOR_US.into_iter().find(|(protocol, _)| *protocol == args.protocol);
    Ok(Report {
        protocol: args.protocol.name(),
        rounds: args.rounds,
        seconds: args.seconds,
        connections: args.connections,
        skus: args.skus,
        cpu_us: most.cpu_us.values().sum(),
        floor_us: floor.map_or(0.0, |(_, us)| us),
        most,
        most_per_s_by_round: by_round.iter().map(|figures| figures.accepted_per_s).collect(),
        half: Figures::median(&half).context("no round")?,
        grown,
        differences: loads.differences().await?,
    })
}

/// Loads one after the other on one shop.
struct Loads<'a> {
    shop: &'a mut Shop,
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
    async fn open<'a>(shop: &'a mut Shop, args: &'a Args) -> anyhow::Result<Loads<'a>> {
        let step = Step::begin("gathering the crowd");
        let run = Uuid::now_v7();
        let skus = shop.shelf(run, args.skus, UNITS).await?;
        let crowd = Crowd::gather(usize::try_from(args.buyers)?, shop.issuer(), Clock::system().now(), run)?;
        shop.promotion(args.promotion).await?;
        let gateway = shop.stack().address("gateway")?;
        step.done(format!("{} buyers", args.buyers));
        let processes = processes(shop);
        Ok(Loads {
            shop,
            args,
            orders: Orders::new(Arc::new(crowd), &skus, "", &gateway.to_string()),
            gateway,
            processes,
            span: Span { warm_up: WARM_UP, measured: Duration::from_secs(args.seconds) },
            next: 0,
            accepted: 0,
            unknown: 0,
        })
    }

    /// A load a round; `rate` 0 is as many as there is room for.
    async fn rounds(&mut self, rate: u64) -> anyhow::Result<Vec<Figures>> {
        let mut rounds = Vec::new();
        for round in 1..=self.args.rounds {
            let what =
                if rate == 0 { "all there is room for".to_owned() } else { format!("{rate} orders/s") };
            let step = Step::begin(format!("round {round} of {}: {what}", self.args.rounds));
            let figures = self.run(rate).await?;
            step.done(format!("{:.0} orders/s, p99 {:.1} ms", figures.accepted_per_s, figures.p99_ms));
            rounds.push(figures);
        }
        Ok(rounds)
    }

    /// The same beside old orders, which are filled in while the order service is down.
    async fn grown(&mut self, empty: &Figures) -> anyhow::Result<Grown> {
        self.quiet().await?;
        self.shop.stack_mut().stop(ORDER)?;
        let step = Step::begin(format!("filling in {} orders", self.args.grow_to));
        let filled = fill::fill(&self.shop.database(ORDER).await?, self.args.grow_to).await?;
        step.done(format!("{:.0} s", filled.as_secs_f64()));
        self.shop.stack_mut().start(ORDER)?;
        self.shop.stack().wait_ready(ORDER, READY_WITHIN)?;
        self.processes = processes(self.shop);
        let most = Figures::median(&self.rounds(0).await?).context("no round")?;
        let ratio = most.accepted_per_s / empty.accepted_per_s;
        Ok(Grown { orders: self.args.grow_to, filled_in_s: filled.as_secs_f64(), most, ratio })
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
                    addresses: vec![self.shop.stack().address(ORDER)?],
                    service: ORDER,
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
        for service in [ORDER, "inventory"] {
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

    /// The books after everything: as many orders, and as many units held, as were accepted. Holds that have ended since were held, and
    /// their units are free again.
    async fn differences(&self) -> anyhow::Result<Vec<String>> {
        let orders: i64 = sqlx::query_scalar("SELECT count(*) FROM orders WHERE buyer_id NOT LIKE 'fill-%'")
            .fetch_one(&self.shop.database(ORDER).await?)
            .await?;
        // One order is one hold of one unit.
        let (holds, lasting, taken): (i64, i64, i64) = sqlx::query_as(
            "SELECT count(*), count(*) FILTER (WHERE state IN ('PENDING', 'COMMITTED')),
                    (SELECT coalesce(sum(held + committed), 0)::bigint FROM stock) FROM reservation",
        )
        .fetch_one(&self.shop.database("inventory").await?)
        .await?;
        let sold = self.accepted..=self.accepted + self.unknown;
        let differs = |(what, count): (&str, i64)| {
            let agrees = u64::try_from(count).is_ok_and(|count| sold.contains(&count));
            (!agrees).then(|| format!("{} orders were accepted, {count} {what}", self.accepted))
        };
        let leak = (lasting != taken).then(|| format!("{lasting} holds last, {taken} units are held"));
        let differences = [("are in the books", orders), ("units were held", holds)].into_iter();
        Ok(differences.filter_map(differs).chain(leak).collect())
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
