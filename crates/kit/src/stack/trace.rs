//! The trace of a call: the one its headers name.

use http::HeaderMap;

use crate::telemetry::Trace;

/// What a call that comes in runs in. Log lines inside it carry its trace's id, recorded or not.
pub(super) fn begin(method: &str, peer: &str, headers: &HeaderMap) -> Trace {
    Trace::begin(headers, || {
        tracing::info_span!(
            parent: None,
            "rpc",
            otel.name = method,
            otel.kind = "server",
            rpc.system = "grpc",
            rpc.grpc.status = tracing::field::Empty,
            peer,
        )
    })
}
