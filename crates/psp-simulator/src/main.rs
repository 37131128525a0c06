//! The process around the provider that misbehaves on request.

use std::process::ExitCode;

use stampede_psp_simulator::{Config, serve};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    stampede_kit::process("psp-simulator", Config::read, serve)
}
