//! `clients`: the programs people call the gateway with, each against what `up` started: curl, a browser's EventSource, a
//! TypeScript client generated from the contract, and `buf curl`. Each prints what it saw; the first that sees something
//! else ends the command. They read, and place nothing.

mod buf_curl;
mod curl;
mod typescript;

use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};

use crate::terminal::say;
use crate::token::{self, Role};
use crate::{home, seed, up};

/// What every client is told.
struct Called {
    /// The gateway's address, such as `http://127.0.0.1:8080`.
    gateway: String,
    token: String,
    /// An article of the demo shop.
    sku: &'static str,
}

pub fn run() -> anyhow::Result<()> {
    let stack = up::running()?;
    let token = token::sign(stack.folder(), "clients", Role::Buyer)?;
    let called = Called { gateway: stack.gateway()?, token, sku: seed::FLASH_SKU };
    let root = home::root();
    say(format!("curl, {}", called.gateway));
    curl::run(&called)?;
    say("buf curl");
    buf_curl::run(&root, &called)?;
    let built = typescript::build(&root)?;
    say("TypeScript, connect-web over gRPC-web");
    built.run("grpc-web", &called)?;
    say("browser");
    built.run("browser", &called)?;
    say("clients: each reads, is refused and follows as it should");
    Ok(())
}

/// Whether a program can be started.
fn answers(program: &str) -> bool {
    let mut command = Command::new(program);
    let quiet = command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

/// What a client printed; what it complained of, where it failed.
fn output(command: &mut Command, what: &str) -> anyhow::Result<String> {
    let output =
        command.stdin(Stdio::null()).output().with_context(|| format!("{what} could not be started"))?;
    if !output.status.success() {
        let said = [output.stdout, output.stderr].concat();
        bail!("{what}: {}", String::from_utf8_lossy(&said).trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
