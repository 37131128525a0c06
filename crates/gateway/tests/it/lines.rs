//! Streams of requests as lines (NDJSON): every line a message, whatever pieces it comes in, and a bad line said with its number.

use std::time::Duration;

use futures::{StreamExt as _, stream};
use reqwest::{Body, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use crate::house::{House, detail, refused};
use crate::services::REFUSED_ROW;

const WITHIN: Duration = Duration::from_secs(5);

fn row(number: i64) -> String {
    let price = json!({ "amountMinor": "100", "currency": "EUR" });
    let sku = json!({ "skuId": format!("A-{number}"), "title": "A thing", "price": price });
    json!({ "sku": sku, "onHand": "5", "row": number.to_string() }).to_string()
}

fn import(house: &House, body: impl Into<Body>) -> RequestBuilder {
    let asked = house.client.post(house.url("/v1/skus:import")).bearer_auth(house.token("staff"));
    asked.header("content-type", "application/x-ndjson").body(body)
}

/// A body in pieces that end anywhere.
fn pieces(text: &str, size: usize) -> Body {
    let pieces: Vec<_> =
        text.as_bytes().chunks(size).map(|piece| Ok::<_, std::io::Error>(piece.to_vec())).collect();
    Body::wrap_stream(stream::iter(pieces))
}

#[tokio::test]
async fn every_line_is_a_message_however_the_bytes_are_cut() {
    let house = House::start().await;
    let text = format!("{}\n\r\n{}\r\n{}", row(1), row(2), row(3));
    for size in [1, 7, 10_000] {
        let answer = import(&house, pieces(&text, size)).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let counted: Value = answer.json().await.unwrap();
        assert_eq!((&counted["accepted"], &counted["lastRow"]), (&json!("3"), &json!("3")), "{size}");
    }
    let nothing: Value = import(&house, "").send().await.unwrap().json().await.unwrap();
    assert_eq!(nothing["accepted"], "0");
}

#[tokio::test]
async fn a_bad_line_ends_the_call_and_is_named() {
    let house = House::start().await;
    let (status, reason, body) =
        refused(import(&house, format!("{}\n{{\"row\":\"x\"}}\n{}", row(1), row(2)))).await;
    assert_eq!((status, reason.as_str()), (400, "INVALID_ARGUMENT"), "{body}");
    assert_eq!(detail(&body, "ErrorInfo")["metadata"]["line"], "2");
    assert_eq!(detail(&body, "BadRequest")["fieldViolations"][0]["field"], "row");

    let (status, reason, body) = refused(import(&house, row(REFUSED_ROW))).await;
    assert_eq!((status, reason.as_str()), (404, "IMPORT_NOT_FOUND"), "{body}");

    let json = house.client.post(house.url("/v1/skus:import")).bearer_auth(house.token("staff"));
    assert_eq!(refused(json.json(&json!({}))).await.1, "MEDIA_TYPE");
}

#[tokio::test]
async fn a_line_beyond_the_limit_is_refused_and_a_stream_beyond_it_is_not() {
    let house = House::with(&[("limits.message_bytes", "4096")]).await;
    let many: String =
        (1..=100).filter(|number| *number != REFUSED_ROW).map(|number| row(number) + "\n").collect();
    assert!(many.len() > 2 * 4096);
    assert_eq!(import(&house, many).send().await.unwrap().status(), 200);

    let long = format!("{}\n\"{}\"", row(1), "x".repeat(5_000));
    for body in [Body::from(long.clone()), pieces(&long, 1_000)] {
        let (status, reason, _) = refused(import(&house, body)).await;
        assert_eq!((status, reason.as_str()), (413, "MESSAGE_TOO_LARGE"));
    }
}

#[tokio::test]
async fn a_line_that_does_not_arrive_is_given_up() {
    let house = House::with(&[("limits.body_ms", "200")]).await;
    let mut socket = TcpStream::connect(house.address).await.unwrap();
    let head = format!(
        "POST /v1/skus:import HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\ncontent-length: 100\r\n\r\n{{",
        house.token("staff")
    );

    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let read = tokio::time::timeout(WITHIN, socket.read(&mut answer)).await.unwrap().unwrap();

    let answer = String::from_utf8_lossy(&answer[..read]);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_stream_of_answers_comes_while_the_requests_go_on() {
    let house = House::start().await;
    let (tell, told) = mpsc::channel::<Result<String, std::io::Error>>(4);
    let line = json!({ "quantity": 1, "skuId": "A-1" });
    let item = |number: u8| {
        let id = format!("0190b2c4-7e1f-7000-8000-0000000000{number:02}");
        json!({ "reserve": { "reservationId": id, "buyerId": "alice", "lines": [line] } }).to_string() + "\n"
    };
    let asked = house
        .client
        .post(house.url("/v1/reservations:stream"))
        .bearer_auth(house.token("staff"))
        .header("accept", "application/x-ndjson")
        .body(Body::wrap_stream(ReceiverStream::new(told)));

    tell.send(Ok(item(1))).await.unwrap();
    let mut answers = asked.send().await.unwrap().bytes_stream();
    let mut next = async || {
        let piece = tokio::time::timeout(WITHIN, answers.next()).await.unwrap().unwrap().unwrap();
        serde_json::from_slice::<Value>(&piece).unwrap()
    };
    assert_eq!(next().await["item"], "1");
    tell.send(Ok(item(2))).await.unwrap();
    assert_eq!(next().await["item"], "2");
    // A line that cannot be read is the last.
    tell.send(Ok("nonsense\n".to_owned())).await.unwrap();
    let last = next().await;
    assert_eq!(detail(&last["error"], "ErrorInfo")["metadata"]["line"], "3");
    assert!(answers.next().await.is_none());
}
