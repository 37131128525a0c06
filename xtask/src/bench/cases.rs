//! What is measured side by side: the service, each of its parts alone, and what it is compared with. Every case begins when the
//! one before has left nothing to do. It measures; it never judges.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use serde::Serialize;

use super::bare::{self, Way};
use super::books;
use super::echo::Echo;
use super::script::Bare;
use super::shop::{SECOND, Sale, Shop};
use crate::generator::Load;
use crate::generator::deductions::{Ask, Deductions, SERVICE};
use crate::generator::grpc::Target;
use crate::generator::pace::Pace;
use crate::measure::{self, Figures, Span, Whole};
use crate::processes::Measured;
use crate::terminal::Step;

/// The contract's most units of a SKU, and of a buyer.
const UNITS: i64 = 1_000_000_000;
const LIMIT: u32 = 1_000;
/// Buyers of the case in which all of them have had theirs.
const LIMITED_BUYERS: u64 = 1_000;
/// Connections that lock one hot row.
const ROW_LOCK_CLIENTS: usize = 8;
/// Requests of one script call, as a batch of the service has.
const SCRIPT_BATCH: usize = 64;
/// The relay publishes what the last case has committed within this.
const QUIET_WITHIN: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(50);
/// FAILED_PRECONDITION: sold out, and over the limit.
const REFUSED: usize = 9;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Case {
    /// Durable deductions from a campaign's pool with a limit.
    Deduct,
    /// The same from the shelf, which has no limit.
    Shelf,
    /// A bare unary echo on the same kit.
    Echo,
    /// Refused by the local flag.
    SoldOut,
    /// Refused because the buyer has had theirs.
    BuyerLimit,
    /// The ledger's batch insert alone, by one writer.
    InsertOne,
    /// By two.
    InsertTwo,
    /// The gate's script alone, a request a call.
    Script,
    /// Many requests a call.
    ScriptBatched,
    /// An order a transaction on one hot row.
    RowLocks,
    /// The deductions of `Deduct` dealt out to two processes.
    TwoProcesses,
}

impl Case {
    pub fn title(self) -> &'static str {
        match self {
            Case::Deduct => "durable deductions, campaign with a limit",
            Case::Shelf => "durable deductions, shelf",
            Case::Echo => "bare unary echo on the same kit",
            Case::SoldOut => "refused, sold out (local flag)",
            Case::BuyerLimit => "refused, buyer's limit",
            Case::InsertOne => "bare batch insert of 256, one writer",
            Case::InsertTwo => "bare batch insert of 256, two writers",
            Case::Script => "bare script, one request a call",
            Case::ScriptBatched => "bare script, 64 requests a call",
            Case::RowLocks => "row lock an order, 8 connections",
            Case::TwoProcesses => "durable deductions, two processes",
        }
    }
}

/// Everything the cases share.
pub struct Session {
    pub shop: Shop,
    pub target: Target,
    pub span: Span,
    echo: Option<Echo>,
    script: Option<Bare>,
    /// The number of the next request: a number is used once a shop.
    first: u64,
    /// What the books said after each case.
    pub differences: Vec<String>,
}

impl Session {
    pub fn new(shop: Shop, connections: usize, streams: usize, span: Span) -> anyhow::Result<Session> {
        let target = Target { addresses: vec![shop.address()?], service: SERVICE, connections, streams };
        Ok(Session { shop, target, span, echo: None, script: None, first: 0, differences: Vec::new() })
    }

    /// Measures one case, and checks the books after it.
    pub async fn measure(&mut self, case: Case) -> anyhow::Result<Figures> {
        self.quiet().await?;
        match case {
            Case::Deduct => {
                let sale = self.shop.campaign(1, UNITS, LIMIT).await?;
                self.sell(&sale).await
            }
            Case::Shelf => {
                let sale = self.shop.shelf(1, UNITS).await?;
                self.sell(&sale).await
            }
            Case::Echo => self.echo().await,
            Case::SoldOut => {
                let sale = self.shop.campaign(1, 1, LIMIT).await?;
                self.refuse(&sale, "OUT_OF_STOCK").await
            }
            Case::BuyerLimit => {
                let sale = self.shop.campaign(1, UNITS, 1).await?.with_buyers(LIMITED_BUYERS);
                self.refuse(&sale, "BUYER_LIMIT").await
            }
            Case::InsertOne => self.insert(Way::Batches(1)).await,
            Case::InsertTwo => self.insert(Way::Batches(2)).await,
            Case::RowLocks => self.insert(Way::RowLocks(ROW_LOCK_CLIENTS)).await,
            Case::Script => self.script(1).await,
            Case::ScriptBatched => self.script(SCRIPT_BATCH).await,
            Case::TwoProcesses => self.two_processes().await,
        }
    }

    /// Loads a sale and checks its books.
    pub async fn sell(&mut self, sale: &Sale) -> anyhow::Result<Figures> {
        let target = self.target.clone();
        self.load(&target, sale).await
    }

    async fn load(&mut self, target: &Target, sale: &Sale) -> anyhow::Result<Figures> {
        let processes = self.shop.measured();
        let before = books::sold(&self.shop.db, sale).await?;
        let (figures, whole) = self.ask(target, &sale.asks(), self.first, &processes)?;
        self.first += whole.requests();
        let redis = self.shop.stack.servers().redis_url();
        let said = books::check(&self.shop.db, &redis, sale, before + whole.accepted, whole.unknown).await?;
        self.differences.extend(said.into_iter().map(|said| format!("{}: {said}", sale.pool())));
        Ok(figures)
    }

    /// Deductions, numbered from `first`, for as long as a figure is measured.
    fn ask(
        &self,
        target: &Target,
        asks: &[Ask],
        first: u64,
        processes: &[Measured],
    ) -> anyhow::Result<(Figures, Whole)> {
        let (target, tls, calls) = (target.clone(), self.shop.tls.clone(), Deductions::new(asks));
        let pace = Arc::new(Pace::endless(0, first));
        tokio::task::block_in_place(|| {
            let load = Load::start(move |counters| target.connections(&tls, &calls, &pace, counters))?;
            measure::load(load, self.span, processes)
        })
    }

    async fn refuse(&mut self, sale: &Sale, reason: &str) -> anyhow::Result<Figures> {
        // One buyer's second unit is refused either way; the load takes the first ones of the others as it warms up.
        for buyer in 0..2 {
            self.shop.deduct(sale, buyer).await?;
        }
        let answer = self.shop.deduct(sale, 0).await?;
        ensure!(answer.as_deref() == Some(reason), "the answer is {answer:?}, not {reason}");
        let figures = self.sell(sale).await?;
        let other: u64 =
            figures.by_status.iter().filter(|(s, _)| **s != REFUSED).map(|(_, count)| count).sum();
        ensure!(other == 0, "not every answer is a refusal: {:?}", figures.by_status);
        Ok(figures)
    }

    async fn echo(&mut self) -> anyhow::Result<Figures> {
        let echo = match self.echo.take() {
            Some(echo) => echo,
            None => Echo::start(&self.shop.stack)?,
        };
        let target = Target { addresses: vec![echo.address], ..self.target.clone() };
        let asks = Sale::of_shelf(vec!["echo".to_owned()], self.shop.buyers).asks();
        let (figures, _) = self.ask(&target, &asks, 0, &echo.measured())?;
        self.echo = Some(echo);
        Ok(figures)
    }

    async fn insert(&mut self, way: Way) -> anyhow::Result<Figures> {
        let url = self.shop.database_url();
        let figures = bare::write(&self.shop.db, &url, way, self.span, &self.shop.measured()).await?;
        self.differences.extend(bare::differences(&self.shop.db).await?);
        Ok(figures)
    }

    async fn script(&mut self, requests: usize) -> anyhow::Result<Figures> {
        let mut script = match self.script.take() {
            Some(script) => script,
            None => Bare::prepare(&self.shop.stack.servers().redis_url(), &Step::silent()).await?,
        };
        let figures = script.call(requests, &self.shop.measured()).await?;
        self.script = Some(script);
        Ok(figures)
    }

    async fn two_processes(&mut self) -> anyhow::Result<Figures> {
        self.shop.start(SECOND)?;
        let sale = self.shop.campaign(1, UNITS, LIMIT).await?;
        let target = Target {
            addresses: vec![self.shop.address()?, self.shop.stack.address(SECOND)?],
            ..self.target.clone()
        };
        let figures = self.load(&target, &sale).await;
        self.shop.stack.stop(SECOND)?;
        figures
    }

    /// Waits until what was committed has been published.
    pub async fn quiet(&self) -> anyhow::Result<()> {
        let deadline = Instant::now() + QUIET_WITHIN;
        loop {
            let waiting: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM outbox_waiting)")
                .fetch_one(&self.shop.db)
                .await
                .context("the outbox could not be read")?;
            if !waiting {
                return Ok(());
            }
            ensure!(Instant::now() < deadline, "the outbox is not published in time");
            tokio::time::sleep(POLL).await;
        }
    }
}
