//! W3C trace context: of a request that comes in, and where it travels in a database row or a message header. Whether a request is
//! recorded is decided before a span is made for it: the many that are not cost their ids and no span.

use std::collections::HashMap;
use std::sync::OnceLock;

use http::{HeaderMap, HeaderName};
use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::{
    FutureExt as _, SpanContext, SpanId, TraceContextExt as _, TraceFlags, TraceId, TraceState, WithContext,
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::instrument::Instrumented;
use tracing::{Instrument as _, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

const TRACEPARENT: &str = "traceparent";

/// The share of new traces that is recorded; nothing is where nobody listens.
static RECORDED: OnceLock<f64> = OnceLock::new();

/// Sets the share, once.
pub(super) fn record_share(share: f64) {
    RECORDED.get_or_init(|| share);
}

/// Whether a trace that begins here is recorded.
pub(crate) fn begins_recorded() -> bool {
    RECORDED.get().is_some_and(|share| *share > 0.0 && rand::random::<f64>() < *share)
}

/// What a request runs in: a span when it is recorded, and the trace its log lines and its own calls belong to.
#[derive(Debug)]
pub struct Trace {
    pub span: Span,
    context: Context,
}

impl Trace {
    /// Follows the caller's decision; without one a share of the requests begins a recorded trace, with the span that `make` gives.
    pub fn begin(headers: &HeaderMap, make: impl FnOnce() -> Span) -> Self {
        let parent = opentelemetry::global::get_text_map_propagator(|read| read.extract(&Headers(headers)));
        let caller = parent.span().span_context().clone();
        let recorded = if caller.is_valid() { caller.is_sampled() } else { begins_recorded() };
        if !recorded {
            let context = if caller.is_valid() { parent } else { unrecorded() };
            return Self { span: Span::none(), context };
        }
        let span = make();
        if caller.is_valid() {
            // Without an OpenTelemetry layer there is no trace to belong to.
            span.set_parent(parent).ok();
        }
        let context = span.context();
        Self { span, context }
    }

    pub fn around<F: Future>(self, work: F) -> WithContext<Instrumented<F>> {
        work.instrument(self.span).with_context(self.context)
    }
}

/// A trace nobody records, with ids all the same: they tie the log lines of a request together, here and behind us.
fn unrecorded() -> Context {
    let trace = TraceId::from(rand::random::<u128>());
    let span = SpanId::from(rand::random::<u64>());
    let ids = SpanContext::new(trace, span, TraceFlags::default(), false, TraceState::NONE);
    Context::new().with_remote_span_context(ids)
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

/// The same when the trace is recorded; else `None`, and nothing is made: for work that is handed to somebody else on the hot path.
pub fn recorded_traceparent() -> Option<String> {
    Context::current().span().span_context().is_sampled().then(current_traceparent).flatten()
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
