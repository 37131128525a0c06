//! The gateway's process. It decides nothing.

use std::process::ExitCode;

use stampede_gateway::{Config, app};
use stampede_kit as kit;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kit::run("gateway", Config::read, async |config: Config| app(&config).await)
}
