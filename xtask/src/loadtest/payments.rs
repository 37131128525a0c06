//! `loadtest payments`: how many payments a second are authorised and captured, straight at the payment service, what each costs every
//! process, and how a provider that takes its time shows; then refunds that all want the same payment. The provider is the simulator, which
//! tells nobody. It never measures the order service or the gateway: they do not run.

mod report;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::Connection as _;
use stampede_kit::client::Channel;
use stampede_kit::{self as kit, Contract};
use uuid::Uuid;

use super::shop;
use crate::books::check;
use crate::cli::block_on;
use crate::generator::pace::Pace;
use crate::generator::payments::{Errand, Payer};
use crate::measure::{self, CLIENT, Figures, Span};
use crate::processes::{Measured, threads, to_port};
use crate::servers::Kind;
use crate::stack::{Layout, Stack};
use crate::terminal::{Step, say};
use crate::{home, release};
use report::{Paid, Refunded, Report};

const PAYMENT: &str = "payment";
const PROVIDER: &str = "psp-simulator";
const READY_WITHIN: Duration = Duration::from_secs(60);
const WARM_UP: Duration = Duration::from_secs(2);
/// Few connections with many streams cost half of many with one.
const CONNECTIONS: usize = 4;
/// The provider's answer takes so long, in milliseconds, unless told.
const LATENCIES_MS: [u64; 2] = [0, 50];
/// Of the payment that everybody wants a part of, in minor units.
const LARGE: i64 = 1_000_000_000;

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How long the provider takes over a command, in milliseconds; without it both 0 and 50.
    #[arg(long, value_parser = clap::value_parser!(u64).range(0..=2_000))]
    latency_ms: Option<u64>,
    /// Payments in flight at once.
    #[arg(long, default_value_t = 128, value_parser = clap::value_parser!(u64).range(1..=5_000))]
    in_flight: u64,
    /// Refunds of the one payment in flight at once; 0 measures none.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    refunds: u64,
    /// Every figure is the median of so many rounds.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=99))]
    rounds: u64,
    /// How long each figure is measured in each round, in seconds.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// With what was built last in debug: to try the command itself, the figures mean nothing.
    #[arg(long, hide = true)]
    debug_build: bool,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if cfg!(debug_assertions) && !args.debug_build {
        return release::again(&["--workspace"]);
    }
    let _held = home::lock(&shop::folder())?;
    let step = Step::begin("opening a till of its own");
    crate::stack::wipe(&shop::folder())?;
    let binaries = home::binaries(!args.debug_build);
    let mut stack = Stack::open(Layout { binaries, ..Layout::private(&shop::folder()) }, &step)?;
    step.done("");
    let report = block_on(measured(&mut stack, args));
    stack.stop_all()?;
    crate::servers::stop(&shop::folder())?;
    let report = report?;
    if args.json {
        say(serde_json::to_string(&report)?);
    } else {
        report.print();
    }
    Ok(if report.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn measured(stack: &mut Stack, args: &Args) -> anyhow::Result<Report> {
    let mut paid = Vec::new();
    for latency_ms in args.latency_ms.map_or_else(|| LATENCIES_MS.to_vec(), |one| vec![one]) {
        let till = Till::open(stack, latency_ms, args)?;
        let figures = till.rounds(Errand::Pay, args.in_flight).await?;
        paid.push(Paid {
            latency_ms,
            in_flight: args.in_flight,
            threads: threads(till.pid)?,
            connections_to_provider: to_port(till.provider_port)?,
            connections_to_database: till.database_connections().await?,
            figures,
        });
    }
    let refunds = match args.refunds {
        0 => None,
        in_flight => {
            let till = Till::open(stack, 0, args)?;
            Some(Refunded { in_flight, figures: till.refunds(in_flight).await? })
        }
    };
    let mut payments = sqlx::PgConnection::connect(&stack.servers().database_url(PAYMENT)).await?;
    let differences = check::differences(&mut payments).await?;
    let words = |found: &check::Difference| format!("{}: {}", found.what, found.place);
    let all = paid.iter().map(|paid| &paid.figures).chain(refunds.iter().map(|refunded| &refunded.figures));
    let differences = differences.iter().map(words).chain(all.filter_map(refused)).collect();
    Ok(Report { rounds: args.rounds, seconds: args.seconds, paid, refunds, differences })
}

/// Nobody has a reason to refuse anything, or not to know.
fn refused(figures: &Figures) -> Option<String> {
    let refused: Vec<_> = figures.by_status.iter().filter(|(status, _)| **status != 0).collect();
    let some = !refused.is_empty() || figures.broken > 0;
    some.then(|| format!("{} were broken off, refused by gRPC status: {refused:?}", figures.broken))
}

/// The payment service with a provider that takes so long, and ways to it.
struct Till<'a> {
    stack: &'a Stack,
    channels: Vec<Channel>,
    processes: Vec<Measured>,
    pid: u32,
    provider_port: u16,
    span: Span,
    rounds: u64,
}

impl Till<'_> {
    fn open<'a>(stack: &'a mut Stack, latency_ms: u64, args: &Args) -> anyhow::Result<Till<'a>> {
        let step = Step::begin(format!("a provider that takes {latency_ms} ms"));
        stack.stop(PAYMENT)?;
        stack.stop(PROVIDER)?;
        stack.set(PROVIDER, "latency_ms", Some(latency_ms.to_string()));
        for name in [PROVIDER, PAYMENT] {
            stack.start(name)?;
            stack.wait_ready(name, READY_WITHIN)?;
        }
        step.done("");
        let stack: &Stack = stack;
        let folder = stack.folder();
        // The order service asks without a token.
        let tls =
            kit::tls::Client::read(&folder.cert_path("order"), &folder.key_path("order"), &folder.ca_path())?;
        let contract = Contract::parse(stampede_proto::DESCRIPTOR_SET)?;
        let address = stack.address(PAYMENT)?.to_string();
        let channel = |_| kit::client::connect(&tls, PAYMENT, &address, contract.clone());
        Ok(Till {
            stack,
            channels: (0..CONNECTIONS).map(channel).collect(),
            processes: processes(stack),
            pid: stack.pid(PAYMENT).context("payment does not run")?.pid,
            provider_port: stack.address(PROVIDER)?.port(),
            span: Span { warm_up: WARM_UP, measured: Duration::from_secs(args.seconds) },
            rounds: args.rounds,
        })
    }

    async fn rounds(&self, errand: Errand, in_flight: u64) -> anyhow::Result<Figures> {
        let mut rounds = Vec::new();
        for round in 1..=self.rounds {
            rounds.push(self.round(round, errand, in_flight)?);
        }
        Figures::median(&rounds).context("no round")
    }

    /// Each round has a payment of its own, as large as it needs to be.
    async fn refunds(&self, in_flight: u64) -> anyhow::Result<Figures> {
        let mut rounds = Vec::new();
        for round in 1..=self.rounds {
            let channel = self.channels.first().context("no channel")?;
            let large = Payer::new(channel.clone(), Uuid::now_v7()).pay(0, LARGE).await?;
            rounds.push(self.round(round, Errand::Refund(large), in_flight)?);
        }
        Figures::median(&rounds).context("no round")
    }

    fn round(&self, round: u64, errand: Errand, in_flight: u64) -> anyhow::Result<Figures> {
        let step = Step::begin(format!("round {round} of {}", self.rounds));
        let pace = Arc::new(Pace::endless(0, 0));
        let load = Payer::load(&self.channels, Uuid::now_v7(), errand, usize::try_from(in_flight)?, &pace)?;
        let (figures, _) = tokio::task::block_in_place(|| measure::load(load, self.span, &self.processes))?;
        step.done(format!("{:.0}/s, p99 {:.1} ms", figures.accepted_per_s, figures.p99_ms));
        Ok(figures)
    }

    /// Of the payment service; ours is not counted.
    async fn database_connections(&self) -> anyhow::Result<i64> {
        let url = self.stack.servers().database_url(PAYMENT);
        let mut conn = sqlx::PgConnection::connect(&url).await?;
        let count =
            "SELECT count(*) FROM pg_stat_activity WHERE datname = 'payment' AND pid <> pg_backend_pid()";
        Ok(sqlx::query_scalar(count).fetch_one(&mut conn).await?)
    }
}

/// Every process that has a part in it, and this one.
fn processes(stack: &Stack) -> Vec<Measured> {
    let servers = stack.servers();
    let kinds =
        Kind::ALL.into_iter().filter_map(|kind| Some(Measured::new(kind.name(), servers.pid(kind)?.pid)));
    let services =
        [PROVIDER, PAYMENT].into_iter().filter_map(|name| Some(Measured::new(name, stack.pid(name)?.pid)));
    services.chain(kinds).chain([Measured::own(CLIENT)]).collect()
}
