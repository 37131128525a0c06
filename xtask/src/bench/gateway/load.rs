//! The load: the same order through each contestant, on connections that stay open, one request at a time on each.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::{Context as _, ensure};
use clap::ValueEnum;
use serde::Serialize;
use stampede_kit::clock::Clock;
use stampede_pki::Folder;
use tokio::net::TcpStream;
use uuid::Uuid;

use super::house::Process;
use super::order;
use crate::generator::grpc::Connection;
use crate::generator::pace::Pace;
use crate::generator::{Crowd, Load, Orders, rest};
use crate::measure::{self, CLIENT, Figures, Span};
use crate::processes::Measured;

/// What reports call the process under test, and the one behind it.
pub const GATEWAY: &str = "gateway";
pub const BACKEND: &str = "backend";
/// Buyers who take turns: their tokens are checked once and remembered after that.
const BUYERS: usize = 100;

/// Who stands between the client and the backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contestant {
    /// Nobody: the client speaks gRPC to the backend.
    None,
    /// HTTP/1.1 in, HTTP/2 out, bytes through.
    Null,
    /// The same with transcoding.
    Bare,
    /// The gateway as it ships.
    Ours,
    /// Envoy's JSON transcoder.
    Envoy,
}

impl Contestant {
    pub fn name(self) -> &'static str {
        match self {
            Contestant::None => "none",
            Contestant::Null => "null",
            Contestant::Bare => "bare",
            Contestant::Ours => "ours",
            Contestant::Envoy => "envoy",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Contestant::None => "none: the client speaks gRPC",
            Contestant::Null => "null facade: hyper in, h2 out, bytes through",
            Contestant::Bare => "bare: the null facade and transcoding",
            Contestant::Ours => "ours: everything on, mTLS behind",
            Contestant::Envoy => "Envoy 1.40 grpc_json_transcoder",
        }
    }
}

/// What every measurement sends.
#[derive(Clone)]
pub struct Sender {
    crowd: Arc<Crowd>,
}

impl Sender {
    pub fn new(certs: &Folder) -> anyhow::Result<Sender> {
        let crowd = Crowd::gather(BUYERS, certs.issuer(), Clock::system().now(), Uuid::now_v7())?;
        Ok(Sender { crowd: Arc::new(crowd) })
    }

    /// Loads one contestant for a while. An answer that is no order is an error.
    pub fn measure(
        &self,
        contestant: Contestant,
        process: Option<&Process>,
        backend: (u32, SocketAddr),
        connections: usize,
        span: Span,
    ) -> anyhow::Result<Figures> {
        let address = process.map_or(backend.1, |process| process.address);
        let load = match contestant {
            Contestant::None => self.grpc(address, connections),
            Contestant::Null => passed(address, connections),
            Contestant::Bare | Contestant::Ours | Contestant::Envoy => self.rest(address, connections),
        }?;
        let mut processes = vec![Measured::new(BACKEND, backend.0), Measured::own(CLIENT)];
        processes.extend(process.map(|process| Measured::new(GATEWAY, process.pid)));
        let (figures, _) = tokio::task::block_in_place(|| measure::load(load, span, &processes))
            .with_context(|| format!("{} at {connections} connections", contestant.name()))?;
        let other: u64 =
            figures.by_status.iter().filter(|(code, _)| **code != 0).map(|(_, count)| count).sum();
        ensure!(
            other + figures.broken == 0,
            "{} at {connections} connections answered not only orders: {:?}, {} broken",
            contestant.name(),
            figures.by_status,
            figures.broken
        );
        Ok(figures)
    }

    fn rest(&self, address: SocketAddr, connections: usize) -> anyhow::Result<Load> {
        let orders =
            Orders::of(Arc::clone(&self.crowd), &order::asked(), order::body(), &address.to_string());
        let pace = Arc::new(Pace::endless(0, 0));
        Load::start(move |counters| {
            let run = |_| rest::run(address, orders.clone(), Arc::clone(&pace), Arc::clone(counters));
            (0..connections).map(run).collect()
        })
    }

    fn grpc(&self, address: SocketAddr, connections: usize) -> anyhow::Result<Load> {
        let orders =
            Orders::of(Arc::clone(&self.crowd), &order::asked(), order::body(), &address.to_string());
        let pace = Arc::new(Pace::endless(0, 0));
        Load::start(move |counters| {
            let run = |_| {
                let (orders, pace, counters) = (orders.clone(), Arc::clone(&pace), Arc::clone(counters));
                async move {
                    let stream = TcpStream::connect(address).await.context("the backend is not there")?;
                    stream.set_nodelay(true)?;
                    Connection::new(stream, orders, pace, counters).run(1).await
                }
            };
            (0..connections).map(run).collect()
        })
    }
}

/// The framed message as a body: there is nobody who would make it of JSON.
fn passed(address: SocketAddr, connections: usize) -> anyhow::Result<Load> {
    let frame = order::frame();
    let head = format!(
        "POST {} HTTP/1.1\r\nhost: {address}\r\ncontent-type: application/grpc\r\ncontent-length: {}\r\n\r\n",
        order::CREATE,
        frame.len()
    );
    let requests = Passed([head.as_bytes(), &frame].concat().into());
    let pace = Arc::new(Pace::endless(0, 0));
    Load::start(move |counters| {
        let run = |_| rest::run(address, requests.clone(), Arc::clone(&pace), Arc::clone(counters));
        (0..connections).map(run).collect()
    })
}

#[derive(Clone)]
struct Passed(Arc<[u8]>);

impl rest::Requests for Passed {
    fn write(&mut self, _: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}
