//! `cargo xtask`: reads the command line and runs one command. It decides nothing else.

use std::process::ExitCode;

use clap::Parser as _;
use xtask::cli::Cli;
use xtask::terminal;

// The services' own: `bench` compares them with an echo that is this program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            terminal::complain(&error);
            ExitCode::FAILURE
        }
    }
}
