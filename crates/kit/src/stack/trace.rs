//! The trace of a call: the one its headers name, and the one the calls it makes go out with.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::Context;
use opentelemetry::propagation::Injector;

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

/// Writes the current trace into the headers of an outgoing call.
pub(crate) fn inject(headers: &mut HeaderMap) {
    let context = Context::current();
    opentelemetry::global::get_text_map_propagator(|write| {
        write.inject_context(&context, &mut HeadersMut(headers))
    });
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
