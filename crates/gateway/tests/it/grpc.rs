//! gRPC and gRPC-web through the gateway, with the clients people use.

use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use kit::refusal::reason_of;
use stampede_kit as kit;
use stampede_proto::inventory::v1::WatchStockRequest;
use stampede_proto::inventory::v1::inventory_service_client::InventoryServiceClient;
use stampede_proto::order::v1::order_service_client::OrderServiceClient;
use stampede_proto::order::v1::{CreateOrderRequest, GetOrderRequest, LineItem};
use tokio_stream::wrappers::ReceiverStream;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_web::GrpcWebClientLayer;
use tower::Layer as _;

use crate::house::House;
use crate::services::ORDER_ID;

fn channel(house: &House) -> Channel {
    Endpoint::from_shared(house.url("")).unwrap().connect_lazy()
}

fn with_token<M>(house: &House, message: M) -> Request<M> {
    let mut request = Request::new(message);
    let token = format!("Bearer {}", house.token("buyer"));
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    request
}

fn order(sku: &str) -> CreateOrderRequest {
    let line = LineItem { sku_id: sku.to_owned(), quantity: 2, ..LineItem::default() };
    CreateOrderRequest { lines: vec![line], ..CreateOrderRequest::default() }
}

#[tokio::test]
async fn a_grpc_call_passes_with_its_metadata_and_its_refusals_with_their_details() {
    let house = House::start().await;
    let mut orders = OrderServiceClient::new(channel(&house));
    let mut request = with_token(&house, order("A-1"));
    request.metadata_mut().insert("idempotency-key", "key-9".parse().unwrap());
    request.metadata_mut().insert("x-request-id", "mine".parse().unwrap());

    let answer = orders.create_order(request).await.unwrap();
    assert_eq!(answer.metadata().get("x-request-id").unwrap(), "mine");
    let placed = answer.into_inner();
    assert_eq!((placed.buyer_id.as_str(), placed.reservation_id.as_str()), ("alice", "key-9"));

    let mut request = with_token(&house, order("SOLD-OUT"));
    request.metadata_mut().insert("idempotency-key", "key-9".parse().unwrap());
    let refused = orders.create_order(request).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(reason_of(&refused).as_deref(), Some("OUT_OF_STOCK"));
}

#[tokio::test]
async fn the_edge_refuses_in_grpc_too() {
    let house = House::start().await;
    let mut orders = OrderServiceClient::new(channel(&house));
    let get = GetOrderRequest { order_id: ORDER_ID.to_owned() };

    let refused = orders.get_order(get.clone()).await.unwrap_err();
    assert_eq!(
        (refused.code(), reason_of(&refused).as_deref()),
        (Code::Unauthenticated, Some("TOKEN_MISSING"))
    );

    let unknown = call(&house, "/stampede.order.v1.OrderService/Steal", get).await.unwrap_err();
    assert_eq!(
        (unknown.code(), reason_of(&unknown).as_deref()),
        (Code::Unimplemented, Some("NOT_IMPLEMENTED"))
    );
}

async fn call(house: &House, path: &'static str, message: GetOrderRequest) -> Result<(), Status> {
    let mut client = Grpc::new(channel(house));
    client.ready().await.unwrap();
    let codec = ProstCodec::<GetOrderRequest, GetOrderRequest>::default();
    let answered =
        client.unary(with_token(house, message), http::uri::PathAndQuery::from_static(path), codec).await;
    answered.map(|_| ())
}

#[tokio::test]
async fn a_stream_passes_message_by_message_and_keeps_its_end() {
    let house = House::start().await;
    let mut inventory = InventoryServiceClient::new(channel(&house));
    let watch = WatchStockRequest { campaign_id: "breaks".to_owned(), ..WatchStockRequest::default() };

    let mut updates = inventory.watch_stock(with_token(&house, watch)).await.unwrap().into_inner();

    for sequence in 1..=3 {
        assert_eq!(updates.message().await.unwrap().unwrap().sequence, sequence);
    }
    let end = updates.message().await.unwrap_err();
    assert_eq!(reason_of(&end).as_deref(), Some("CAMPAIGN_NOT_FOUND"));
}

#[tokio::test]
async fn an_open_stream_is_told_when_the_gateway_drains() {
    let house = House::start().await;
    let mut inventory = InventoryServiceClient::new(channel(&house));
    let watch = WatchStockRequest { campaign_id: "stays".to_owned(), ..WatchStockRequest::default() };
    let mut updates = inventory.watch_stock(with_token(&house, watch)).await.unwrap().into_inner();
    updates.message().await.unwrap();

    house.gateway.cancel();
    let end = loop {
        match updates.message().await {
            Ok(Some(_)) => {}
            Ok(None) => panic!("a feed that was stopped has no good end"),
            Err(status) => break status,
        }
    };

    assert_eq!((end.code(), reason_of(&end).as_deref()), (Code::Unavailable, Some("UNAVAILABLE")));
}

#[tokio::test]
async fn a_browser_calls_over_http_1_with_grpc_web() {
    let house = House::start().await;
    let http = Client::builder(TokioExecutor::new()).build_http();
    let origin: http::Uri = house.url("").parse().unwrap();
    let mut orders =
        OrderServiceClient::with_origin(GrpcWebClientLayer::new().layer(http.clone()), origin.clone());
    let get = |order_id: &str| GetOrderRequest { order_id: order_id.to_owned() };

    let found = orders.get_order(with_token(&house, get(ORDER_ID))).await.unwrap().into_inner();
    assert_eq!(found.order_id, ORDER_ID);

    let other = "0190b2c4-7e1f-7000-8000-000000000002";
    let missing = orders.get_order(with_token(&house, get(other))).await.unwrap_err();
    assert_eq!(reason_of(&missing).as_deref(), Some("ORDER_NOT_FOUND"));
    let nobody = orders.get_order(get(ORDER_ID)).await.unwrap_err();
    assert_eq!(reason_of(&nobody).as_deref(), Some("TOKEN_MISSING"));

    let mut inventory = InventoryServiceClient::with_origin(GrpcWebClientLayer::new().layer(http), origin);
    let watch = with_token(&house, WatchStockRequest::default());
    let mut updates = inventory.watch_stock(watch).await.unwrap().into_inner();
    let mut seen = 0;
    while updates.message().await.unwrap().is_some() {
        seen += 1;
    }
    assert_eq!(seen, 3);
}

#[tokio::test]
async fn grpc_over_http_1_is_told_what_it_needs() {
    let house = House::start().await;
    let path = "/stampede.order.v1.OrderService/GetOrder";

    let grpc =
        house.client.post(house.url(path)).header("content-type", "application/grpc").send().await.unwrap();
    let web = house
        .client
        .get(house.url(path))
        .header("content-type", "application/grpc-web")
        .send()
        .await
        .unwrap();

    assert_eq!(grpc.status(), 415);
    assert!(grpc.text().await.unwrap().contains("HTTP/2"));
    assert_eq!(web.status(), 405);
    assert_eq!(web.headers()["allow"], "POST");
}

#[tokio::test]
async fn tools_ask_for_the_contract_by_reflection_and_both_sides_of_the_stream_flow() {
    let house = House::start().await;
    let mut reflection = ServerReflectionClient::new(channel(&house));
    let (questions, asked) = tokio::sync::mpsc::channel(1);
    let ask = |request| ServerReflectionRequest { host: String::new(), message_request: Some(request) };
    questions.send(ask(MessageRequest::ListServices(String::new()))).await.unwrap();

    let mut answers =
        reflection.server_reflection_info(ReceiverStream::new(asked)).await.unwrap().into_inner();
    let Some(MessageResponse::ListServicesResponse(list)) =
        answers.message().await.unwrap().unwrap().message_response
    else {
        panic!("the answer is no list");
    };
    assert!(list.service.iter().any(|service| service.name == "stampede.order.v1.OrderService"));

    // The second question leaves after the first answer came.
    let symbol = "stampede.order.v1.OrderService.CreateOrder".to_owned();
    questions.send(ask(MessageRequest::FileContainingSymbol(symbol))).await.unwrap();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    assert!(matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))), "{answer:?}");

    drop(questions);
    assert!(answers.message().await.unwrap().is_none());
}
