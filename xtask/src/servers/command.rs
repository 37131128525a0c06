//! `servers`: the three servers alone, for work that needs no service.

use std::path::Path;

use super::{Servers, status, stop, test_variables};
use crate::home;
use crate::terminal::{Step, say};

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Start them and print where they are, as variables tests read.
    Start,
    /// Stop them; their data stays.
    Stop,
    /// Show them.
    Status,
}

pub fn run(command: &Command, dir: &Path) -> anyhow::Result<()> {
    let _held = home::lock(dir)?;
    match command {
        Command::Start => {
            let step = Step::begin("Servers");
            let servers = Servers::start(dir, &step)?;
            step.done("");
            for (name, value) in test_variables(&servers) {
                say(format!("export {name}={value}"));
            }
        }
        Command::Stop => match stop(dir)?.as_slice() {
            [] => say("nothing was running"),
            stopped => say(format!("stopped {}", stopped.join(", "))),
        },
        Command::Status => {
            for server in status(dir)? {
                say(server.line());
            }
        }
    }
    Ok(())
}
