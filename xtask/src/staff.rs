//! What a member of staff asks one of our services for, of what `up` runs: by gRPC like everybody, with the certificate of `client` and a
//! token of staff's. Lists are read to their end; decisions have a name and a note. It decides nothing itself.

use std::time::Duration;

use anyhow::Context as _;
use stampede_kit as kit;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tonic::metadata::MetadataValue;
use uuid::Uuid;

use crate::stack::Stack;
use crate::token::{self, Role};

/// Entries of one page.
pub const PAGE: u32 = 100;
/// Entries that are listed; more than a person can look at.
const MAX_LISTED: usize = 10_000;

/// Who decides and why: of every command that writes a decision.
#[derive(Debug, clap::Args)]
pub struct Signed {
    /// Why, for whoever looks later.
    #[arg(long)]
    pub note: String,
    /// Who decides; kept with the decision.
    #[arg(long, default_value = "reviewer")]
    pub user: String,
    /// The decision's id, to send one again whose answer was lost; a new one when it is left out.
    #[arg(long)]
    pub id: Option<Uuid>,
    /// Print one JSON object instead of a line.
    #[arg(long)]
    pub json: bool,
}

/// A channel to this service.
pub fn channel(stack: &Stack, service: &'static str) -> anyhow::Result<kit::client::Channel> {
    let folder = stack.folder();
    let tls =
        kit::tls::Client::read(&folder.cert_path("client"), &folder.key_path("client"), &folder.ca_path())?;
    let contract = kit::Contract::parse(stampede_proto::DESCRIPTOR_SET)?;
    Ok(kit::client::connect(&tls, service, &stack.address(service)?.to_string(), contract))
}

/// A request of this person's, who is a member of staff.
pub fn request<M>(
    stack: &Stack,
    user: &str,
    message: M,
    within: Duration,
) -> anyhow::Result<tonic::Request<M>> {
    let mut request = kit::client::request(message, within);
    let token = token::sign(stack.folder(), user, Role::Staff)?;
    let bearer = MetadataValue::try_from(format!("Bearer {token}")).context("a token is ASCII")?;
    request.metadata_mut().insert("authorization", bearer);
    Ok(request)
}

/// Everything that is listed, page by page: `page` answers a token with a page and the token of the next.
pub async fn listed<T>(
    mut page: impl AsyncFnMut(String) -> anyhow::Result<(Vec<T>, String)>,
) -> anyhow::Result<Vec<T>> {
    let (mut all, mut token) = (Vec::new(), String::new());
    loop {
        let (entries, next) = page(token).await?;
        all.extend(entries);
        token = next;
        if token.is_empty() || all.len() >= MAX_LISTED {
            return Ok(all);
        }
    }
}

/// As RFC 3339 has it; 1970 when it is not told.
pub fn instant(told: Option<OffsetDateTime>) -> String {
    told.unwrap_or(OffsetDateTime::UNIX_EPOCH).format(&Rfc3339).unwrap_or_default()
}
