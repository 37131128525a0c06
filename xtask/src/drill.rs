//! `drill`: a sale on a private shop, one fault in the middle of it, and the books after it. It never touches what `up`
//! started, sends only to loopback, and ends by itself.

mod answer;
mod books;
mod buyers;
mod crowd;
mod faults;
mod invariants;
mod market;
mod plan;
pub mod proxy;
mod report;
mod sale;
mod shop;
mod told;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use sqlx::PgPool;
use stampede_kit::task;
use tokio::time::Instant;

use crate::terminal::{Step, say};
use crate::{home, release};

pub use faults::Name;
use invariants::Seen;
use market::Market;
pub use plan::Plan;
pub use report::Report;
use shop::Shop;

/// Says what each drill does.
const LIST: &str = "list";
/// Runs every drill.
const ALL: &str = "all";

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The drill, `all` of them one after another, or `list` to see what each does.
    #[arg(value_parser = names())]
    name: String,
    /// Print one JSON object a drill instead of a table.
    #[arg(long)]
    json: bool,
    /// Purchases begun a second.
    #[arg(long, value_parser = clap::value_parser!(u64).range(10..=20_000))]
    rate: Option<u64>,
    /// With the binaries this program was built with, instead of a release build.
    #[arg(long, hide = true)]
    debug_build: bool,
}

fn names() -> clap::builder::PossibleValuesParser {
    Name::ALL.map(Name::word).into_iter().chain([ALL, LIST]).collect::<Vec<_>>().into()
}

/// Runs the drills asked for; the exit code says whether every promise held.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if args.name == LIST {
        for name in Name::ALL {
            say(format!("{:<20} {}", name.word(), name.says()));
        }
        return Ok(ExitCode::SUCCESS);
    }
    if cfg!(debug_assertions) && !args.debug_build {
        return release::again(&["--package", "stampede-inventory", "--package", "xtask"]);
    }
    let mut plan = Plan::full(!args.debug_build);
    plan.rate_per_s = args.rate.unwrap_or(plan.rate_per_s);
    let _held = home::lock(&plan.dir)?;
    let mut all_held = true;
    for name in Name::ALL.into_iter().filter(|name| args.name == ALL || args.name == name.word()) {
        let report = hold(name, &plan)?;
        all_held &= report.passed;
        if args.json {
            say(serde_json::to_string(&report)?);
        } else {
            report.print();
        }
    }
    Ok(if all_held { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Removes what a drill has left in its folder.
pub fn wipe(plan: &Plan) -> anyhow::Result<()> {
    Shop::wipe(plan)
}

/// Holds one drill from an empty folder to its report; whatever it started is stopped when it returns.
pub fn hold(name: Name, plan: &Plan) -> anyhow::Result<Report> {
    let step = Step::begin(format!("{}: opening a shop of its own", name.word()));
    let mut shop = Shop::open(plan, &step)?;
    let mut fault = name.fault();
    fault.prepare(&mut shop)?;
    shop.start()?;
    let runtime = shop.runtime().clone();
    runtime.block_on(sale::open(&shop, [plan.plenty_units(), plan.scarce_units()]))?;
    let market = Arc::new(Market::open(&shop)?);
    step.done("");

    let step = Step::begin(format!("{}: selling", name.word()));
    let load = {
        let _entered = runtime.enter();
        task::spawn("load", crowd::load(market.clone(), plan.clone()))
    };
    std::thread::sleep(plan.calm);
    step.at("hurting");
    fault.hurt(&mut shop)?;
    std::thread::sleep(plan.hurt);
    step.at("healing");
    market.told().times.heal(Instant::now());
    fault.heal(&mut shop)?;
    runtime.block_on(load).context("the load panicked")??;
    step.done(format!("{} accepted", market.told().times.accepted));

    let step = Step::begin(format!("{}: settling, selling what is left, reading the books", name.word()));
    let report = runtime.block_on(close(name, &shop, &market))?;
    step.done("");
    Ok(report)
}

/// The end of the sale, and its books.
async fn close(name: Name, shop: &Shop, market: &Arc<Market>) -> anyhow::Result<Report> {
    let ledger = PgPool::connect(&shop.ledger_url()).await.context("inventory's database")?;
    let gate_url = shop.gate_url()?;
    let settled = crowd::settle(market, &ledger, &gate_url).await?;
    crowd::closing_sale(market, &ledger).await?;
    crowd::ask_again(market).await;
    let at_last = crowd::settle(market, &ledger, &gate_url).await?.sides;
    let books = books::read(&ledger).await?;
    ledger.close().await;
    let told = std::mem::take(&mut *market.told());
    let reopened = told.times.to_reopen().is_some();
    let connections_may_break = name.breaks_connections();
    let (settled_in, by_itself) = (settled.took, settled.by_itself);
    let seen = Seen { told, settled: settled.sides, at_last, books, reopened, connections_may_break };
    Ok(Report::new(name, &seen, settled_in, by_itself))
}
