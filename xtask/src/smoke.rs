//! `smoke`: a whole purchase, and what follows it, against what `up` started, by REST through the gateway and again by gRPC straight to
//! the services. Every step is printed, and the first one that differs ends it.

mod after;
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
        let face = rest::Face::new(&stack);
        story::tell(&face, &staff).await?;
        after::tell(&face, &staff).await?;
        say(format!("gRPC over mTLS, order at {}", stack.address("order")?));
        let face = grpc::Face::new(&stack)?;
        story::tell(&face, &staff).await?;
        after::tell(&face, &staff).await?;
        say("smoke: both faces sell, refuse, undo, ship and take back as they should");
        Ok(())
    })
}
