//! Starting, being ready, and stopping: nothing in flight is lost, and everything ends in time.

use std::time::{Duration, Instant};

use tokio_stream::StreamExt;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use crate::desk::{Answer, Question, question};
use crate::house::{ASK, DRAIN, House, asked, call, limits};

#[tokio::test]
async fn a_call_in_flight_is_answered_before_the_process_ends() {
    let mut house = House::open().await;
    let client = house.channel("client");
    let (caller, token) = (client.clone(), house.alice());
    let in_flight = tokio::spawn(async move { call(&caller, ASK, asked(&token, question("wait"))).await });
    house.desk.waiting.acquire().await.unwrap().forget();

    house.signal.cancel();
    let refused = async || tokio::net::TcpStream::connect(house.address).await.is_err();
    while !refused().await {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(!house.ended.is_finished(), "the process waits for its calls");
    house.desk.release.add_permits(1);

    in_flight.await.unwrap().unwrap();
    house.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_call_that_never_ends_does_not_keep_the_process() {
    let mut house = House::open().await;
    let client = house.channel("client");
    let token = house.alice();
    let in_flight = tokio::spawn(async move { call(&client, ASK, asked(&token, question("wait"))).await });
    house.desk.waiting.acquire().await.unwrap().forget();

    let started = Instant::now();
    house.stop().await.unwrap();
    assert!(started.elapsed() >= DRAIN && started.elapsed() < DRAIN + Duration::from_secs(2));
    in_flight.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn a_stream_is_ended_with_a_word_when_the_process_drains() {
    let mut house = House::open().await;
    let mut grpc = tonic::client::Grpc::new(house.channel("client"));
    grpc.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/test.v1.Desk/Follow");
    let codec = ProstCodec::<Question, Answer>::default();
    let answer = grpc.server_streaming(asked(&house.alice(), question("x")), path, codec).await.unwrap();
    let mut feed = answer.into_inner();
    assert_eq!(feed.next().await.unwrap().unwrap().text, "tick");

    let started = Instant::now();
    let stopping = tokio::spawn(house.stop());
    let status: Status = loop {
        if let Err(status) = feed.next().await.expect("a stream ends with its status") {
            break status;
        }
    };
    assert_eq!(status.code(), Code::Unavailable);
    stopping.await.unwrap().unwrap();
    assert!(started.elapsed() < DRAIN, "nobody had to be waited for");
}

#[tokio::test]
async fn a_stream_of_both_sides_is_answered_before_it_ends() {
    let mut house = House::open().await;
    let mut grpc = tonic::client::Grpc::new(house.channel("client"));
    grpc.ready().await.unwrap();
    let path = http::uri::PathAndQuery::from_static("/test.v1.Desk/Talk");
    let questions = tokio_stream::iter([question("read")]).chain(tokio_stream::pending());
    let mut request = tonic::Request::new(questions);
    request.metadata_mut().insert("authorization", format!("Bearer {}", house.alice()).parse().unwrap());
    let codec = ProstCodec::<Question, Answer>::default();
    let mut answers = grpc.streaming(request, path, codec).await.unwrap().into_inner();
    house.desk.waiting.acquire().await.unwrap().forget();

    house.signal.cancel();
    while tokio::net::TcpStream::connect(house.address).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    house.desk.release.add_permits(1);
    assert_eq!(answers.next().await.unwrap().unwrap().text, "read");
    assert!(answers.next().await.is_none());
    house.ended.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_task_that_fails_takes_the_process_down_by_name() {
    let house = House::with(limits(), |app| {
        app.task("relay", |_| async { anyhow::bail!("the ledger is gone") });
    })
    .await;
    let error = house.ended.await.unwrap().unwrap_err();
    assert_eq!(format!("{error:#}"), "the task relay failed: the ledger is gone");
}

#[tokio::test]
async fn a_task_is_stopped_after_the_last_call() {
    let (tell, told) = tokio::sync::oneshot::channel();
    let house = House::with(limits(), |app| {
        let draining = app.stop();
        app.task("relay", |stop| async move {
            stop.cancelled().await;
            tell.send(draining.is_cancelled()).ok();
            Ok(())
        });
    })
    .await;
    house.stop().await.unwrap();
    assert!(told.await.unwrap());
}

#[tokio::test]
async fn readiness_names_what_is_missing_and_metrics_count_calls() {
    let mut house = House::with(limits(), |app| {
        app.ready("redis", || async { anyhow::bail!("connection refused") });
    })
    .await;
    let client = house.channel("client");
    call(&client, ASK, asked(&house.alice(), question("hello"))).await.unwrap();

    let get = async |path: &str| {
        let answer = reqwest::get(format!("http://{}{path}", house.admin)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(get("/healthz").await.0, 200);
    loop {
        let (code, text) = get("/readyz").await;
        assert_eq!(code, 503);
        if text.contains("redis") {
            assert!(text.contains("connection refused"), "{text}");
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (_, text) = get("/metrics").await;
    let counted = text.lines().any(|line| {
        line.starts_with("rpc_server_requests_total")
            && line.contains("code=\"OK\"")
            && line.contains("/test.v1.Desk/Ask")
    });
    assert!(counted, "{text}");
}
