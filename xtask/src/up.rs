//! `up`: from nothing to a shop that sells. The second time it is fast, keeps everything, and restarts only what was
//! built anew.

pub mod down;
mod follow;
pub mod status;

use std::process::Command;

use anyhow::{Context as _, bail};

use crate::cli::block_on;
use crate::smoke::rest::Api;
use crate::stack::{Layout, NAMES, Stack};
use crate::terminal::{Step, note, say};
use crate::token::{self, Role};
use crate::{certs, home, seed};

/// Where a developer looks first.
const GATEWAY_PORT: u16 = 8080;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Leave everything running and return.
    #[arg(long)]
    detach: bool,
    /// Optimised binaries: slower to build, for measuring.
    #[arg(long)]
    release: bool,
}

/// The stack of this repository.
pub fn layout(release: bool) -> Layout {
    Layout {
        dir: home::dev(),
        binaries: home::binaries(release),
        certs: certs::folder(),
        gateway_port: Some(GATEWAY_PORT),
        settings: Vec::new(),
        instances: Vec::new(),
    }
}

/// The stack that `up` started.
pub fn running() -> anyhow::Result<Stack> {
    let _held = home::lock(&home::dev())?;
    Stack::running(layout(false))?.context("Stampede is not running; start it with `cargo xtask up --detach`")
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let held = home::lock(&home::dev())?;
    build(args.release)?;
    let step = Step::begin("Postgres, Redis and NATS");
    let mut stack = Stack::open(layout(args.release), &step)?;
    step.done(stack.servers().list());
    let step = Step::begin("Services");
    let started = stack.start_all(&step)?;
    step.done(match started.as_slice() {
        [] => "all were running already".to_owned(),
        names => format!("started {}", names.join(", ")),
    });
    let staff = Api::new(stack.gateway()?, token::sign(stack.folder(), "seed", Role::Staff)?)?;
    let step = Step::begin("Demo catalogue and flash campaign");
    step.done(block_on(seed::put(&staff))?);
    let campaign =
        block_on(seed::open_campaign(&staff))?.context("the flash campaign is not listed as open")?;
    drop(held);
    let already = started.is_empty();
    say(invitation(&stack, &campaign, already)?);
    if args.detach || already {
        return Ok(());
    }
    note("Errors of the services follow here; ctrl-c stops everything.");
    block_on(follow::until_interrupted(&stack))?;
    down::stop_everything(&home::dev())
}

/// Builds the services' binaries; cargo shows its own progress.
fn build(release: bool) -> anyhow::Result<()> {
    note("  .. cargo build");
    let mut cargo = Command::new("cargo");
    cargo.current_dir(home::root()).arg("build");
    for name in NAMES {
        cargo.arg("-p").arg(format!("stampede-{name}")).arg("--bin").arg(name);
    }
    if release {
        cargo.arg("--release");
    }
    if !cargo.status().context("cannot run cargo")?.success() {
        bail!("the services do not build; see above");
    }
    Ok(())
}

/// What to try next, ready to paste.
fn invitation(stack: &Stack, campaign: &str, already: bool) -> anyhow::Result<String> {
    let (gateway, sku) = (stack.gateway()?, seed::FLASH_SKU);
    let token = token::sign(stack.folder(), "alice", Role::Buyer)?;
    let state = if already { "was up already" } else { "is up" };
    Ok(format!(
        r#"
Stampede {state}: {gateway}  (REST, gRPC, gRPC-web, JSON-RPC; documentation at /docs)

A buyer's token, good for an hour (another: cargo xtask token --user alice --role buyer):
export TOKEN={token}

See what is on sale:
curl -s -H "Authorization: Bearer $TOKEN" {gateway}/v1/campaigns

Buy one; the same key again gives the same order:
curl -s -H "Authorization: Bearer $TOKEN" -H "Idempotency-Key: my-first-order" \
  -H "Content-Type: application/json" {gateway}/v1/orders \
  -d '{{"lines":[{{"skuId":"{sku}","campaignId":"{campaign}","quantity":1}}]}}'

Pay for it (put the order's id in place of ORDER_ID):
curl -s -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
  {gateway}/v1/orders/ORDER_ID:pay -d '{{"method":{{"card":{{"token":"tok_visa"}}}}}}'

cargo xtask smoke does all of it and checks every step; cargo xtask status, down."#
    ))
}
