//! The inventory process.

use std::process::ExitCode;

use stampede_inventory::Config;
use stampede_kit as kit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kit::run("inventory", Config::read, stampede_inventory::app)
}
