//! The order service's process: settings in, `app` out, run. It never decides anything.

use std::process::ExitCode;

use stampede_kit as kit;
use stampede_order::{Config, app};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    kit::run("order", Config::read, async |config: Config| app(&config).await)
}
