//! `orders`: orders that wait for a person, of what `up` runs: seen, and resolved under the name of whoever runs this. It goes through
//! the contract like everybody.

mod resolve;
mod review;

use std::process::ExitCode;

use stampede_kit as kit;
use stampede_proto::order::v1::review_service_client::ReviewServiceClient;

use crate::cli::block_on;
use crate::stack::Stack;
use crate::staff;

type Client = ReviewServiceClient<kit::client::Channel>;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the orders that wait for a person: why, since when, and what may be decided.
    Review {
        /// Print one JSON object instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Decide how one of them goes on.
    Resolve(resolve::Args),
}

pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Review { json } => block_on(review::run(*json))?,
        Command::Resolve(args) => block_on(resolve::run(args))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn client(stack: &Stack) -> anyhow::Result<Client> {
    Ok(ReviewServiceClient::new(staff::channel(stack, "order")?))
}
