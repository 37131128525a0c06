//! What is too much or too slow is refused with its own words, and the answer arrives.

use std::time::Duration;

use futures::stream;
use http::Method;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;

use crate::house::{House, refused};
use crate::services::{ORDER_ID, SLOW_ORDER_ID};

#[tokio::test]
async fn ten_megabytes_are_refused_with_or_without_a_length() {
    let house = House::start().await;
    let chunks = || stream::iter((0..160).map(|_| Ok::<_, std::io::Error>(vec![b' '; 64 * 1024])));
    for body in [reqwest::Body::from(vec![b' '; 10 * 1024 * 1024]), reqwest::Body::wrap_stream(chunks())] {
        let (status, reason, answer) = refused(house.order(body)).await;

        assert_eq!((status, reason.as_str()), (413, "MESSAGE_TOO_LARGE"), "{answer}");
    }
    // A body nobody would read is no reason for a reset either.
    let nobody = house.client.post(house.url("/v1/orders")).body(vec![b' '; 10 * 1024 * 1024]);
    assert_eq!(refused(nobody).await.1, "TOKEN_MISSING");
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    let house = House::with(&[("limits.body_ms", "200")]).await;
    let mut socket = TcpStream::connect(house.address).await.unwrap();
    let head = format!(
        "POST /v1/orders HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\nidempotency-key: k\r\ncontent-length: 100\r\n\r\n{{",
        house.token("buyer")
    );

    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(Duration::from_secs(5), socket.read(&mut answer)).await.unwrap().unwrap();

    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("DEADLINE_EXCEEDED"), "{answer}");
}

#[tokio::test]
async fn more_calls_than_there_are_slots_are_shed_at_once() {
    let house = House::with(&[("limits.concurrency", "1")]).await;
    let slow = || house.buyer(Method::GET, &format!("/v1/orders/{SLOW_ORDER_ID}")).send();

    let (one, other) = tokio::join!(slow(), slow());

    let mut answers = [one.unwrap(), other.unwrap()];
    answers.sort_by_key(reqwest::Response::status);
    let [shed, slow] = answers;
    assert_eq!((shed.status().as_u16(), slow.status().as_u16()), (503, 504));
    assert_eq!(shed.headers()["retry-after"], "1");
    assert!(shed.text().await.unwrap().contains("OVERLOADED"));
}

#[tokio::test]
async fn more_calls_a_second_than_the_rate_are_refused_on_every_face_with_the_time_to_wait() {
    let house = House::with(&[("limits.rate", "1"), ("limits.burst", "2")]).await;
    let get = || house.buyer(Method::GET, &format!("/v1/orders/{ORDER_ID}"));
    for _ in 0..2 {
        assert_eq!(get().send().await.unwrap().status(), 200);
    }
    let response = get().send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["retry-after"]),
        (429, &"1".parse().unwrap())
    );
    assert_eq!(refused(get()).await.1, "RATE_LIMITED");
    let rpc = serde_json::json!({ "jsonrpc": "2.0", "id": 1, "method": "stampede.order.v1.OrderService/GetOrder", "params": { "orderId": ORDER_ID } });
    let answer: serde_json::Value =
        house.buyer(Method::POST, "/rpc").json(&rpc).send().await.unwrap().json().await.unwrap();
    assert_eq!(answer["error"]["code"], -32008, "{answer}");
    let ready = house.client.get(house.url("/readyz")).send().await.unwrap();
    assert_eq!(ready.status(), 200, "probes are no calls");
}

#[tokio::test]
async fn an_answer_nobody_accepts_is_not_made() {
    let house = House::start().await;
    let get = |accept: &'static str| {
        house.buyer(Method::GET, &format!("/v1/orders/{ORDER_ID}")).header("accept", accept)
    };
    assert_eq!(get("text/html, application/*;q=0.5").send().await.unwrap().status(), 200);
    let (status, reason, _) = refused(get("text/html")).await;
    assert_eq!((status, reason.as_str()), (406, "NOT_ACCEPTABLE"));
    let feed = house.buyer(Method::GET, "/v1/stock:watch?skuIds=A-1").header("accept", "application/json");
    assert_eq!(refused(feed).await.1, "NOT_ACCEPTABLE");
}

#[tokio::test]
async fn headers_beyond_their_limits_are_431() {
    let house = House::start().await;
    let long = format!("x-long: {}\r\n", "x".repeat(80 * 1024));
    let many: String = (0..101).map(|number| format!("x-{number}: 1\r\n")).collect();
    for headers in [long, many] {
        let mut socket = TcpStream::connect(house.address).await.unwrap();
        // The answer may come before everything is sent.
        socket.write_all(format!("GET /healthz HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes()).await.ok();
        let mut answer = vec![0; 4096];
        let read =
            tokio::time::timeout(Duration::from_secs(5), socket.read(&mut answer)).await.unwrap().unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]);
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
}

#[tokio::test]
async fn feeds_have_slots_of_their_own() {
    let house = House::with(&[("limits.streams", "1")]).await;
    let watch = || house.buyer(Method::GET, "/v1/stock:watch?campaignId=stays");
    let open = watch().send().await.unwrap();

    assert_eq!(refused(watch()).await.1, "OVERLOADED");
    let order = house.buyer(Method::GET, &format!("/v1/orders/{ORDER_ID}")).send().await.unwrap();
    assert_eq!(order.status(), 200);

    drop(open);
    let free_again = async {
        while watch().send().await.unwrap().status() != 200 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), free_again)
        .await
        .expect("a feed that was left gives its slot back");
}

#[tokio::test]
async fn reflection_which_asks_for_no_token_takes_no_feed_its_slot() {
    let house = House::with(&[("limits.streams", "1")]).await;
    let uri = format!("http://{}", house.address).parse::<tonic::transport::Uri>().unwrap();
    let channel = tonic::transport::Endpoint::from(uri).connect_lazy();
    let silent = tokio_stream::pending();
    let _asking = ServerReflectionClient::new(channel).server_reflection_info(silent).await.unwrap();

    let watch = house.buyer(Method::GET, "/v1/stock:watch?campaignId=stays").send().await.unwrap();

    assert_eq!(watch.status(), 200);
}

#[tokio::test]
async fn a_header_that_is_too_long_is_refused_as_what_it_is() {
    let house = House::start().await;
    let order = house.buyer(Method::POST, "/v1/orders").header("idempotency-key", "k".repeat(40 * 1024));

    let (status, reason, answer) = refused(order.body(r#"{"lines":[{"skuId":"A-1","quantity":1}]}"#)).await;

    assert_eq!((status, reason.as_str()), (400, "INVALID_ARGUMENT"), "{answer}");
}

#[tokio::test]
async fn a_browser_may_call_when_its_origin_is_named_and_not_otherwise() {
    let house = House::with(&[("cors.origins", "https://shop.example")]).await;
    let ask = |origin: &'static str| {
        house
            .client
            .request(Method::OPTIONS, house.url("/v1/orders"))
            .header("origin", origin)
            .header("access-control-request-method", "POST")
    };

    let named = ask("https://shop.example").send().await.unwrap();
    assert_eq!(named.status(), 204);
    assert_eq!(named.headers()["access-control-allow-origin"], "https://shop.example");
    assert!(named.headers()["access-control-allow-methods"].to_str().unwrap().contains("POST"));
    assert!(named.headers()["access-control-allow-headers"].to_str().unwrap().contains("idempotency-key"));

    let other = ask("https://evil.example").send().await.unwrap();
    assert!(!other.headers().contains_key("access-control-allow-origin"));

    let call = house
        .client
        .get(house.url("/v1/orders"))
        .header("origin", "https://shop.example")
        .send()
        .await
        .unwrap();
    assert_eq!(call.status(), 401);
    assert_eq!(call.headers()["access-control-allow-origin"], "https://shop.example");
    assert!(call.headers()["access-control-expose-headers"].to_str().unwrap().contains("grpc-status"));
}
