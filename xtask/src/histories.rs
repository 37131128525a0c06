//! `histories`: the random histories of orders, or of payments, that the tests play some hundreds of, in thousands: round after round
//! with another seed, until the time is over or one of them fails. Every round has servers and processes of its own.

use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use anyhow::Context as _;

use crate::home;
use crate::terminal::{note, say};
use crate::test;

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Of {
    /// Orders, with all that belongs to them.
    Orders,
    /// Payments alone, with everything a provider can do wrong.
    Payments,
}

impl Of {
    /// The tests that play them, by a part of their names.
    const fn played_by(self) -> &'static str {
        match self {
            Self::Orders => "order_histories",
            Self::Payments => "payment_histories",
        }
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Payments => "payments",
        }
    }
}

#[derive(Debug, clap::Args)]
pub struct Args {
    /// What is played.
    #[arg(long, value_enum, default_value_t = Of::Orders)]
    of: Of,
    /// Orders (or payments) of each test of a round; a round is two tests.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    orders: u64,
    /// Begin another round until so much time has passed; 0 plays one.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=24 * 60))]
    minutes: u64,
    /// The seed of the first round, such as that of one that failed; each further one has the next.
    #[arg(long)]
    seed: Option<u64>,
}

pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if !test::build_binaries()? {
        return Ok(ExitCode::FAILURE);
    }
    let first = args.seed.unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let lasting = MINUTE.saturating_mul(u32::try_from(args.minutes).unwrap_or(u32::MAX));
    let began = Instant::now();
    for seed in first.. {
        note(format!("  .. seed {seed}: {} {} a test", args.orders, args.of.word()));
        let played = Command::new("cargo")
            .args(["test", "--package", "stampede-e2e", "--test", "it", "--", args.of.played_by()])
            .args(["--nocapture", "--test-threads", "1"])
            .env("STAMPEDE_HISTORY_SEED", seed.to_string())
            .env("STAMPEDE_HISTORY_ORDERS", args.orders.to_string())
            .current_dir(home::root())
            .status();
        if !played.context("cannot run cargo")?.success() {
            say(format!(
                "seed {seed} failed; again: cargo xtask histories --of {} --orders {} --seed {seed}",
                args.of.word(),
                args.orders
            ));
            return Ok(ExitCode::FAILURE);
        }
        if began.elapsed() >= lasting {
            let rounds = seed - first + 1;
            say(format!("histories: {rounds} rounds from seed {first} ended well"));
            break;
        }
    }
    Ok(ExitCode::SUCCESS)
}
