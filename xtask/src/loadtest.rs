//! `loadtest`: a stampede on a shop of its own, in release, and the books after it. It never touches what `up` started,
//! sends only to loopback, and ends by itself.

mod books;
mod follower;
pub mod gate;
mod grpc;
mod orders;
pub(crate) mod outcome;
mod payments;
mod relay;
mod report;
mod rest;
mod shop;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Subcommand, ValueEnum};
use stampede_kit::clock::Clock;
use uuid::Uuid;

use crate::cli::block_on;
use crate::generator::Crowd;
use crate::generator::pace::Pace;
use crate::terminal::{Step, say};
use crate::{home, release};
use outcome::Tally;
use report::Report;
use shop::Shop;

/// Few connections with many streams cost half of many with one.
const GRPC_CONNECTIONS: usize = 8;
/// Longest run, in seconds: load on a laptop stops by itself.
const LONGEST_S: u64 = 600;

/// Measure.
#[derive(Debug, Subcommand)]
pub enum Load {
    /// Many buyers against one flash campaign, then the books.
    Seckill(Args),
    /// Durable orders a second, what each costs every process, and how long buyers wait at half of that.
    Orders(orders::Args),
    /// Payments authorised and captured a second, with a provider that answers at once and one that takes its time; refunds of one.
    Payments(payments::Args),
    /// Orders while the relay catches up a long backlog, and the way of an event to a consumer.
    Relay(relay::Args),
}

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// How long requests are sent, in seconds.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=LONGEST_S))]
    duration: u64,
    /// Requests a second, on a schedule that waits for no answer; 0 sends as fast as the connections take it.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    rate: u64,
    /// Requests in flight at once; over REST each is a connection of its own.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=5_000))]
    connections: u64,
    /// Units the campaign puts on sale.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(i64).range(1..=100_000_000))]
    stock: i64,
    /// Buyers, each with a token of their own.
    #[arg(long, default_value_t = 5_000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    buyers: u64,
    /// Units one buyer may have; without it twice a fair share.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    limit: Option<u32>,
    /// Through the gateway's REST, or straight to the order service.
    #[arg(long, value_enum, default_value = "rest")]
    protocol: Protocol,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Protocol {
    Rest,
    Grpc,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Protocol::Rest => "rest",
            Protocol::Grpc => "grpc",
        }
    }
}

/// Runs the load; the exit code says whether the books agree.
pub fn run(load: &Load) -> anyhow::Result<ExitCode> {
    let args = match load {
        Load::Seckill(args) => args,
        Load::Orders(args) => return orders::run(args),
        Load::Payments(args) => return payments::run(args),
        Load::Relay(args) => return relay::run(args),
    };
    if cfg!(debug_assertions) {
        // A debug build measures nothing.
        return release::again(&["--workspace"]);
    }
    let _held = home::lock(&shop::folder())?;
    let step = Step::begin("opening a shop of its own");
    let shop = Shop::open(&step)?;
    step.done(shop.gateway()?);
    let report = block_on(seckill(&shop, args));
    shop.close()?;
    let report = report?;
    if args.json {
        say(serde_json::to_string(&report)?);
    } else {
        report.print();
    }
    Ok(if report.differences.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

async fn seckill(shop: &Shop, args: &Args) -> anyhow::Result<Report> {
    let run = Uuid::now_v7();
    let buyers = usize::try_from(args.buyers).context("too many buyers")?;
    let connections = usize::try_from(args.connections).context("too many connections")?;
    let fair_share = u32::try_from(args.stock / i64::try_from(args.buyers)?).unwrap_or(u32::MAX);
    let limit = args.limit.unwrap_or((2 * (fair_share + 1)).min(1_000));

    let step = Step::begin("gathering the crowd");
    let sale = shop.campaign(run, args.stock, limit).await?;
    let now = Clock::system().now();
    let crowd = Arc::new(Crowd::gather(buyers, shop.issuer(), now, run)?);
    step.done(format!("{buyers} buyers, {} units, {limit} at most each", args.stock));

    let step = Step::begin(format!("sending for {} s over {}", args.duration, args.protocol.name()));
    let pace = Arc::new(Pace::new(args.rate, Duration::from_secs(args.duration)));
    let mut senders = Vec::with_capacity(connections);
    let channels = shop.order_channels(GRPC_CONNECTIONS.min(connections))?;
    let gateway: Arc<str> = shop.gateway_address()?.into();
    for n in 0..connections {
        let (crowd, pace) = (Arc::clone(&crowd), Arc::clone(&pace));
        senders.push(match args.protocol {
            Protocol::Rest => {
                let body = sale.json_order();
                let sender = rest::connection(Arc::clone(&gateway), body, crowd, pace);
                stampede_kit::task::spawn("load", sender)
            }
            Protocol::Grpc => {
                let channel = channels[n % channels.len()].clone();
                stampede_kit::task::spawn("load", grpc::stream(channel, sale.order(), crowd, pace))
            }
        });
    }
    let mut tally = Tally::new();
    for sender in senders {
        tally.add(&sender.await.context("a sender panicked")??);
    }
    let took = pace.elapsed();
    step.done(format!("{} answers", tally.offered));

    let step = Step::begin("reading the books");
    let books = shop.books(&sale).await?;
    step.done("");
    Ok(Report::new(args.protocol.name(), connections, buyers, took, &tally, &books))
}
