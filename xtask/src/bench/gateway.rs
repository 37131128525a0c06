//! `bench gateway`: the 1.2 KB order from REST to gRPC through our gateway, through facades with less in them and through Envoy's
//! transcoder, all in front of the same backend and one after the other in every round, so that what the machine does meanwhile
//! meets all of them. It sends only to loopback and ends by itself.

mod compare;
mod envoy;
pub mod facade;
mod house;
mod link;
mod load;
mod order;
mod part;
mod report;
mod serve;
mod streams;
pub mod stub;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, bail};
use clap::ValueEnum as _;

use crate::cli::block_on;
use crate::measure::{Figures, Span};
use crate::terminal::{Step, note, say};
use crate::{home, release};
use house::Process;
use load::{Contestant, Sender};
use report::{Measured, Report};

/// Connections that are open at once.
const CONNECTIONS: [usize; 2] = [64, 1_000];
/// Longest measurement of one figure, in seconds: load on a laptop stops by itself.
const LONGEST_S: u64 = 60;
/// Connections are open and pages are in memory after this.
const WARM_UP: Duration = Duration::from_millis(700);

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Print one JSON object instead of tables.
    #[arg(long)]
    json: bool,
    /// Every figure is the median of so many rounds.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=99))]
    rounds: u64,
    /// How long each figure is measured in each round, in seconds.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=LONGEST_S))]
    seconds: u64,
    /// Instead: so many clients of one feed over server-sent events, what each costs in memory and one event to all in CPU.
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=15_000))]
    streams: Option<u64>,
    /// Instead: what our transcoding and Envoy's do differently, with good and bad requests to every unary route.
    #[arg(long, conflicts_with = "streams")]
    compare: bool,
    /// Only these contestants; may be given several times.
    #[arg(long, value_enum)]
    only: Vec<Contestant>,
    /// With what was built last in debug: to try the command itself, the figures mean nothing.
    #[arg(long, hide = true)]
    debug_build: bool,
}

impl Args {
    fn contestants(&self) -> impl Iterator<Item = Contestant> {
        let wanted = |contestant: &&Contestant| self.only.is_empty() || self.only.contains(contestant);
        Contestant::value_variants().iter().filter(wanted).copied()
    }
}

/// Runs what is asked for.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if cfg!(debug_assertions) && !args.debug_build {
        // A debug build measures nothing.
        return release::again(&["-p", "stampede-gateway", "-p", "xtask"]);
    }
    home::make_passable(&house::folder())?;
    let _held = home::lock(&house::folder())?;
    block_on(async {
        tokio::select! {
            ended = measure(args) => ended,
            _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        }
    })
}

async fn measure(args: &Args) -> anyhow::Result<ExitCode> {
    let binaries = home::binaries(!args.debug_build);
    if let Some(clients) = args.streams {
        let report = streams::measure(clients, &binaries).await?;
        report.print(args.json)?;
        return Ok(ExitCode::SUCCESS);
    }
    if args.compare {
        let report = compare::run(&binaries).await?;
        report.print(args.json)?;
        return Ok(if report.is_explained() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let report = side_by_side(args, &binaries)?;
    if args.json {
        say(serde_json::to_string(&report)?);
    } else {
        report.print();
    }
    Ok(ExitCode::SUCCESS)
}

fn side_by_side(args: &Args, binaries: &std::path::Path) -> anyhow::Result<Report> {
    let step = Step::begin("starting the contestants");
    let certs = house::certificates()?;
    let (stub, backend) = Process::stub()?;
    let mut contestants = Vec::new();
    let mut left_out = Vec::new();
    for contestant in args.contestants() {
        match Process::contestant(contestant, backend, &certs, binaries) {
            Ok(process) => contestants.push((contestant, process)),
            // Whoever has no Python still sees ours.
            Err(error) if contestant == Contestant::Envoy => {
                note(format!("without Envoy: {error:#}"));
                left_out.push(format!("envoy: {error:#}"));
            }
            Err(error) => return Err(error).context(contestant.title()),
        }
    }
    step.done("");
    let sender = Sender::new(&certs)?;
    let span = Span { warm_up: WARM_UP, measured: Duration::from_secs(args.seconds) };
    let mut measured: BTreeMap<(usize, Contestant), Vec<Figures>> = BTreeMap::new();
    for round in 1..=args.rounds {
        for connections in CONNECTIONS {
            for (contestant, process) in &contestants {
                let what = format!("round {round} of {}: {}, {connections}", args.rounds, contestant.name());
                let step = Step::begin(what);
                let behind = (stub.pid, backend.plain);
                let figures = sender.measure(*contestant, process.as_ref(), behind, connections, span)?;
                step.done(format!("{}/s", super::report::thousands(figures.answers_per_s())));
                measured.entry((connections, *contestant)).or_default().push(figures);
            }
        }
    }
    let measured = measured.into_iter();
    let rows = measured.filter_map(|((connections, who), rounds)| Measured::new(connections, who, &rounds));
    Ok(Report {
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        rounds: args.rounds,
        seconds: args.seconds,
        request_bytes: order::body().len(),
        rows: rows.collect(),
        left_out,
        ..Report::default()
    }
    .judged())
}
