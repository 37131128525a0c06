//! `payments`: payments that wait for a person, of what `up` runs: seen, and resolved under the name of whoever runs this. It goes
//! through the contract like everybody: by gRPC, with the certificate of `client` and a token of staff's.

mod resolve;
mod stuck;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use stampede_kit as kit;
use stampede_proto::payment::v1::repair_service_client::RepairServiceClient;
use tonic::metadata::MetadataValue;

use crate::cli::block_on;
use crate::stack::Stack;
use crate::token::{self, Role};

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
}

pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Stuck { json } => block_on(stuck::run(*json))?,
        Command::Resolve(args) => block_on(resolve::run(args))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn client(stack: &Stack) -> anyhow::Result<Client> {
    let folder = stack.folder();
    let tls =
        kit::tls::Client::read(&folder.cert_path("client"), &folder.key_path("client"), &folder.ca_path())?;
    let contract = kit::Contract::parse(stampede_proto::DESCRIPTOR_SET)?;
    let address = stack.address("payment")?.to_string();
    Ok(RepairServiceClient::new(kit::client::connect(&tls, "payment", &address, contract)))
}

/// A request of this person's, who is a member of staff.
fn request<M>(stack: &Stack, user: &str, message: M, within: Duration) -> anyhow::Result<tonic::Request<M>> {
    let mut request = kit::client::request(message, within);
    let token = token::sign(stack.folder(), user, Role::Staff)?;
    let bearer = MetadataValue::try_from(format!("Bearer {token}")).context("a token is ASCII")?;
    request.metadata_mut().insert("authorization", bearer);
    Ok(request)
}
