//! `orders`: orders that wait for a person, of what `up` runs: seen, and resolved under the name of whoever runs this. It goes through
//! the contract like everybody: by gRPC, with the certificate of `client` and a token of staff's.

mod resolve;
mod review;

use std::process::ExitCode;

use anyhow::Context as _;
use stampede_kit as kit;
use stampede_proto::order::v1::review_service_client::ReviewServiceClient;
use tonic::metadata::MetadataValue;

use crate::cli::block_on;
use crate::stack::Stack;
use crate::token::{self, Role};

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
    let folder = stack.folder();
    let tls =
        kit::tls::Client::read(&folder.cert_path("client"), &folder.key_path("client"), &folder.ca_path())?;
    let contract = kit::Contract::parse(stampede_proto::DESCRIPTOR_SET)?;
    let address = stack.address("order")?.to_string();
    Ok(ReviewServiceClient::new(kit::client::connect(&tls, "order", &address, contract)))
}

/// A request of this person's, who is a member of staff.
fn request<M>(
    stack: &Stack,
    user: &str,
    message: M,
    within: std::time::Duration,
) -> anyhow::Result<tonic::Request<M>> {
    let mut request = kit::client::request(message, within);
    let token = token::sign(stack.folder(), user, Role::Staff)?;
    let bearer = MetadataValue::try_from(format!("Bearer {token}")).context("a token is ASCII")?;
    request.metadata_mut().insert("authorization", bearer);
    Ok(request)
}
