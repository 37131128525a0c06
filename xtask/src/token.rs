//! `token`: a signed token for a user of the development stack. It is worth nothing anywhere else.

use stampede_kit::clock::Clock;
use stampede_pki::{Claims, Folder};
use time::Duration;

use crate::terminal::say;
use crate::{certs, home};

/// A development token that outlives this is a password.
const TTL_MAX_MINUTES: u32 = 7 * 24 * 60;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// Whose token: the claim `sub`.
    #[arg(long)]
    user: String,
    /// What the user is; may be given several times.
    #[arg(long, value_enum, default_value = "buyer")]
    role: Vec<Role>,
    /// How long it is good, in minutes.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=i64::from(TTL_MAX_MINUTES)))]
    ttl: u32,
}

/// The roles the contract grants permissions to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Role {
    Buyer,
    Staff,
    Auditor,
    Guest,
}

impl Role {
    /// As it stands in the claim `roles`.
    pub fn claim(self) -> &'static str {
        match self {
            Role::Buyer => "buyer",
            Role::Staff => "staff",
            Role::Auditor => "auditor",
            Role::Guest => "guest",
        }
    }
}

/// Signs a token that is good for an hour.
pub fn sign(folder: &Folder, user: &str, role: Role) -> anyhow::Result<String> {
    Ok(folder.issuer().issue(&Claims::new(user, [role.claim()]), Clock::system().now())?)
}

pub fn run(args: &Args) -> anyhow::Result<()> {
    let _held = home::lock(&home::dev())?;
    let (folder, _) = certs::ensure(&certs::folder(), certs::ENVIRONMENT)?;
    let mut claims = Claims::new(args.user.as_str(), args.role.iter().map(|role| role.claim()));
    claims.ttl = Duration::minutes(i64::from(args.ttl));
    say(folder.issuer().issue(&claims, Clock::system().now())?);
    Ok(())
}
