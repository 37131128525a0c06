//! `bench`: one service against its parts, side by side in one run, on a shop of its own in release. Absolute figures move from
//! machine to machine; ratios within one run do not. It sends only to loopback and ends by itself.

mod books;
mod client;
mod echo;
mod measure;
mod processes;
mod shop;

use std::process::ExitCode;
use std::time::Duration;

use clap::{Subcommand, ValueEnum};
use serde::Serialize;

use crate::cli::block_on;
use crate::terminal::{Step, say};
use crate::{home, release};
use client::Target;
use echo::Echo;
use measure::{Figures, Span};
use shop::{SERVICE, Shop};

/// Longest measurement of one figure, in seconds: load on a laptop stops by itself.
const LONGEST_S: u64 = 600;
/// The contract's most of both.
const UNITS: i64 = 1_000_000_000;
const LIMIT: u32 = 1_000;

/// Measure a service against its parts.
#[derive(Debug, Subcommand)]
pub enum Bench {
    /// Deductions and refusals of inventory.
    Inventory(Args),
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
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=4_000))]
    streams: u64,
    /// Buyers who take turns.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    buyers: u64,
    /// Only this part.
    #[arg(long, value_enum, hide = true)]
    only: Option<Part>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
enum Part {
    /// Durable deductions from a campaign's pool with a limit.
    Deduct,
    /// The same from the shelf, which has no limit.
    Shelf,
    /// The bare echo.
    Echo,
}

/// Runs the parts; the exit code says whether the books agree.
pub fn run(bench: &Bench) -> anyhow::Result<ExitCode> {
    let args = match bench {
        Bench::Inventory(args) => args,
        Bench::Echo => return Ok(echo::serve()),
    };
    if cfg!(debug_assertions) {
        // A debug build measures nothing.
        return release::again(&["-p", "stampede-inventory", "-p", "xtask"]);
    }
    let _held = home::lock(&shop::folder())?;
    block_on(async {
        let step = Step::begin("opening a shop of its own");
        let mut shop = Shop::open(args.buyers, &step)?;
        step.done(format!("{SERVICE} is process {}", shop.stack.pid(SERVICE).map_or(0, |pid| pid.pid)));
        let result = rounds(&mut shop, args).await;
        shop.close()?;
        result
    })
}

async fn rounds(shop: &mut Shop, args: &Args) -> anyhow::Result<ExitCode> {
    let target = Target {
        addresses: vec![shop.address()?],
        connections: usize::try_from(args.connections)?,
        streams: usize::try_from(args.streams)?,
    };
    let span = Span { warm_up: Duration::from_secs(1), measured: Duration::from_secs(args.seconds) };
    let rest = processes::Snapshot::take(&shop.measured());
    say(format!("memory at rest, MiB: {}", table(rest.memory_mib())));
    let mut first = 0;
    let mut differences = Vec::new();
    for round in 0..args.rounds {
        for part in [Part::Deduct, Part::Shelf, Part::Echo]
            .into_iter()
            .filter(|part| args.only.is_none_or(|only| only == *part))
        {
            let step = Step::begin(format!("round {}: {part:?}", round + 1));
            let sale = match part {
                Part::Deduct => shop.campaign(1, UNITS, LIMIT).await?,
                Part::Shelf => shop.shelf(1, UNITS).await?,
                Part::Echo => {
                    let echo = Echo::start(&shop.stack)?;
                    let target = Target { addresses: vec![echo.address], ..target.clone() };
                    let asks = shop.shelf(1, 0).await?.asks();
                    let (figures, _) = tokio::task::block_in_place(|| {
                        measure::load(&target, &shop.tls, asks, first, span, &echo.measured())
                    })?;
                    step.done("");
                    print(args, part, &figures)?;
                    continue;
                }
            };
            let (figures, whole) = tokio::task::block_in_place(|| {
                measure::load(&target, &shop.tls, sale.asks(), first, span, &shop.measured())
            })?;
            first += whole.requests();
            step.done("");
            print(args, part, &figures)?;
            let redis = shop.stack.servers().redis_url();
            differences.extend(books::check(&shop.db, &redis, &sale, whole.accepted, whole.unknown).await?);
        }
    }
    for difference in &differences {
        say(format!("DIFFERENCE {difference}"));
    }
    Ok(if differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(args: &Args, part: Part, figures: &Figures) -> anyhow::Result<()> {
    if args.json {
        say(serde_json::to_string(&(part, figures))?);
        return Ok(());
    }
    say(format!(
        "{part:?}: {:.0} accepted/s, {:.0} refused/s {:?}, broken {}, p50 {:.2} ms, p99 {:.2} ms, p99.9 {:.2} ms",
        figures.accepted_per_s,
        figures.refused_per_s,
        figures.by_status,
        figures.broken,
        figures.p50_ms,
        figures.p99_ms,
        figures.p999_ms
    ));
    say(format!("  CPU us an answer: {}, all {:.1}", table(&figures.cpu_us), figures.cpu_us_total()));
    say(format!("  memory under load, MiB: {}", table(&figures.memory_mib)));
    Ok(())
}

fn table(figures: &std::collections::BTreeMap<String, f64>) -> String {
    figures.iter().map(|(name, figure)| format!("{name} {figure:.1}")).collect::<Vec<_>>().join(", ")
}
