//! `down`: stops what `up` started, callers before the called, and removes its data when asked to.

use std::path::Path;

use crate::terminal::{Step, say};
use crate::{home, servers, stack};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Remove the data too. The certificates stay.
    #[arg(long)]
    wipe: bool,
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let dir = home::dev();
    stop_everything(&dir)?;
    if args.wipe {
        let _held = home::lock(&dir)?;
        stack::wipe(&dir)?;
        for other in ["test", "prepare"].map(|name| dir.join(name)).iter().filter(|other| other.exists()) {
            let _held = home::lock(other)?;
            stack::wipe(other)?;
        }
        say("the data is gone");
    }
    Ok(())
}

/// Stops the services, then what they stand on.
pub fn stop_everything(dir: &Path) -> anyhow::Result<()> {
    let _held = home::lock(dir)?;
    let step = Step::begin("Stopping");
    let mut stopped = stack::stop(dir)?;
    stopped.extend(servers::stop(dir)?.into_iter().map(str::to_owned));
    step.done(if stopped.is_empty() { "nothing was running".to_owned() } else { stopped.join(", ") });
    Ok(())
}
