//! The command line: every command by name. A command's own file says what it does.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::{
    bench, books, certs, ci, clients, db, drill, events, fuzz, histories, home, loadtest, mutants, openapi,
    orders, payments, seed, servers, smoke, stock, test, tidy, token, up,
};

/// Developer commands of Stampede.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start everything and say what to try.
    Up(up::Args),
    /// Stop everything.
    Down(up::down::Args),
    /// Show every process: where it is, and whether it is ready.
    Status,
    /// Make or renew the development certificates.
    Certs(certs::Args),
    /// Print a token for a user.
    Token(token::Args),
    /// Work with the databases.
    #[command(subcommand)]
    Db(db::Command),
    /// Start, stop or show Postgres, Redis and NATS alone.
    #[command(subcommand)]
    Servers(servers::command::Command),
    /// Put the demo catalogue and campaign into what is running.
    Seed,
    /// Check and rebuild the books of inventory.
    #[command(subcommand)]
    Stock(stock::Command),
    /// Check the payment service's double-entry books, and sum them.
    #[command(subcommand)]
    Books(books::Command),
    /// See and resolve the orders that wait for a person.
    #[command(subcommand)]
    Orders(orders::Command),
    /// See and resolve the payments that wait for a person.
    #[command(subcommand)]
    Payments(payments::Command),
    /// List dead letters and put them back, or a consumer back to a position of its stream.
    #[command(subcommand)]
    Events(events::Command),
    /// Buy something, by REST and by gRPC, and check every step.
    Smoke,
    /// Call the gateway with curl, buf, a generated TypeScript client and a browser, and check what each sees.
    Clients,
    /// Run every test, with servers of its own.
    Test(test::Args),
    /// Feed the gateway's parsers with damaged input, and compare what they accept with prost-reflect.
    Fuzz(fuzz::Args),
    /// Play random histories of orders or of payments, thousands of them, and check each against the books of everybody.
    Histories(histories::Args),
    /// Run every check but the tests, or only those named.
    Ci {
        /// Such as `tidy` or `clippy`.
        checks: Vec<String>,
    },
    /// Write, check or probe the OpenAPI document of the contract.
    Openapi(openapi::Args),
    /// Take guards out of ledger and gate, one at a time, and show that the tests notice.
    Mutants(mutants::Args),
    /// Check the floors and rooms of the house.
    Tidy,
    /// Measure under load, then check the books.
    #[command(subcommand)]
    Loadtest(loadtest::Load),
    /// Measure one service against its parts, side by side in one run.
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Hurt a sale under load, heal it, and check every promise.
    Drill(drill::Args),
}

impl Cli {
    /// Runs the command; its exit code is the process's.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Up(args) => up::run(&args)?,
            Command::Down(args) => up::down::run(&args)?,
            Command::Status => return up::status::run(),
            Command::Certs(args) => certs::run(&args)?,
            Command::Token(args) => token::run(&args)?,
            Command::Db(command) => return db::run(&command),
            Command::Servers(command) => servers::command::run(&command, &home::dev())?,
            Command::Seed => seed::run()?,
            Command::Stock(command) => return stock::run(&command),
            Command::Books(command) => return books::run(&command),
            Command::Orders(command) => return orders::run(&command),
            Command::Payments(command) => return payments::run(&command),
            Command::Events(command) => return events::run(&command),
            Command::Smoke => smoke::run()?,
            Command::Clients => clients::run()?,
            Command::Test(args) => return test::run(&args),
            Command::Fuzz(args) => return fuzz::run(&args),
            Command::Histories(args) => return histories::run(&args),
            Command::Ci { checks } => ci::run(&home::root(), &checks)?,
            Command::Openapi(args) => return openapi::run(&args),
            Command::Mutants(args) => mutants::run(&args)?,
            Command::Tidy => tidy::run(&home::root())?,
            Command::Loadtest(load) => return loadtest::run(&load),
            Command::Bench(bench) => return bench::run(&bench),
            Command::Drill(args) => return drill::run(&args),
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Runs the asynchronous part of a command.
pub fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work)
}
