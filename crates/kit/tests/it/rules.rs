//! What the stack refuses before a handler sees it, and what it does with a handler that fails.

use std::time::Duration;

use stampede_kit as kit;
use tokio_stream::StreamExt;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use crate::desk::{Answer, Line, Question, question};
use crate::house::{ASK, House, asked, call, reason};

fn lines(quantities: &[u32]) -> Question {
    Question {
        text: "x".to_owned(),
        lines: quantities.iter().map(|quantity| Line { quantity: *quantity }).collect(),
    }
}

#[tokio::test]
async fn a_broken_rule_is_told_with_its_field_path() {
    let mut house = House::open().await;
    let client = house.channel("client");
    let status = call(&client, ASK, asked(&house.alice(), lines(&[1, 5, 0, 6]))).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    let details = status.get_error_details();
    let fields: Vec<_> =
        details.bad_request().unwrap().field_violations.iter().map(|found| &*found.field).collect();
    assert_eq!(fields, ["lines[2].quantity", "lines[3].quantity"]);
    assert_eq!(reason(call(&client, ASK, asked(&house.alice(), lines(&[1; 101]))).await), "INVALID_ARGUMENT");
}

#[tokio::test]
async fn a_message_over_the_limit_is_too_large() {
    let mut house = House::open().await;
    let client = house.channel("client");
    let large = question(&"x".repeat(65 * 1024));
    let answer = call(&client, ASK, asked(&house.alice(), large)).await;
    assert_eq!(answer.as_ref().unwrap_err().code(), Code::ResourceExhausted);
    assert_eq!(reason(answer), "MESSAGE_TOO_LARGE");
}

#[tokio::test]
async fn a_stream_is_checked_message_by_message() {
    let mut house = House::open().await;
    let client = house.channel("client");
    let token = house.alice();
    let import = async |messages| sent(&client, "/test.v1.Desk/Import", &token, messages).await;
    assert_eq!(import(vec![question("a"); 50]).await.unwrap().text, "50");
    let status = import(vec![question("a"), lines(&[9]), question("b")]).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(
        status.get_error_details().bad_request().unwrap().field_violations[0].field,
        "lines[0].quantity"
    );
}

#[tokio::test]
async fn a_method_that_checks_itself_is_given_broken_messages_and_none_too_large() {
    let mut house = House::open().await;
    let client = house.channel("client");
    let token = house.alice();
    let sifted = sent(&client, "/test.v1.Desk/Sift", &token, vec![question("a"), lines(&[9]), question("")]);
    assert_eq!(sifted.await.unwrap().text, "3");
    let large =
        sent(&client, "/test.v1.Desk/Sift", &token, vec![question("a"), question(&"x".repeat(65 * 1024))]);
    assert_eq!(reason(large.await.map(tonic::Response::new)), "MESSAGE_TOO_LARGE");
}

async fn sent(
    client: &kit::client::Channel,
    path: &'static str,
    token: &str,
    messages: Vec<Question>,
) -> Result<Answer, Status> {
    let mut grpc = tonic::client::Grpc::new(client.clone());
    grpc.ready().await.unwrap();
    let mut request = Request::new(tokio_stream::iter(messages));
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    let path = http::uri::PathAndQuery::from_static(path);
    grpc.client_streaming(request, path, ProstCodec::<Question, Answer>::default())
        .await
        .map(|answer| answer.into_inner())
}

#[tokio::test]
async fn a_command_by_key_needs_a_key_of_the_right_shape() {
    let mut house = House::open().await;
    let client = house.channel("client");
    let buy = async |key: Option<&str>| {
        let mut request = asked(&house.alice(), question("hello"));
        if let Some(key) = key {
            request.metadata_mut().insert("idempotency-key", MetadataValue::try_from(key).unwrap());
        }
        call(&client, "/test.v1.Desk/Buy", request).await
    };
    assert_eq!(buy(Some("k-1")).await.unwrap().into_inner().text, "client for alice key k-1 left 4");
    assert_eq!(reason(buy(None).await), "IDEMPOTENCY_KEY_MISSING");
    assert_eq!(reason(buy(Some("two words")).await), "INVALID_ARGUMENT");
    assert_eq!(reason(buy(Some(&"k".repeat(129))).await), "INVALID_ARGUMENT");
}

#[tokio::test]
async fn what_is_planned_or_unknown_is_not_implemented() {
    let mut house = House::open().await;
    let client = house.channel("client");
    for path in ["/test.v1.Desk/Later", "/test.v1.Desk/Nothing", "/other.v1.Desk/Ask"] {
        let answer = call(&client, path, asked(&house.alice(), question("hello"))).await;
        assert_eq!(answer.as_ref().unwrap_err().code(), Code::Unimplemented);
        assert_eq!(reason(answer), "NOT_IMPLEMENTED");
    }
    assert_eq!(
        reason(call(&client, "/test.v1.Desk/Later", Request::new(question("x"))).await),
        "TOKEN_MISSING"
    );
}

#[tokio::test]
async fn a_handler_that_panics_is_an_internal_error_of_one_call() {
    let mut house = House::open().await;
    let client = house.channel("client");
    assert_eq!(reason(call(&client, ASK, asked(&house.alice(), question("panic"))).await), "INTERNAL");
    call(&client, ASK, asked(&house.alice(), question("hello"))).await.unwrap();
}

#[tokio::test]
async fn the_server_stops_work_at_the_contracts_deadline_however_long_the_caller_would_wait() {
    let mut house = House::open().await;
    let client = house.channel("client");
    let mut request = kit::client::request(question("wait"), Duration::from_secs(60));
    request.metadata_mut().insert("authorization", format!("Bearer {}", house.alice()).parse().unwrap());
    assert_eq!(reason(call(&client, "/test.v1.Desk/Brief", request).await), "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn the_caller_stops_waiting_at_its_own_deadline() {
    let mut house = House::open().await;
    let client = house.channel("client");
    let mut request = kit::client::request(question("wait"), Duration::from_millis(200));
    request.metadata_mut().insert("authorization", format!("Bearer {}", house.alice()).parse().unwrap());
    assert_eq!(reason(call(&client, ASK, request).await), "DEADLINE_EXCEEDED");
}

#[tokio::test]
async fn health_and_reflection_need_a_certificate_and_no_token() {
    let mut house = House::open().await;
    let client = house.channel("client");
    let mut health = tonic_health::pb::health_client::HealthClient::new(client.clone());
    let mut feed = health
        .watch(tonic_health::pb::HealthCheckRequest { service: "test.v1.Desk".to_owned() })
        .await
        .unwrap();
    let serving = tonic_health::pb::health_check_response::ServingStatus::Serving;
    while feed.get_mut().next().await.unwrap().unwrap().status() != serving {}

    let mut reflection =
        tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient::new(client);
    let request = tonic_reflection::pb::v1::ServerReflectionRequest {
        host: String::new(),
        message_request: Some(
            tonic_reflection::pb::v1::server_reflection_request::MessageRequest::ListServices(String::new()),
        ),
    };
    let mut answers =
        reflection.server_reflection_info(tokio_stream::iter([request])).await.unwrap().into_inner();
    let answer = format!("{:?}", answers.next().await.unwrap().unwrap());
    assert!(answer.contains("test.v1.Desk"), "{answer}");
}
