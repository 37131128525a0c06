//! Trace context that travels in a database row or a message header instead of a request.
//! It never starts a span; it only says which one is the parent.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::TextMapPropagator as _;
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: &str = "traceparent";

/// The current span as a W3C `traceparent`; `None` outside any trace.
pub fn current_traceparent() -> Option<String> {
    let context = Context::current();
    if !context.span().span_context().is_valid() {
        return None;
    }
    let mut carrier = HashMap::new();
    TraceContextPropagator::new().inject_context(&context, &mut carrier);
    carrier.remove(TRACEPARENT)
}

/// Makes `span` a child of the span that `traceparent` names; a malformed one changes nothing.
pub fn with_traceparent(span: Span, traceparent: Option<&str>) -> Span {
    if let Some(traceparent) = traceparent {
        let carrier = HashMap::from([(TRACEPARENT.to_owned(), traceparent.to_owned())]);
        // Fails only where no trace layer is installed, and then there is no trace to join.
        let _ = span.set_parent(TraceContextPropagator::new().extract(&carrier));
    }
    span
}
