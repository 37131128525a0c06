//! `books`: whether the payment service's double-entry books agree with its facts, and what they sum to. It reads one snapshot of the
//! database and changes nothing.

pub mod check;
mod settled;
mod trial;

use std::process::ExitCode;

use anyhow::Context as _;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use stampede_kit::Secret;

use crate::cli::block_on;
use crate::home;
use crate::servers::Servers;
use crate::terminal::say;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Compare entries with facts, facts with payments, and the guards of the database with what they should be.
    Check(Options),
    /// Print the trial balance: debits, credits and balance of every account, by currency.
    Trial(Options),
}

#[derive(Debug, Clone, clap::Args)]
pub struct Options {
    /// The payment service's database; without it the one `up` started.
    #[arg(long)]
    database: Option<Secret>,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
}

/// The exit code is 1 when something differs.
pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let agreed = match command {
        Command::Check(options) => block_on(check(options))?,
        Command::Trial(options) => block_on(trial(options))?,
    };
    Ok(if agreed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn check(options: &Options) -> anyhow::Result<bool> {
    let found = check::differences(&mut options.connect().await?).await?;
    if options.json {
        let differences: Vec<_> =
            found.iter().map(|found| json!({ "what": found.what, "where": found.place })).collect();
        say(json!({ "agreed": found.is_empty(), "differences": differences }).to_string());
    } else {
        found.iter().for_each(|found| say(format!("DIFFERENCE  {}: {}", found.what, found.place)));
        let most = if found.len() >= check::MOST { " or more" } else { "" };
        say(match found.len() {
            0 => "the books agree: every transfer balances, every fact is booked as it is, every payment is the sum of its facts, what is settled was owed and paid".to_owned(),
            count => format!("{count}{most} differences"),
        });
    }
    Ok(found.is_empty())
}

async fn trial(options: &Options) -> anyhow::Result<bool> {
    let balances = trial::balances(&mut options.connect().await?).await?;
    let agreed = trial::totals(&balances).values().all(|(debits, credits)| debits == credits);
    if options.json {
        say(trial::object(&balances).to_string());
    } else {
        trial::lines(&balances).into_iter().for_each(say);
    }
    Ok(agreed)
}

impl Options {
    async fn connect(&self) -> anyhow::Result<PgConnection> {
        let url = match &self.database {
            Some(url) => url.expose().to_owned(),
            None => running()?.database_url("payment"),
        };
        PgConnection::connect(&url).await.context("the payment service's database")
    }
}

fn running() -> anyhow::Result<Servers> {
    Servers::running(&home::dev())?.context("the servers do not run; start them with `cargo xtask up`")
}
