//! `payments`: payments that wait for a person, of what `up` runs: seen, and resolved under the name of whoever runs this. It goes
//! through the contract like everybody.

mod resolve;
mod settlement;
mod stuck;

use std::process::ExitCode;

use stampede_kit as kit;
use stampede_proto::payment::v1::repair_service_client::RepairServiceClient;

use crate::cli::block_on;
use crate::stack::Stack;
use crate::staff;

type Client = RepairServiceClient<kit::client::Channel>;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the payments that wait for a person: why, since when, what to do first, and what may be decided.
    Stuck {
        /// Print one JSON object instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Decide how one of them goes on.
    Resolve(resolve::Args),
    /// Import providers' settlement files, and see and decide what they and the books do not agree about.
    #[command(subcommand)]
    Settlement(settlement::Command),
}

pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Stuck { json } => block_on(stuck::run(*json))?,
        Command::Resolve(args) => block_on(resolve::run(args))?,
        Command::Settlement(command) => block_on(settlement::run(command))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn client(stack: &Stack) -> anyhow::Result<Client> {
    Ok(RepairServiceClient::new(staff::channel(stack, "payment")?))
}
