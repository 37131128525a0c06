//! Rate, errors and duration of what the gateway answers, by face, RPC and HTTP status, and a span for each. Labels come from
//! the contract, never from a caller. A stream counts when its answer begins.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use http::{HeaderMap, HeaderValue, StatusCode};
use kit::metrics::{self, KeyValue};
use kit::telemetry::Trace;
use opentelemetry::metrics::Histogram;
use stampede_kit as kit;
use tracing::field::Empty;

use crate::front::Face;

/// What metrics call everything that is no RPC.
const PAGE: &str = "page";

pub(crate) struct Observer {
    duration: Histogram<f64>,
    in_progress: Arc<AtomicI64>,
    page: Arc<str>,
}

/// One request being measured; dropped early when its caller leaves.
pub(crate) struct Observed<'a> {
    observer: &'a Observer,
    face: Face,
    started: Instant,
}

impl Observer {
    pub(crate) fn new() -> Self {
        let in_progress = Arc::new(AtomicI64::new(0));
        let read = in_progress.clone();
        metrics::observed("http_server_in_progress", "Requests not answered yet", &[], move || {
            read.load(Ordering::Relaxed)
        });
        Observer {
            duration: metrics::seconds(
                "http_server_request_duration",
                "From a request's headers to its answer's, by face, method and HTTP status",
            ),
            in_progress,
            page: Arc::from(PAGE),
        }
    }

    pub(crate) fn start(&self, face: Face) -> Observed<'_> {
        self.in_progress.fetch_add(1, Ordering::Relaxed);
        Observed { observer: self, face, started: Instant::now() }
    }
}

impl Observed<'_> {
    pub(crate) fn end(&self, method: Option<Arc<str>>, status: StatusCode) {
        let method = method.unwrap_or_else(|| self.observer.page.clone());
        let labels = [
            KeyValue::new("face", self.face.name()),
            KeyValue::new("method", method),
            KeyValue::new("status", i64::from(status.as_u16())),
        ];
        self.observer.duration.record(self.started.elapsed().as_secs_f64(), &labels);
    }
}

impl Drop for Observed<'_> {
    fn drop(&mut self) {
        self.observer.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What a request runs in. Which RPC it is, is recorded when that is known.
pub(crate) fn trace(face: Face, headers: &HeaderMap, id: &HeaderValue) -> Trace {
    Trace::begin(headers, || {
        tracing::info_span!(
            parent: None,
            "http",
            otel.name = face.name(),
            otel.kind = "server",
            request_id = id.to_str().unwrap_or_default(),
            rpc.method = Empty,
            http.response.status_code = Empty,
        )
    })
}
