//! `smoke`: a whole purchase against what `up` started, by REST through the gateway and again by gRPC straight to
//! the services. Every step is printed, and the first one that differs ends it.

pub mod grpc;
pub mod rest;
mod story;

use crate::cli::block_on;
use crate::terminal::say;
use crate::token::{self, Role};
use crate::{seed, up};

pub fn run() -> anyhow::Result<()> {
    let stack = up::running()?;
    let staff = token::sign(stack.folder(), "smoke-staff", Role::Staff)?;
    let staff = rest::Api::new(stack.gateway()?, staff)?;
    block_on(async {
        seed::put(&staff).await?;
        say(format!("REST, {}", stack.gateway()?));
        story::tell(&rest::Face::new(&stack), &staff).await?;
        say(format!("gRPC over mTLS, order at {}", stack.address("order")?));
        story::tell(&grpc::Face::new(&stack)?, &staff).await?;
        say("smoke: both faces sell, refuse and undo as they should");
        Ok(())
    })
}
