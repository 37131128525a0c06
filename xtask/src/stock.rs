//! `stock`: the books of inventory, looked at from outside: whether the levels are what the movements and the reservations say,
//! and whether the gate follows the ledger. What is wrong is printed, one line each; the exit code says whether anything is.

pub mod rebuild;
mod reconcile;

use std::process::ExitCode;

use crate::cli::block_on;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Rebuild every level from the movements alone. Inventory must not run; with --check nothing is changed and it may.
    Rebuild {
        /// Change nothing; fail when a level is not what movements and reservations say.
        #[arg(long)]
        check: bool,
        /// Print one JSON object instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Compare gate, levels, movements and reservations, and repair the gate.
    Reconcile {
        /// Repair nothing, only say what would be repaired.
        #[arg(long)]
        dry_run: bool,
        /// Print one JSON object instead of lines.
        #[arg(long)]
        json: bool,
    },
}

pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    let sound = match *command {
        Command::Rebuild { check, json } => block_on(rebuild::run(check, json))?,
        Command::Reconcile { dry_run, json } => block_on(reconcile::run(dry_run, json))?,
    };
    Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
