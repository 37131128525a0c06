//! The raw client against hyper's own HTTP/2 server, without a network: what one writes the other must read.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{HeaderMap, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use stampede_kit::task;
use stampede_proto::inventory::v1::DeductStockRequest;

use super::deductions::{Ask, Deductions};
use super::grpc::Connection;
use super::pace::Pace;
use super::tally::Counters;

type Answer = Response<http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>>;

/// Every third request is refused, in headers alone; every hundredth of the others is broken off; the rest get a message and
/// trailers.
async fn desk(request: Request<Incoming>) -> anyhow::Result<Answer> {
    assert_eq!(request.uri().path(), "/a.B/C");
    assert_eq!(request.uri().authority().unwrap(), "inventory");
    assert_eq!(request.headers()["te"], "trailers");
    let body = request.into_body().collect().await?.to_bytes();
    let message = DeductStockRequest::decode(&body[5..]).unwrap();
    let buyer: u64 = message.buyer_id.trim_start_matches("b-").parse().unwrap();
    let answer = Response::builder().header("content-type", "application/grpc");
    anyhow::ensure!(buyer.is_multiple_of(3) || !buyer.is_multiple_of(100), "the desk is closed");
    Ok(if buyer.is_multiple_of(3) {
        let answer = answer.header("grpc-status", "9").header("grpc-message", "sold out");
        answer.body(Full::new(Bytes::new()).boxed_unsync()).unwrap()
    } else {
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let frames = [Frame::data(Bytes::from_static(b"\0\0\0\0\0")), Frame::trailers(trailers)];
        let frames = futures_of(frames);
        answer.body(StreamBody::new(frames).boxed_unsync()).unwrap()
    })
}

fn futures_of(frames: [Frame<Bytes>; 2]) -> impl futures::Stream<Item = Result<Frame<Bytes>, Infallible>> {
    futures::stream::iter(frames.map(Ok))
}

#[tokio::test]
async fn every_request_is_counted_as_what_became_of_it() {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let serving = task::spawn("desk", server.serve_connection(TokioIo::new(theirs), service_fn(desk)));
    let ask = Ask { sku: "tee".into(), campaign: String::new(), crowd: "b-".into(), buyers: 3_000 };
    let counters = Arc::new(Counters::default());
    let pace = Arc::new(Pace::endless(0, 0));
    let connection =
        Connection::new(ours, Deductions::of_path(&[ask], "/a.B/C"), pace, Arc::clone(&counters));
    counters.measuring.store(true, Ordering::Relaxed);
    let running = task::spawn("load", connection.run(64));
    // Far more bytes than the first window: the client must have heard the server's updates.
    while counters.read().answered() < 3_000 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    counters.stop.store(true, Ordering::Relaxed);
    let tally = tokio::time::timeout(Duration::from_secs(10), running).await.unwrap().unwrap().unwrap();
    let count = counters.read();
    assert_eq!(tally.unanswered, 0);
    assert_eq!(count.by_status[0] + count.by_status[9] + count.broken, count.answered());
    let share = |part: u64| part as f64 / count.answered() as f64;
    assert!((0.30..0.37).contains(&share(count.by_status[9])), "{count:?}");
    assert!((0.003..0.01).contains(&share(count.broken)), "{count:?}");
    assert!(tally.latency_ms(0.5) > 0.0);
    serving.abort();
}

#[tokio::test]
async fn at_a_rate_requests_go_when_they_are_due_and_no_sooner() {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let serving = task::spawn("desk", server.serve_connection(TokioIo::new(theirs), service_fn(desk)));
    let ask = Ask { sku: "tee".into(), campaign: String::new(), crowd: "b-".into(), buyers: 3_000 };
    let counters = Arc::new(Counters::default());
    // Fifty requests, the last one due after 490 ms.
    let pace = Arc::new(Pace::new(100, Duration::from_millis(500)));
    let began = std::time::Instant::now();
    let connection =
        Connection::new(ours, Deductions::of_path(&[ask], "/a.B/C"), pace, Arc::clone(&counters));
    connection.run(64).await.unwrap();
    assert_eq!(counters.read().answered(), 50);
    assert!(began.elapsed() >= Duration::from_millis(490), "{:?}", began.elapsed());
    serving.abort();
}
