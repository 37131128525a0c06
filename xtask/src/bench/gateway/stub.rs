//! The backend of every contestant: a tonic `CreateOrder` that reads the order and answers one that is made already, over h2c and
//! over the house's mTLS. Beside it what a gateway needs around it: health, a receiver of telemetry, and a feed of stock that tells
//! all its watchers at once when it is told to. It keeps no orders.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::StreamBody;
use hyper::body::{Frame, Incoming};
use prost::Message as _;
use stampede_kit::task;
use stampede_proto::inventory::v1::watch_stock_response::Update;
use stampede_proto::inventory::v1::{StockDelta, StockLevel, StockSnapshot, WatchStockResponse};
use stampede_proto::order::v1::{CreateOrderRequest, Order};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tonic::Status;
use tonic::body::Body;
use tonic::server::{Grpc, UnaryService};
use tonic_prost::ProstCodec;

use super::serve;
use super::{order, part};
use crate::generator::frames;

const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// `HealthCheckResponse { status: SERVING }` on the wire.
const SERVING: [u8; 2] = [0x08, 0x01];
const WATCH: &str = "/stampede.inventory.v1.InventoryService/WatchStock";
/// Tells every watcher of one change; no method of the contract.
pub const TELL: &str = "/bench.Stub/Tell";
/// Changes a watcher may be behind.
const BEHIND: usize = 16;

/// The backend as a process.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// Where it listens in plain.
    #[arg(long)]
    plain: SocketAddr,
    /// Where it listens with TLS.
    #[arg(long)]
    mutual: SocketAddr,
    /// The folder of its certificates.
    #[arg(long)]
    certs: PathBuf,
}

/// What all its connections share.
struct Stub {
    order: Order,
    changes: broadcast::Sender<Bytes>,
}

/// The process itself.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    part::run(async {
        let tls = serve::acceptor(&args.certs)?;
        let (changes, _) = broadcast::channel(BEHIND);
        let stub = Arc::new(Stub { order: order::answered(), changes });
        let (plain, mutual) = (TcpListener::bind(args.plain).await?, TcpListener::bind(args.mutual).await?);
        let answer = move |request| {
            let stub = Arc::clone(&stub);
            async move { stub.answer(request).await }
        };
        let listening = task::spawn("plain", serve::listen(plain, None, answer.clone()));
        serve::listen(mutual, Some(tls), answer).await?;
        listening.await?
    })
}

impl Stub {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        match request.uri().path() {
            order::CREATE => Grpc::new(ProstCodec::default()).unary(Creates(self), request).await,
            HEALTH => serve::message(&SERVING),
            WATCH => self.watch(),
            TELL => {
                // Nobody watching is nobody to tell.
                self.changes.send(change()).ok();
                serve::message(&[])
            }
            // A receiver of telemetry takes whatever comes.
            _ => serve::message(&[]),
        }
    }

    /// A snapshot, then every change there is; whoever falls behind misses some.
    fn watch(&self) -> Response<Body> {
        let changes = self.changes.subscribe();
        let later = stream::unfold(changes, |mut changes| async {
            loop {
                match changes.recv().await {
                    Ok(change) => return Some((change, changes)),
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                }
            }
        });
        let messages = stream::once(async { snapshot() }).chain(later);
        let frames = messages.map(|message| Ok::<_, Status>(Frame::data(message)));
        let end = stream::once(async { Ok(Frame::trailers(serve::ended())) });
        serve::head(Body::new(StreamBody::new(Box::pin(frames.chain(end)))))
    }
}

/// `CreateOrder`, wired as tonic's generated code wires it.
struct Creates(Arc<Stub>);

impl UnaryService<CreateOrderRequest> for Creates {
    type Response = Order;
    type Future = Pin<Box<dyn Future<Output = Result<tonic::Response<Order>, Status>> + Send>>;

    fn call(&mut self, request: tonic::Request<CreateOrderRequest>) -> Self::Future {
        let stub = Arc::clone(&self.0);
        Box::pin(async move {
            if request.into_inner().lines.is_empty() {
                return Err(Status::invalid_argument("an order without lines"));
            }
            Ok(tonic::Response::new(stub.order.clone()))
        })
    }
}

fn snapshot() -> Bytes {
    let levels = (0..20).map(level).collect();
    told(Update::Snapshot(StockSnapshot { levels }))
}

fn change() -> Bytes {
    told(Update::Delta(StockDelta { levels: vec![level(7)] }))
}

fn told(update: Update) -> Bytes {
    let resume_token = "c3RvY2s6MTIzNDU2Nzg5MDEyMzQ1Njc4OTA".to_owned();
    let response = WatchStockResponse { sequence: 1_000_000, resume_token, update: Some(update) };
    Bytes::from(frames::message(&response.encode_to_vec()))
}

fn level(sku: i64) -> StockLevel {
    let mut level = StockLevel { sku_id: format!("sku-of-the-sale-{sku:04}"), ..StockLevel::default() };
    level.campaign_id = "midnight-sale".into();
    level.version = 1_000_000;
    level
}
