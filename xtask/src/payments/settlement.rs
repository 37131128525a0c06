//! `payments settlement`: a provider's file is imported, what does not agree is listed, and decided. It goes through the contract, and
//! matches nothing itself.

mod differences;
mod import;
mod resolve;

use stampede_kit as kit;
use stampede_proto::payment::v1::settlement_service_client::SettlementServiceClient;

use crate::stack::Stack;
use crate::staff;

type Client = SettlementServiceClient<kit::client::Channel>;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Import a file, or what the provider simulator has to say since a moment; the same file again changes nothing.
    Import(import::Args),
    /// List what files and books do not agree about and nobody has decided.
    Differences {
        /// Print one JSON object instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Decide one of them, with its entries in the books.
    Resolve(resolve::Args),
}

pub async fn run(command: &Command) -> anyhow::Result<()> {
    match command {
        Command::Import(args) => import::run(args).await,
        Command::Differences { json } => differences::run(*json).await,
        Command::Resolve(args) => resolve::run(args).await,
    }
}

fn client(stack: &Stack) -> anyhow::Result<Client> {
    Ok(SettlementServiceClient::new(staff::channel(stack, "payment")?))
}
