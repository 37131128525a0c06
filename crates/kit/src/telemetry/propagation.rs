//! W3C trace context: of a request that comes in, and where it travels in a database row or a message header. Whether a request is
//! recorded is decided before a span is made for it: the many that are not cost their ids and no span.

use std::collections::HashMap;
use std::sync::OnceLock;

use http::{HeaderMap, HeaderName, HeaderValue};
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
const TRACESTATE: &str = "tracestate";

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
        let parent = parent(headers);
        let recorded =
            parent.as_ref().map_or_else(begins_recorded, |parent| parent.span().span_context().is_sampled());
        if !recorded {
            return Self { span: Span::none(), context: parent.unwrap_or_else(unrecorded) };
        }
        let span = make();
        if let Some(parent) = parent {
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

/// The trace a request belongs to already.
fn parent(headers: &HeaderMap) -> Option<Context> {
    // Most that come from outside belong to none.
    headers.get(TRACEPARENT)?;
    let parent = TraceContextPropagator::new().extract(&Headers(headers));
    parent.span().span_context().is_valid().then_some(parent)
}

/// Writes the current trace into the headers of an outgoing call; outside any trace nothing.
pub(crate) fn inject(headers: &mut HeaderMap) {
    Context::map_current(|context| {
        let span = context.span();
        let ids = span.span_context();
        if !ids.is_valid() {
            return;
        }
        let mut traceparent = traceparent(ids);
        // No other call has this one: an entry in the connection's compression table would only be in the way of others.
        traceparent.set_sensitive(true);
        headers.insert(TRACEPARENT, traceparent);
        // A state belongs to its trace: one that came with another goes no further.
        headers.remove(TRACESTATE);
        let state = ids.trace_state().header();
        if let (false, Ok(state)) = (state.is_empty(), HeaderValue::try_from(state)) {
            headers.insert(TRACESTATE, state);
        }
    });
}

/// `00-<trace>-<span>-<flags>`, written for every call: without the formatting machinery.
fn traceparent(ids: &SpanContext) -> HeaderValue {
    let (trace, span) = (ids.trace_id().to_bytes(), ids.span_id().to_bytes());
    let flags = [(ids.trace_flags() & TraceFlags::SAMPLED).to_u8()];
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-00";
    for (place, bytes) in [(3..35, &trace[..]), (36..52, &span[..]), (53..55, &flags[..])] {
        hex::encode_to_slice(bytes, &mut text[place]).expect("a byte has two digits");
    }
    HeaderValue::from_bytes(&text).expect("digits and dashes are a header value")
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

#[cfg(test)]
mod tests {
    use opentelemetry::propagation::Injector;

    use super::*;

    struct Written(HeaderMap);

    impl Injector for Written {
        fn set(&mut self, key: &str, value: String) {
            self.0.insert(HeaderName::try_from(key).unwrap(), value.try_into().unwrap());
        }
    }

    #[test]
    fn what_goes_out_is_what_the_standard_propagator_writes() {
        for (flags, state) in [(1, "vendor=1"), (0, "")] {
            let state = TraceState::from_key_value(state.split_once('=')).unwrap();
            let (trace, span) = (TraceId::from(0xab << 100 | 7), SpanId::from(0x0102_0304_0506_0708));
            let ids = SpanContext::new(trace, span, TraceFlags::new(flags), true, state);
            let context = Context::new().with_remote_span_context(ids);
            let mut wanted = Written(HeaderMap::new());
            TraceContextPropagator::new().inject_context(&context, &mut wanted);
            let _current = context.attach();
            let stale = HeaderValue::from_static("stale=1");
            let mut ours = HeaderMap::from_iter([(HeaderName::from_static(TRACESTATE), stale)]);
            inject(&mut ours);
            assert_eq!(ours.get(TRACEPARENT), wanted.0.get(TRACEPARENT));
            let stated =
                |headers: &HeaderMap| headers.get(TRACESTATE).filter(|state| !state.is_empty()).cloned();
            assert_eq!(stated(&ours), stated(&wanted.0));
            assert_eq!(parent(&ours).unwrap().span().span_context().trace_id(), trace);
        }
        let mut none = HeaderMap::new();
        let _outside = Context::new().attach();
        inject(&mut none);
        assert!(none.is_empty() && parent(&none).is_none());
    }
}
