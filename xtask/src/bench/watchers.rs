//! `bench watchers`: thousands who follow one campaign on one inventory process. What each of them costs in memory, how soon a
//! change has reached all of them, and what those cost who stop reading. It never measures the buyers' side.

mod reader;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures::future::try_join_all;
use serde::Serialize;
use stampede_kit::{self as kit, Contract, task};
use stampede_proto::inventory::v1::inventory_service_client::InventoryServiceClient;
use stampede_proto::inventory::v1::{AdjustStockRequest, StockLevel, WatchStockRequest};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::shop::{SERVICE, Sale, Shop};
use crate::cli::block_on;
use crate::processes::Snapshot;
use crate::terminal::{Step, say};
use crate::token::{self, Role};
use crate::{home, release};
use reader::{Connection, Reader};

/// SKUs of the campaign: a snapshot tells of all of them, a change of one.
const SKUS: usize = 20;
const UNITS: i64 = 1_000_000;
/// What our own channels give a stream and a connection.
const WINDOWS: (u32, u32) = (1024 * 1024, 4 * 1024 * 1024);
/// Of those who stop reading: a stream is full after a few changes.
const STALLED_WINDOWS: (u32, u32) = (1024, 4 * 1024 * 1024);
/// One slot in ten is not for watchers.
const SLOTS: &str = "limits.concurrency";

#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Streams that are open at once.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u64).range(1..=30_000))]
    watchers: u64,
    /// Connections they share; the server takes 4096 streams on each.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=64))]
    connections: u64,
    /// Changes that are followed to everybody, one after the other.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=1_000))]
    changes: u64,
    /// Watchers beside them that stop reading, while as many changes again happen five times over.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(0..=4_000))]
    stalled: u64,
    /// Print one JSON object instead of lines.
    #[arg(long)]
    json: bool,
    /// Measure the debug build, whose figures mean nothing: to see that this works.
    #[arg(long, hide = true)]
    debug_build: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    watchers: u64,
    connections: u64,
    /// The setting `limits.concurrency` of the process.
    concurrency: u64,
    opened_s: f64,
    memory_before_mib: f64,
    memory_watched_mib: f64,
    kib_a_watcher: f64,
    /// From asking for a change until the last watcher has been told.
    change_to_all_ms_median: f64,
    change_to_all_ms_worst: f64,
    /// Of the inventory process, for each message told.
    cpu_us_a_message: f64,
    /// Of those who stopped reading.
    stalled: Stalled,
}

#[derive(Debug, Serialize)]
struct Stalled {
    watchers: u64,
    changes: u64,
    /// Beyond what they cost before they stopped.
    kib_a_watcher: f64,
    /// Until the newest level had come, the snapshot included.
    messages_median: u64,
    messages_most: u64,
}

/// Runs it; an error when a watcher was not told.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    if cfg!(debug_assertions) && !args.debug_build {
        return release::again(&["-p", "stampede-inventory", "-p", "xtask"]);
    }
    let _held = home::lock(&super::shop::folder())?;
    block_on(async {
        let concurrency = (args.watchers + args.stalled) * 10 / 9 + 100;
        let settings = vec![(SERVICE, SLOTS, concurrency.to_string())];
        let step = Step::begin("opening a shop of its own");
        let mut shop = Shop::with(home::binaries(!args.debug_build), 1, settings, &step)?;
        step.done("");
        let report = measure(&mut shop, args, concurrency).await;
        shop.close()?;
        print(args, &report?)?;
        Ok(ExitCode::SUCCESS)
    })
}

async fn measure(shop: &mut Shop, args: &Args, concurrency: u64) -> anyhow::Result<Report> {
    let staff = Staff::of(shop).await?;
    let warm = staff.connection(shop, WINDOWS).await?.read().await?.next().await?;
    let before = memory(shop);

    let step = Step::begin(format!("opening {} watchers", args.watchers));
    let (told, mut telling) = mpsc::channel(usize::try_from(args.watchers)?);
    let began = Instant::now();
    let mut opening = Vec::new();
    for number in 0..args.connections {
        let connection = staff.connection(shop, WINDOWS).await?;
        for _ in (number..args.watchers).step_by(usize::try_from(args.connections)?) {
            let (opened, told) = (connection.read(), told.clone());
            opening.push(task::spawn("watcher", follow(opened, told)));
        }
    }
    everybody(&mut telling, args.watchers).await.context("not everybody got a snapshot")?;
    let opened_s = began.elapsed().as_secs_f64();
    step.done(format!("snapshots of {} bytes in {opened_s:.1} s", warm.len()));
    let watched = memory(shop);

    let step = Step::begin(format!("following {} changes", args.changes));
    let cpu = Snapshot::take(&shop.measured());
    let mut took = Vec::new();
    for _ in 0..args.changes {
        let asked = Instant::now();
        staff.restock().await?;
        everybody(&mut telling, args.watchers).await.context("a change did not reach everybody")?;
        took.push(asked.elapsed().as_secs_f64() * 1_000.0);
    }
    let cpu = Snapshot::take(&shop.measured()).cpu_us_since(&cpu)[SERVICE];
    took.sort_by(f64::total_cmp);
    step.done("");

    opening.into_iter().for_each(|reader| reader.abort());
    let stalled = stall(shop, &staff, args).await?;
    Ok(Report {
        watchers: args.watchers,
        connections: args.connections,
        concurrency,
        opened_s,
        memory_before_mib: before,
        memory_watched_mib: watched,
        kib_a_watcher: (watched - before) * 1024.0 / args.watchers as f64,
        change_to_all_ms_median: took[took.len() / 2],
        change_to_all_ms_worst: took[took.len() - 1],
        cpu_us_a_message: cpu / (args.changes * args.watchers) as f64,
        stalled,
    })
}

/// Watchers that take the beginning of the first message and then nothing, until much has changed.
async fn stall(shop: &Shop, staff: &Staff, args: &Args) -> anyhow::Result<Stalled> {
    let changes = args.changes * 5;
    let step = Step::begin(format!("{} watchers stop while {changes} changes happen", args.stalled));
    let connection = staff.connection(shop, STALLED_WINDOWS).await?;
    let mut readers: Vec<Reader> = try_join_all((0..args.stalled).map(|_| connection.read())).await?;
    let before = memory(shop);
    let mut newest = 0;
    for _ in 0..changes {
        newest = staff.restock().await?.version;
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let after = memory(shop);
    let mut messages = try_join_all(readers.iter_mut().map(|reader| reader.until(newest))).await?;
    messages.sort_unstable();
    step.done("");
    Ok(Stalled {
        watchers: args.stalled,
        changes,
        kib_a_watcher: (after - before) * 1024.0 / args.stalled.max(1) as f64,
        messages_median: messages.get(messages.len() / 2).copied().unwrap_or(0),
        messages_most: messages.last().copied().unwrap_or(0),
    })
}

/// One watcher: says so for each message that is no heartbeat.
async fn follow(
    opened: impl Future<Output = anyhow::Result<Reader>>,
    told: mpsc::Sender<anyhow::Result<()>>,
) {
    let ended = async {
        let mut reader = opened.await?;
        loop {
            reader.until(0).await?;
            told.send(Ok(())).await?;
        }
    };
    let ended: anyhow::Result<()> = ended.await;
    told.send(ended).await.ok();
}

async fn everybody(telling: &mut mpsc::Receiver<anyhow::Result<()>>, watchers: u64) -> anyhow::Result<()> {
    for at in 0..watchers {
        match tokio::time::timeout(Duration::from_secs(30), telling.recv()).await {
            Ok(Some(told)) => told?,
            Ok(None) | Err(_) => bail!("{at} of {watchers} were told"),
        }
    }
    Ok(())
}

fn memory(shop: &Shop) -> f64 {
    Snapshot::take(&shop.measured()).memory_mib().get(SERVICE).copied().unwrap_or(0.0)
}

/// Who changes the stock, and whose token the watchers have.
struct Staff {
    stock: InventoryServiceClient<kit::client::Channel>,
    token: String,
    sale: Sale,
}

impl Staff {
    async fn of(shop: &mut Shop) -> anyhow::Result<Staff> {
        let contract = Contract::parse(stampede_proto::DESCRIPTOR_SET)?;
        let channel = kit::client::connect(&shop.tls, SERVICE, &shop.address()?.to_string(), contract);
        let token = token::sign(shop.stack.folder(), "bench-watcher", Role::Staff)?;
        Ok(Staff {
            stock: InventoryServiceClient::new(channel),
            token,
            sale: shop.campaign(SKUS, UNITS, 1).await?,
        })
    }

    async fn connection(&self, shop: &Shop, windows: (u32, u32)) -> anyhow::Result<Connection> {
        let ask =
            WatchStockRequest { campaign_id: self.sale.campaign.clone(), ..WatchStockRequest::default() };
        Connection::open(shop.address()?, &shop.tls, &self.token, &ask, windows).await
    }

    /// One unit more.
    async fn restock(&self) -> anyhow::Result<StockLevel> {
        let adjust = AdjustStockRequest {
            sku_id: self.sale.skus[0].clone(),
            campaign_id: self.sale.campaign.clone(),
            delta: 1,
            reason: "bench".into(),
            adjustment_id: Uuid::now_v7().to_string(),
        };
        let mut request = kit::client::request(adjust, Duration::from_secs(10));
        request.metadata_mut().insert("authorization", format!("Bearer {}", self.token).parse()?);
        Ok(self.stock.clone().adjust_stock(request).await.context("the restock is refused")?.into_inner())
    }
}

fn print(args: &Args, report: &Report) -> anyhow::Result<()> {
    if args.json {
        say(serde_json::to_string(report)?);
        return Ok(());
    }
    let Report { watchers, connections, concurrency, opened_s, stalled, .. } = report;
    say(format!(
        "{watchers} watchers on {connections} connections ({SLOTS} {concurrency}), open after {opened_s:.1} s"
    ));
    say(format!(
        "memory of {SERVICE}, MiB: {:.1} before, {:.1} with them: {:.1} KiB a watcher",
        report.memory_before_mib, report.memory_watched_mib, report.kib_a_watcher
    ));
    say(format!(
        "one change to all: median {:.0} ms, worst {:.0} ms; {:.1} us of CPU a message",
        report.change_to_all_ms_median, report.change_to_all_ms_worst, report.cpu_us_a_message
    ));
    say(format!(
        "{} that stopped for {} changes: {:.1} KiB more each; the newest level after {} messages (median), {} at most",
        stalled.watchers,
        stalled.changes,
        stalled.kib_a_watcher,
        stalled.messages_median,
        stalled.messages_most
    ));
    Ok(())
}
