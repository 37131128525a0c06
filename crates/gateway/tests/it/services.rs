//! The services behind the gateway under test: real listeners, stacks and messages; what they answer is made up.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use futures::{Stream, StreamExt as _, stream};
use http::{Request, Response};
use kit::Refusal;
use stampede_kit as kit;
use stampede_proto::inventory::v1::watch_stock_response::Update;
use stampede_proto::inventory::v1::{
    ImportSkusRequest, ImportSkusResponse, ReserveStreamRequest, ReserveStreamResponse, StockDelta,
    StockLevel, WatchStockRequest, WatchStockResponse,
};
use stampede_proto::order::v1::{
    CreateOrderRequest, GetOrderRequest, ListOrdersRequest, ListOrdersResponse, Order, OrderLine, OrderState,
};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::{Code, Status, Streaming};
use tonic_prost::ProstCodec;
use tower::service_fn;

/// What an order's id is made of, so that a test can ask for it.
pub const ORDER_ID: &str = "0190b2c4-7e1f-7000-8000-000000000001";
/// An order whose service never answers.
pub const SLOW_ORDER_ID: &str = "0190b2c4-7e1f-7000-8000-00000000dead";

/// A row that ends its import.
pub const REFUSED_ROW: i64 = 13;

pub fn order(app: &mut kit::App) {
    app.grpc(Orders);
}

pub fn inventory(app: &mut kit::App) {
    app.grpc(Inventory);
    app.grpc(Catalog);
}

#[derive(Clone)]
struct Orders;

impl NamedService for Orders {
    const NAME: &'static str = "stampede.order.v1.OrderService";
}

impl tower::Service<Request<Body>> for Orders {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(async move {
            let method = request.uri().path().rsplit('/').next().unwrap_or_default().to_owned();
            Ok(match method.as_str() {
                "CreateOrder" => Grpc::new(ProstCodec::default()).unary(service_fn(create), request).await,
                "GetOrder" => Grpc::new(ProstCodec::default()).unary(service_fn(get), request).await,
                "ListOrders" => Grpc::new(ProstCodec::default()).unary(service_fn(list), request).await,
                _ => Status::unimplemented("not in this test").into_http(),
            })
        })
    }
}

/// Says back what it was asked, and what came with it.
async fn create(request: tonic::Request<CreateOrderRequest>) -> Result<tonic::Response<Order>, Status> {
    let context = kit::Context::of(&request);
    let caller = context.caller()?.subject.to_string();
    let request_id = request.metadata().get("x-request-id").map(|id| id.to_str().unwrap().to_owned());
    let lines = request.into_inner().lines;
    if lines.iter().any(|line| line.sku_id == "SOLD-OUT") {
        return Err(Refusal::new(Code::FailedPrecondition, "OUT_OF_STOCK", "nothing is left of SOLD-OUT")
            .metadata("sku_id", "SOLD-OUT")
            .retry_after(Duration::from_millis(2500))
            .into());
    }
    if lines.iter().any(|line| line.sku_id == "CRASH") {
        panic!("a handler of this test panics on purpose");
    }
    if lines.iter().any(|line| line.sku_id == "RAW") {
        return Err(Status::unknown("secret internal text"));
    }
    let lines = lines.into_iter().map(|line| OrderLine {
        sku_id: line.sku_id,
        campaign_id: line.campaign_id,
        quantity: line.quantity,
        ..OrderLine::default()
    });
    Ok(tonic::Response::new(Order {
        order_id: ORDER_ID.to_owned(),
        buyer_id: caller,
        state: OrderState::AwaitingPayment as i32,
        lines: lines.collect(),
        reservation_id: context.idempotency_key.unwrap_or_default(),
        payment_id: request_id.unwrap_or_default(),
        version: i64::MAX,
        ..Order::default()
    }))
}

async fn get(request: tonic::Request<GetOrderRequest>) -> Result<tonic::Response<Order>, Status> {
    let order_id = request.into_inner().order_id;
    match order_id.as_str() {
        ORDER_ID => Ok(tonic::Response::new(Order { order_id, ..Order::default() })),
        SLOW_ORDER_ID => std::future::pending().await,
        _ => Err(Refusal::new(Code::NotFound, "ORDER_NOT_FOUND", "there is no such order").into()),
    }
}

/// Says the query back in the page token.
async fn list(
    request: tonic::Request<ListOrdersRequest>,
) -> Result<tonic::Response<ListOrdersResponse>, Status> {
    let ListOrdersRequest { page_size, page_token, state, buyer_id, .. } = request.into_inner();
    let next_page_token = format!("{page_size}|{page_token}|{state}|{buyer_id}");
    Ok(tonic::Response::new(ListOrdersResponse { orders: Vec::new(), next_page_token }))
}

#[derive(Clone)]
struct Inventory;

impl NamedService for Inventory {
    const NAME: &'static str = "stampede.inventory.v1.InventoryService";
}

type Reserved = Pin<Box<dyn Stream<Item = Result<ReserveStreamResponse, Status>> + Send>>;
type Updates = Pin<Box<dyn Stream<Item = Result<WatchStockResponse, Status>> + Send>>;

impl tower::Service<Request<Body>> for Inventory {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/stampede.inventory.v1.InventoryService/WatchStock" => {
                    Grpc::new(ProstCodec::default()).server_streaming(service_fn(watch), request).await
                }
                "/stampede.inventory.v1.InventoryService/ReserveStream" => {
                    Grpc::new(ProstCodec::default()).streaming(service_fn(reserve), request).await
                }
                _ => Status::unimplemented("not in this test").into_http(),
            })
        })
    }
}

/// Answers every item with its number as soon as it comes.
async fn reserve(
    request: tonic::Request<Streaming<ReserveStreamRequest>>,
) -> Result<tonic::Response<Reserved>, Status> {
    let answers = request.into_inner().zip(stream::iter(1..)).map(|(asked, item)| {
        let reservation_id = asked?.reserve.unwrap_or_default().reservation_id;
        Ok(ReserveStreamResponse { reservation_id, item, ..ReserveStreamResponse::default() })
    });
    Ok(tonic::Response::new(Box::pin(answers)))
}

#[derive(Clone)]
struct Catalog;

impl NamedService for Catalog {
    const NAME: &'static str = "stampede.inventory.v1.CatalogService";
}

impl tower::Service<Request<Body>> for Catalog {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(async move {
            Ok(match request.uri().path() {
                "/stampede.inventory.v1.CatalogService/ImportSkus" => {
                    Grpc::new(ProstCodec::default()).client_streaming(service_fn(import), request).await
                }
                _ => Status::unimplemented("not in this test").into_http(),
            })
        })
    }
}

/// Counts the rows.
async fn import(
    request: tonic::Request<Streaming<ImportSkusRequest>>,
) -> Result<tonic::Response<ImportSkusResponse>, Status> {
    let mut rows = request.into_inner();
    let mut counted = ImportSkusResponse::default();
    while let Some(row) = rows.message().await? {
        if row.row == REFUSED_ROW {
            return Err(Refusal::new(Code::NotFound, "IMPORT_NOT_FOUND", "no such import").into());
        }
        counted.accepted += 1;
        counted.last_row = row.row;
    }
    Ok(tonic::Response::new(counted))
}

/// Three updates after the token; then what the campaign is called decides: `breaks`, `stays` open, or a good end.
async fn watch(request: tonic::Request<WatchStockRequest>) -> Result<tonic::Response<Updates>, Status> {
    let WatchStockRequest { campaign_id, resume_token, .. } = request.into_inner();
    let seen: i64 = match resume_token.as_str() {
        "" => 0,
        token => token.strip_prefix("t-").and_then(|number| number.parse().ok()).ok_or_else(|| {
            Status::from(Refusal::new(
                Code::InvalidArgument,
                "RESUME_TOKEN_INVALID",
                "this is no token of this feed",
            ))
        })?,
    };
    let updates = stream::iter((seen + 1..=seen + 3).map(|sequence| Ok(update(sequence))));
    let end: Updates = match campaign_id.as_str() {
        "breaks" => {
            let gone = Refusal::new(Code::NotFound, "CAMPAIGN_NOT_FOUND", "the campaign is gone");
            Box::pin(stream::iter([Err(gone.into())]))
        }
        "stays" => Box::pin(stream::pending()),
        _ => Box::pin(stream::empty()),
    };
    Ok(tonic::Response::new(Box::pin(updates.chain(end)) as Updates))
}

fn update(sequence: i64) -> WatchStockResponse {
    let level = StockLevel { sku_id: "A-1".to_owned(), free: 10 - sequence, ..StockLevel::default() };
    WatchStockResponse {
        sequence,
        resume_token: format!("t-{sequence}"),
        update: Some(Update::Delta(StockDelta { levels: vec![level] })),
    }
}
