//! Rate, errors and duration of every RPC, by method and gRPC code. A call is over when its last byte is, so a stream counts
//! once, with the code of its trailers; one its caller left counts as CANCELLED.

use std::sync::{Arc, LazyLock};

use http::HeaderMap;
use opentelemetry::metrics::{Counter, Histogram, UpDownCounter};
use tokio::time::Instant;
use tonic::Code;
use tracing::Span;

use crate::metrics::{self, KeyValue};

struct Instruments {
    requests: Counter<u64>,
    duration: Histogram<f64>,
    in_progress: UpDownCounter<i64>,
}

static INSTRUMENTS: LazyLock<Instruments> = LazyLock::new(|| Instruments {
    requests: metrics::counter("rpc_server_requests", "Calls answered, by method and gRPC code"),
    duration: metrics::seconds(
        "rpc_server_duration",
        "From the first byte of a call to its last, by method and gRPC code",
    ),
    in_progress: metrics::up_down("rpc_server_in_progress", "Calls being answered"),
});

/// One call being measured. Its end is told once: by a code, or by being dropped.
pub(super) struct Observed {
    method: Arc<str>,
    span: Span,
    started: Instant,
    told: bool,
}

impl Observed {
    pub(super) fn start(method: Arc<str>, span: Span) -> Self {
        INSTRUMENTS.in_progress.add(1, &[]);
        Observed { method, span, started: Instant::now(), told: false }
    }

    /// The status stands in the trailers, or in the headers of an answer without a body.
    pub(super) fn read(&mut self, headers: &HeaderMap) {
        if let Some(status) = headers.get("grpc-status") {
            self.end(Code::from_bytes(status.as_bytes()));
        }
    }

    pub(super) fn end(&mut self, code: Code) {
        if std::mem::replace(&mut self.told, true) {
            return;
        }
        let code = word(code);
        let labels = [KeyValue::new("method", self.method.clone()), KeyValue::new("code", code)];
        INSTRUMENTS.requests.add(1, &labels);
        INSTRUMENTS.duration.record(self.started.elapsed().as_secs_f64(), &labels);
        INSTRUMENTS.in_progress.add(-1, &[]);
        self.span.record("rpc.grpc.status", code);
    }
}

impl Drop for Observed {
    fn drop(&mut self) {
        self.end(Code::Cancelled);
    }
}

fn word(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
