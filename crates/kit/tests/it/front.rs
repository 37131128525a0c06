//! The gateway's kind of front: plain HTTP on the public port, with the same limits and the same drain.

use std::net::SocketAddr;
use std::time::Duration;

use axum::extract::ConnectInfo;
use axum::routing::get;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::house::{House, limits};

async fn open() -> House {
    House::with(limits(), |app| {
        let who = |ConnectInfo(address): ConnectInfo<SocketAddr>| async move { address.ip().to_string() };
        let slow = || async {
            tokio::time::sleep(Duration::from_millis(300)).await;
            "done"
        };
        let router =
            axum::Router::new().route("/who", get(who)).route("/slow", get(slow)).merge(app.admin_router());
        app.http(router);
    })
    .await
}

#[tokio::test]
async fn http_1_and_h2c_share_the_port_and_handlers_know_the_address() {
    let house = open().await;
    let url = format!("http://{}/who", house.address);
    assert_eq!(reqwest::get(&url).await.unwrap().text().await.unwrap(), "127.0.0.1");
    let h2c = reqwest::Client::builder().http2_prior_knowledge().build().unwrap();
    let answer = h2c.get(&url).send().await.unwrap();
    assert_eq!(answer.version(), http::Version::HTTP_2);
    assert_eq!(answer.text().await.unwrap(), "127.0.0.1");
    let health = reqwest::get(format!("http://{}/healthz", house.address)).await.unwrap();
    assert_eq!(health.status().as_u16(), 200);
}

#[tokio::test]
async fn a_request_in_flight_is_answered_before_the_process_ends() {
    let house = open().await;
    let mut stream = TcpStream::connect(house.address).await.unwrap();
    stream.write_all(b"GET /slow HTTP/1.1\r\nhost: shop\r\n\r\n").await.unwrap();
    // Another answer on another connection shows that the first request has been read meanwhile.
    reqwest::get(format!("http://{}/who", house.address)).await.unwrap();
    let stopping = tokio::spawn(house.stop());
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.ends_with("done"), "{answer}");
    stopping.await.unwrap().unwrap();
}

#[tokio::test]
async fn headers_that_never_end_and_silence_are_closed_in_time() {
    let house = open().await;
    let mut slow = TcpStream::connect(house.address).await.unwrap();
    slow.write_all(b"GET /who HTTP/1.1\r\nhost: shop\r\nx: ").await.unwrap();
    let mut silent = TcpStream::connect(house.address).await.unwrap();
    let mut preface = TcpStream::connect(house.address).await.unwrap();
    preface.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    let closed = async |stream: &mut TcpStream| stream.read_to_end(&mut Vec::new()).await;
    let all = async { tokio::join!(closed(&mut slow), closed(&mut silent), closed(&mut preface)) };
    tokio::time::timeout(Duration::from_secs(14), all).await.expect("every one of them is closed").0.ok();
}
