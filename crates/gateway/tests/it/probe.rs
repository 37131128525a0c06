//! An RPC that only the contract knows is on every face of the gateway.

use std::convert::Infallible;
use std::path::Path;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use futures::{Stream, StreamExt as _, stream};
use http::uri::PathAndQuery;
use http::{Method, Response};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService};
use tonic::transport::Endpoint;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;
use tonic_web::GrpcWebClientLayer;
use tower::{Layer as _, service_fn};

use crate::house::House;

const ASK: &str = "/stampede.order.probe.v1.ProbeService/Ask";
const COUNT: &str = "/stampede.order.probe.v1.ProbeService/Count";

/// Request and answer of every probe.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Said {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(int64, tag = "2")]
    number: i64,
}

#[derive(Clone)]
pub struct Probe;

impl NamedService for Probe {
    const NAME: &'static str = "stampede.order.probe.v1.ProbeService";
}

impl tower::Service<http::Request<Body>> for Probe {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move {
            let mut grpc = Grpc::new(ProstCodec::<Said, Said>::default());
            Ok(match request.uri().path() {
                ASK => grpc.unary(service_fn(ask), request).await,
                COUNT => grpc.server_streaming(service_fn(count), request).await,
                _ => grpc.client_streaming(service_fn(sum), request).await,
            })
        })
    }
}

async fn ask(request: Request<Said>) -> Result<tonic::Response<Said>, Status> {
    Ok(tonic::Response::new(request.into_inner()))
}

type Counted = Pin<Box<dyn Stream<Item = Result<Said, Status>> + Send>>;

async fn count(request: Request<Said>) -> Result<tonic::Response<Counted>, Status> {
    let Said { name, number } = request.into_inner();
    let counted = (1..=number).map(move |number| Ok(Said { name: name.clone(), number }));
    Ok(tonic::Response::new(Box::pin(stream::iter(counted))))
}

async fn sum(request: Request<Streaming<Said>>) -> Result<tonic::Response<Said>, Status> {
    let mut sum = Said::default();
    let mut said = request.into_inner();
    while let Some(Said { name, number }) = said.message().await? {
        sum = Said { name, number: sum.number + number };
    }
    Ok(tonic::Response::new(sum))
}

/// The contract of the house and the probe: sets one after the other are one set.
fn contract() -> Vec<u8> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proto = here.join("../../proto");
    let mut compiler =
        protox::Compiler::new([here.join("tests/it"), proto.clone(), proto.join("third_party")]).unwrap();
    compiler.include_imports(false).include_source_info(true).open_file("probe.proto").unwrap();
    [stampede_proto::DESCRIPTOR_SET, &compiler.encode_file_descriptor_set()].concat()
}

fn said(house: &House) -> Request<Said> {
    let mut request = Request::new(Said { name: "n".to_owned(), number: 3 });
    let token = format!("Bearer {}", house.token("buyer"));
    request.metadata_mut().insert("authorization", token.parse().unwrap());
    request
}

async fn text(request: reqwest::RequestBuilder) -> String {
    let response = request.send().await.unwrap();
    let status = response.status();
    let text = response.text().await.unwrap();
    assert_eq!(status, 200, "{text}");
    text
}

#[tokio::test]
async fn an_rpc_that_only_the_contract_knows_is_on_every_face() {
    let house = House::of(&contract(), &[], |app| {
        app.grpc(Probe);
    })
    .await;
    let echo = json!({ "name": "n", "number": "3" });

    let rest = house.buyer(Method::POST, "/v1/probes/n:ask").json(&json!({ "number": 3 }));
    assert_eq!(serde_json::from_str::<Value>(&text(rest).await).unwrap(), echo);

    let events = text(house.buyer(Method::GET, "/v1/probes/n:count?number=2")).await;
    assert_eq!(
        events,
        "data: {\"name\":\"n\",\"number\":\"1\"}\n\ndata: {\"name\":\"n\",\"number\":\"2\"}\n\n"
    );

    let lines = house.buyer(Method::POST, "/v1/probes:sum").header("content-type", "application/x-ndjson");
    let sum = text(lines.body("{\"number\":1}\n{\"name\":\"n\",\"number\":2}\n")).await;
    assert_eq!(serde_json::from_str::<Value>(&sum).unwrap(), echo);

    let rpc = json!({ "jsonrpc": "2.0", "id": 1, "method": &ASK[1..], "params": echo });
    let answer = text(house.buyer(Method::POST, "/rpc").json(&rpc)).await;
    assert_eq!(serde_json::from_str::<Value>(&answer).unwrap()["result"], echo);

    let document: Value =
        serde_json::from_str(&text(house.client.get(house.url("/openapi.json"))).await).unwrap();
    let ask = &document["paths"]["/v1/probes/{name}:ask"]["post"];
    assert!(
        ask["description"].as_str().or(ask["summary"].as_str()).unwrap().contains("Says the name"),
        "{ask}"
    );
}

#[tokio::test]
async fn and_on_grpc_and_grpc_web() {
    let house = House::of(&contract(), &[], |app| {
        app.grpc(Probe);
    })
    .await;
    let codec = ProstCodec::<Said, Said>::default;

    let mut grpc = tonic::client::Grpc::new(Endpoint::from_shared(house.url("")).unwrap().connect_lazy());
    grpc.ready().await.unwrap();
    let answer = grpc.unary(said(&house), PathAndQuery::from_static(ASK), codec()).await.unwrap();
    assert_eq!(answer.into_inner().number, 3);

    let http = Client::builder(TokioExecutor::new()).build_http();
    let web = GrpcWebClientLayer::new().layer(http);
    let mut web = tonic::client::Grpc::with_origin(web, house.url("").parse().unwrap());
    web.ready().await.unwrap();
    let counted =
        web.server_streaming(said(&house), PathAndQuery::from_static(COUNT), codec()).await.unwrap();
    let numbers: Vec<i64> = counted.into_inner().map(|said| said.unwrap().number).collect().await;
    assert_eq!(numbers, [1, 2, 3]);
}
