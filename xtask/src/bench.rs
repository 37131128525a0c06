//! `bench`: one service against its parts, side by side in one run, on a shop of its own in release. Absolute figures move from
//! machine to machine; ratios within one run do not. It sends only to loopback and ends by itself.

mod bare;
mod books;
mod cases;
mod echo;
mod gateway;
mod growth;
mod report;
mod script;
mod shop;
mod transcode;
mod watchers;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Subcommand, ValueEnum as _};

use crate::cli::block_on;
use crate::measure::{Figures, Span};
use crate::processes::Snapshot;
use crate::terminal::{Step, say};
use crate::{home, release};
use cases::{Case, Session};
use growth::{Grown, Growth};
use report::{Measured, Report};
use shop::{SERVICE, Shop};

/// Longest measurement of one figure, in seconds: load on a laptop stops by itself.
const LONGEST_S: u64 = 600;
/// Connections are warm and pages are in memory after this.
const WARM_UP: Duration = Duration::from_secs(1);

/// Measure a service against its parts.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Deductions and refusals of inventory.
    Inventory(Args),
    /// Thousands who follow the stock of one campaign.
    Watchers(watchers::Args),
    /// JSON to wire and back, beside typed serde and prost-reflect; starts nothing.
    Transcode(transcode::Args),
    /// The gateway beside facades with less in them, and beside Envoy.
    Gateway(gateway::Args),
    /// The backend of `gateway`; started by this program.
    #[command(hide = true)]
    GatewayStub(gateway::stub::Args),
    /// A facade `gateway` is compared with; started by this program.
    #[command(hide = true)]
    GatewayFacade(gateway::facade::Args),
    /// The process deductions are compared with; started by this program.
    #[command(name = echo::COMMAND, hide = true)]
    Echo,
}

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
    /// Every figure is the median of so many rounds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=99))]
    rounds: u64,
    /// How long each figure is measured in each round, in seconds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=LONGEST_S))]
    seconds: u64,
    /// Connections of the load generator.
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    connections: u64,
    /// Requests in flight on each connection.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u64).range(1..=4_000))]
    streams: u64,
    /// Buyers who take turns.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    buyers: u64,
    /// The largest shop in which deductions are measured too, in SKUs or reservations; 0 measures none.
    #[arg(long, default_value_t = 10_000_000)]
    grow_to: u64,
    /// Only these cases; may be given several times.
    #[arg(long, value_enum, hide = true)]
    only: Vec<Case>,
    /// Only the growing shops.
    #[arg(long, hide = true, conflicts_with = "only")]
    only_growth: bool,
    /// With what was built last in debug: to try the command itself, the figures mean nothing.
    #[arg(long, hide = true)]
    debug_build: bool,
}

impl Args {
    fn cases(&self) -> Vec<Case> {
        let wanted = |case: &Case| !self.only_growth && (self.only.is_empty() || self.only.contains(case));
        Case::value_variants().iter().copied().filter(wanted).collect()
    }

    fn sizes(&self) -> impl Iterator<Item = Growth> {
        let largest = if self.only.is_empty() { self.grow_to } else { 0 };
        growth::SIZES.into_iter().filter(move |growth| growth.size() <= largest)
    }

    fn session(&self, step: &Step) -> anyhow::Result<Session> {
        let shop = Shop::open(home::binaries(!self.debug_build), self.buyers, step)?;
        let span = Span { warm_up: WARM_UP, measured: Duration::from_secs(self.seconds) };
        Session::new(shop, usize::try_from(self.connections)?, usize::try_from(self.streams)?, span)
    }
}

/// Runs what is asked for; the exit code says whether the books agree.
pub fn run(bench: &Bench) -> anyhow::Result<ExitCode> {
    let args = match bench {
        Bench::Inventory(args) => args,
        Bench::Watchers(args) => return watchers::run(args),
        Bench::Transcode(args) => return transcode::run(args),
        Bench::Gateway(args) => return gateway::run(args),
        Bench::GatewayStub(args) => return gateway::stub::run(args),
        Bench::GatewayFacade(args) => return gateway::facade::run(args),
        Bench::Echo => return Ok(echo::serve()),
    };
    if cfg!(debug_assertions) && !args.debug_build {
        // A debug build measures nothing.
        return release::again(&["-p", "stampede-inventory", "-p", "xtask"]);
    }
    let _held = home::lock(&shop::folder())?;
    let report = block_on(async {
        let mut report = Report {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            rounds: args.rounds,
            seconds: args.seconds,
            in_flight: usize::try_from(args.connections * args.streams)?,
            ..Report::default()
        };
        if !args.cases().is_empty() {
            side_by_side(args, &mut report).await?;
        }
        for size in args.sizes() {
            let grown = grow(args, size, &mut report.differences).await?;
            report.growth.extend(grown);
        }
        Ok(report.with_ratios())
    })?;
    if args.json {
        say(serde_json::to_string(&report)?);
    } else {
        report.print();
    }
    Ok(if report.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The cases, one after the other in every round, so that what the machine does meanwhile meets all of them.
async fn side_by_side(args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let step = Step::begin("opening a shop of its own");
    let mut session = args.session(&step)?;
    step.done(format!("{SERVICE} is process {}", session.shop.stack.pid(SERVICE).map_or(0, |pid| pid.pid)));
    report.memory_at_rest_mib = Snapshot::take(&session.shop.measured()).memory_mib().clone();
    let measured = rounds(args, &mut session).await;
    report.differences.append(&mut session.differences);
    session.shop.close()?;
    let measured = measured?.into_iter();
    report.cases = measured.filter_map(|(case, rounds)| Measured::new(case, &rounds)).collect();
    Ok(())
}

async fn rounds(args: &Args, session: &mut Session) -> anyhow::Result<BTreeMap<Case, Vec<Figures>>> {
    let mut measured: BTreeMap<Case, Vec<Figures>> = BTreeMap::new();
    for round in 1..=args.rounds {
        for case in args.cases() {
            let step = Step::begin(format!("round {round} of {}: {}", args.rounds, case.title()));
            let figures = session.measure(case).await?;
            step.done(format!("{}/s", report::thousands(figures.answers_per_s())));
            measured.entry(case).or_default().push(figures);
        }
    }
    Ok(measured)
}

/// One size: filled, then measured round by round. A small shop is made anew for every round, which would outgrow it.
async fn grow(args: &Args, size: Growth, differences: &mut Vec<String>) -> anyhow::Result<Option<Grown>> {
    let (shops, rounds) = if size.is_large() { (1, args.rounds) } else { (args.rounds, 1) };
    let (mut measured, mut filled) = (Vec::new(), Duration::ZERO);
    for _ in 0..shops {
        let step = Step::begin(format!("a shop that has grown: {size:?}"));
        let mut session = args.session(&step)?;
        let result = async {
            session.shop.stack.stop(SERVICE)?;
            step.at("filling it");
            filled = size.fill(&session.shop.db).await?;
            session.shop.start(SERVICE)?;
            for round in 1..=rounds {
                step.at(format!("round {round}"));
                measured.push(size.measure(&mut session).await?);
            }
            anyhow::Ok(())
        }
        .await;
        differences.append(&mut session.differences);
        session.shop.close()?;
        result?;
        step.done(format!("filled in {:.1} s", filled.as_secs_f64()));
    }
    let median = Figures::median(&measured);
    Ok(median.map(|median| Grown { growth: size, filled_in_s: filled.as_secs_f64(), median }))
}
