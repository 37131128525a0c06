//! The line to a provider over HTTP: a bounded number of exchanges at once, each under one deadline, waiting for its turn included, and no
//! answer longer than its adapter's are. It follows no redirect, tries nothing twice and knows no provider's words.

use std::time::Duration;

use anyhow::Context as _;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::metrics;

/// Exchanges in progress; more wait for their turn under their own deadline.
const MAX_IN_FLIGHT: usize = 256;
const CONNECT_WITHIN: Duration = Duration::from_secs(1);

pub(super) struct Line {
    name: String,
    http: Client,
    base: String,
    timeout: Duration,
    max_answer_bytes: usize,
    turns: Semaphore,
}

impl Line {
    /// To the provider of this name at `url`; an exchange takes `timeout` at most.
    ///
    /// # Errors
    /// No HTTP client can be made.
    pub(super) fn new(
        name: &str,
        url: &str,
        timeout: Duration,
        max_answer_bytes: usize,
    ) -> anyhow::Result<Self> {
        let http = Client::builder()
            .connect_timeout(CONNECT_WITHIN)
            .pool_max_idle_per_host(MAX_IN_FLIGHT)
            .no_proxy()
            // What one pays with, and our keys, go to the address that was configured and to no other.
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .with_context(|| format!("making the HTTP client of {name}"))?;
        let base = url.trim_end_matches('/').to_owned();
        let turns = Semaphore::new(MAX_IN_FLIGHT);
        Ok(Self { name: name.to_owned(), http, base, timeout, max_answer_bytes, turns })
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A request of what is at `path`.
    pub(super) fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.base))
    }

    /// Status and body of the answer; `None` when the exchange broke, took too long, or the answer is too long. `what` is its name in
    /// logs and metrics.
    pub(super) async fn exchange(
        &self,
        what: &'static str,
        request: RequestBuilder,
    ) -> Option<(StatusCode, Vec<u8>)> {
        let started = Instant::now();
        let exchange = async {
            let _turn = self.turns.acquire().await.ok()?;
            let response = request.send().await.inspect_err(|error| broken(what, error)).ok()?;
            let status = response.status();
            Some((status, self.whole(what, response).await?))
        };
        let answer = tokio::time::timeout(self.timeout, exchange).await.unwrap_or_else(|_| {
            tracing::warn!(what, "the provider took too long");
            None
        });
        let status = answer.as_ref().map(|(status, _)| status.as_u16());
        metrics::provider_call(&self.name, what, status, started.elapsed());
        answer
    }

    async fn whole(&self, what: &'static str, mut response: Response) -> Option<Vec<u8>> {
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.inspect_err(|error| broken(what, error)).ok()? {
            if body.len() + chunk.len() > self.max_answer_bytes {
                tracing::error!(what, "the provider's answer is too long");
                return None;
            }
            body.extend_from_slice(&chunk);
        }
        Some(body)
    }
}

/// Never the address: a query has our keys in it.
fn broken(what: &'static str, error: &reqwest::Error) {
    let (timeout, connect) = (error.is_timeout(), error.is_connect());
    tracing::warn!(what, timeout, connect, "the provider cannot be reached");
}
