//! What a log line promises.

use std::io;
use std::sync::{Arc, Mutex};

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing_subscriber::layer::SubscriberExt as _;

use super::*;
use crate::telemetry::{current_traceparent, with_traceparent};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn lines_of(act: impl FnOnce()) -> Vec<Value> {
    let sink = Sink::default();
    let writer = sink.clone();
    let provider =
        SdkTracerProvider::builder().with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff))).build();
    let subscriber = tracing_subscriber::registry()
        .with(
            tracing_subscriber::fmt::layer()
                .event_format(Lines::new("order"))
                .fmt_fields(NoSpanFields)
                .with_writer(move || writer.clone()),
        )
        .with(tracing_opentelemetry::layer().with_tracer(provider.tracer("test")));
    tracing::subscriber::with_default(subscriber, act);
    let written = sink.0.lock().unwrap().clone();
    String::from_utf8(written).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn an_event_is_one_line_of_json_with_its_fields_flattened() {
    let lines =
        lines_of(|| tracing::warn!(orders = 3, ok = true, name = "a\nb", level = "mine", "placed {}", 1));
    assert_eq!(lines.len(), 1);
    let line = &lines[0];
    assert_eq!(line["message"], "placed 1");
    assert_eq!(line["orders"], 3);
    assert_eq!(line["ok"], true);
    assert_eq!(line["name"], "a\nb");
    assert_eq!(line["level"], "WARN");
    assert_eq!(line["service"], "order");
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
    assert!(line.get("trace_id").is_none());
}

#[test]
fn an_event_carries_the_ids_of_its_trace_even_when_the_trace_is_not_kept() {
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
    let mut seen = None;
    let lines = lines_of(|| {
        let span = with_traceparent(tracing::info_span!("place"), Some(parent));
        let _entered = span.enter();
        tracing::info!("inside");
        seen = current_traceparent();
    });
    assert_eq!(lines[0]["trace_id"], "0af7651916cd43dd8448eb211c80319c");
    assert_eq!(lines[0]["span"], "place");
    let seen = seen.unwrap();
    assert!(seen.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{seen}");
    assert!(seen.contains(lines[0]["span_id"].as_str().unwrap()));
}

#[test]
fn the_fields_of_a_span_are_never_formatted() {
    struct Never;

    impl fmt::Debug for Never {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            panic!("a field was formatted")
        }
    }

    let lines = tracing_subscriber::fmt::layer()
        .event_format(Lines::new("order"))
        .fmt_fields(NoSpanFields)
        .with_writer(io::sink);
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), || {
        let span = tracing::info_span!("call", field = ?Never, later = tracing::field::Empty);
        span.record("later", tracing::field::debug(Never));
        span.in_scope(|| tracing::info!("said"));
    });
}
