//! W3C trace context: reading it from a call that comes in, writing it to a call that goes out.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::propagation::{Extractor, Injector};
use opentelemetry::trace::TraceContextExt;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// The span of a call that comes in, in the trace its headers name. Log lines inside it carry that trace's id.
pub(super) fn span(method: &str, peer: &str, headers: &HeaderMap) -> Span {
    let span = tracing::info_span!(
        parent: None,
        "rpc",
        otel.name = method,
        otel.kind = "server",
        rpc.system = "grpc",
        rpc.grpc.status = tracing::field::Empty,
        peer,
    );
    let parent = opentelemetry::global::get_text_map_propagator(|read| read.extract(&Headers(headers)));
    if parent.span().span_context().is_valid() {
        // Without an OpenTelemetry layer there is no trace to belong to.
        span.set_parent(parent).ok();
    }
    span
}

/// Writes the trace `span` belongs to into the headers of an outgoing call.
pub(crate) fn inject(span: &Span, headers: &mut HeaderMap) {
    let context = span.context();
    opentelemetry::global::get_text_map_propagator(|write| {
        write.inject_context(&context, &mut HeadersMut(headers))
    });
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).and_then(|value| value.to_str().ok())
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
