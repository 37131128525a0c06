//! Shed before you queue: the one call too many is told so at once.

use std::time::Duration;

use kit::config::Limits;
use stampede_kit as kit;
use tokio::io::AsyncReadExt;
use tonic::Code;
use tonic_prost::ProstCodec;
use tonic_types::StatusExt;

use crate::desk::{Answer, Question, question};
use crate::house::{ASK, House, asked, call, limits};

#[tokio::test]
async fn a_call_over_the_limit_is_shed_with_a_time_to_come_back() {
    let mut house = House::with(Limits { concurrency: 1, ..limits() }, |_| {}).await;
    let client = house.channel("client");
    let (first, token) = (client.clone(), house.alice());
    let held = tokio::spawn(async move { call(&first, ASK, asked(&token, question("wait"))).await });
    house.desk.waiting.acquire().await.unwrap().forget();

    let status = call(&client, ASK, asked(&house.alice(), question("hello"))).await.unwrap_err();
    assert_eq!(status.code(), Code::Unavailable);
    assert_eq!(kit::refusal::reason_of(&status).as_deref(), Some("OVERLOADED"));
    assert!(status.get_error_details().retry_info().unwrap().retry_delay.is_some());

    house.desk.release.add_permits(1);
    held.await.unwrap().unwrap();
    call(&client, ASK, asked(&house.alice(), question("hello"))).await.unwrap();
}

/// A worker of a gateway has all its feeds of a service on one connection.
#[tokio::test]
async fn thousands_of_streams_of_one_channel_are_open_at_once() {
    const STREAMS: usize = 5_000;
    let mut house = House::with(Limits { concurrency: 2 * STREAMS, ..limits() }, |_| {}).await;
    let (client, token) = (house.channel("client"), house.alice());
    let path = http::uri::PathAndQuery::from_static("/test.v1.Desk/Talk");
    let mut open = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        let mut grpc = tonic::client::Grpc::new(client.clone());
        grpc.ready().await.unwrap();
        // Its question does not come: the stream stays.
        let request = asked(&token, question("")).map(|_| tokio_stream::pending());
        let codec = ProstCodec::<Question, Answer>::default();
        let began = grpc.streaming(request, path.clone(), codec);
        let began = tokio::time::timeout(Duration::from_secs(20), began).await;
        open.push(began.unwrap_or_else(|_| panic!("stream {} waits", open.len() + 1)).unwrap());
    }
}

#[tokio::test]
async fn a_connection_over_the_limit_is_closed_at_once() {
    let house = House::with(Limits { connections: 1, ..limits() }, |_| {}).await;
    let mut first = tokio::net::TcpStream::connect(house.address).await.unwrap();
    let mut second = tokio::net::TcpStream::connect(house.address).await.unwrap();
    assert_eq!(second.read(&mut [0]).await.unwrap(), 0);
    // The first is still waited for: its handshake has not timed out.
    let silent = tokio::time::timeout(std::time::Duration::from_millis(100), first.read(&mut [0])).await;
    assert!(silent.is_err());
}

#[tokio::test]
async fn a_peer_that_never_shakes_hands_is_closed() {
    let house = House::open().await;
    let mut silent = tokio::net::TcpStream::connect(house.address).await.unwrap();
    let closed = tokio::time::timeout(std::time::Duration::from_secs(8), silent.read(&mut [0])).await;
    assert!(closed.expect("closed in time").is_ok_and(|bytes| bytes == 0));
}
