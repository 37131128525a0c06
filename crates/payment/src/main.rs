//! The process around the payment service.

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    stampede_kit::run("payment", stampede_payment::Config::read, stampede_payment::app)
}
