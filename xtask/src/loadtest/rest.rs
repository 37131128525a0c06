//! The crowd over REST: keep-alive connections to the gateway, one request at a time on each.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::outcome::{Outcome, Tally};
use crate::generator::Crowd;
use crate::generator::pace::Pace;

/// An answer that takes longer is counted as broken.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Sends what is due until the run is over.
pub async fn connection(
    gateway: Arc<str>,
    body: Bytes,
    crowd: Arc<Crowd>,
    pace: Arc<Pace>,
) -> anyhow::Result<Tally> {
    let mut tally = Tally::new();
    let mut sender = connect(&gateway).await?;
    while let Some(due) = pace.next(Instant::now()) {
        tokio::time::sleep_until(due.at.into()).await;
        let request = Request::builder()
            .method(Method::POST)
            .uri("/v1/orders")
            .header(header::HOST, &*gateway)
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, crowd.bearer(due.number))
            .header("idempotency-key", crowd.key(due.number))
            .body(Full::new(body.clone()))?;
        let outcome = match tokio::time::timeout(ANSWER_WITHIN, send(&mut sender, request)).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => Outcome::Broken(format!("connection: {error}")),
            Err(_) => Outcome::Broken("timeout".to_owned()),
        };
        let broken = matches!(outcome, Outcome::Broken(_));
        tally.record(due, outcome);
        if broken || sender.is_closed() {
            sender = connect(&gateway).await?;
        }
    }
    Ok(tally)
}

async fn connect(gateway: &str) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(gateway)
        .await
        .with_context(|| format!("the gateway at {gateway} is not there"))?;
    stream.set_nodelay(true)?;
    let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    stampede_kit::task::spawn("load connection", async move {
        // An error here is seen by the sender too, and counted there.
        connection.await.ok();
    });
    Ok(sender)
}

async fn send(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> hyper::Result<Outcome> {
    sender.ready().await?;
    let response = sender.send_request(request).await?;
    let status = response.status();
    let body = response.into_body().collect().await?.to_bytes();
    Ok(if status.is_success() {
        Outcome::Accepted
    } else {
        reason(&body).map_or_else(|| Outcome::Broken(format!("HTTP {status}")), Outcome::Refused)
    })
}

/// The reason word of a google.rpc.Status in JSON.
fn reason(body: &[u8]) -> Option<String> {
    let status: serde_json::Value = serde_json::from_slice(body).ok()?;
    let details = status.get("details")?.as_array()?;
    details.iter().find_map(|d| Some(d.get("reason")?.as_str()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_is_read_from_the_error_info() {
        let body = br#"{"code":9,"details":[{"@type":"a"},{"@type":"b","reason":"OUT_OF_STOCK"}]}"#;
        assert_eq!(reason(body).as_deref(), Some("OUT_OF_STOCK"));
        assert_eq!(reason(b"nonsense"), None);
    }
}
