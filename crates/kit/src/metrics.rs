//! Numbers about what happens: instruments on one OpenTelemetry meter, and their Prometheus text for /metrics.
//! Make an instrument once (a `LazyLock` or a field) and record into it; making it on the hot path takes locks.
//! Labels are few and bounded: never an id, never a text of a caller's.

use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::global;
use opentelemetry::metrics::{Counter, Gauge, Histogram, Meter, MeterProvider as _, UpDownCounter};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::SdkMeterProvider;
use prometheus::{Registry, TextEncoder};

pub use opentelemetry::KeyValue;

/// Upper bounds of durations, in seconds: from a local refusal to a call that gives up.
const SECONDS: [f64; 17] = [
    0.0005, 0.001, 0.002, 0.003, 0.005, 0.0075, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];
/// Upper bounds of ages, in seconds: from an event that is heard at once to one that waited for a store to come back.
const AGES: [f64; 17] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 3600.0,
    86_400.0,
];
/// Upper bounds of counts: batch sizes, rows, bytes by powers of about three.
const COUNTS: [f64; 14] = [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1e3, 2e3, 5e3, 1e4, 1e5];
/// How often OTLP gets the numbers, when it gets them.
const PUSH_EVERY: Duration = Duration::from_secs(15);

struct Meters {
    provider: SdkMeterProvider,
    registry: Registry,
    meter: Meter,
}

/// One set a process, as OpenTelemetry has it: instruments are made where they are used, before anybody asks for them.
static METERS: OnceLock<Meters> = OnceLock::new();

/// A number that only grows, such as `orders_placed`; Prometheus adds `_total`.
pub fn counter(name: &'static str, description: &'static str) -> Counter<u64> {
    meters().meter.u64_counter(name).with_description(description).build()
}

/// A distribution of durations in seconds; `name` without a unit, Prometheus adds `_seconds`.
pub fn seconds(name: &'static str, description: &'static str) -> Histogram<f64> {
    in_seconds(name, description, &SECONDS)
}

/// A distribution of how old things are, in seconds; `name` without a unit, Prometheus adds `_seconds`.
pub fn ages(name: &'static str, description: &'static str) -> Histogram<f64> {
    in_seconds(name, description, &AGES)
}

/// A distribution of counts, such as batch sizes. `unit` is UCUM: `{request}`, `By`.
pub fn histogram(name: &'static str, description: &'static str, unit: &'static str) -> Histogram<f64> {
    let buckets = COUNTS.to_vec();
    meters()
        .meter
        .f64_histogram(name)
        .with_description(description)
        .with_unit(unit)
        .with_boundaries(buckets)
        .build()
}

/// A number that is set: a backlog, days left.
pub fn gauge(name: &'static str, description: &'static str) -> Gauge<i64> {
    meters().meter.i64_gauge(name).with_description(description).build()
}

/// A number that goes up and down by steps: calls in progress, open connections.
pub fn up_down(name: &'static str, description: &'static str) -> UpDownCounter<i64> {
    meters().meter.i64_up_down_counter(name).with_description(description).build()
}

/// A number that is asked for when somebody looks: queue depth, pool size. `read` must be cheap and never block.
pub fn observed(
    name: &'static str,
    description: &'static str,
    labels: &[KeyValue],
    read: impl Fn() -> i64 + Send + Sync + 'static,
) {
    let gauge = meters().meter.i64_observable_gauge(name).with_description(description);
    let labels = labels.to_vec();
    gauge.with_callback(move |observer| observer.observe(read(), &labels)).build();
}

fn in_seconds(name: &'static str, description: &'static str, bounds: &[f64]) -> Histogram<f64> {
    let histogram = meters().meter.f64_histogram(name).with_description(description).with_unit("s");
    histogram.with_boundaries(bounds.to_vec()).build()
}

/// Everything in Prometheus's text format, for /metrics.
pub fn text() -> String {
    TextEncoder::new().encode_to_string(&meters().registry.gather()).unwrap_or_else(|error| {
        tracing::error!(%error, "metrics cannot be encoded");
        String::new()
    })
}

/// Sets the meters up with the process's identity and, when there is one, an OTLP receiver. Instruments made earlier
/// would have fixed the meters without either, so telemetry calls this first.
pub(crate) fn install(resource: Resource, push: Option<opentelemetry_otlp::MetricExporter>) {
    let meters = METERS.get_or_init(|| build(Some(resource), push));
    global::set_meter_provider(meters.provider.clone());
}

/// Sends what OTLP has not had yet.
pub(crate) fn flush() {
    if let Some(Err(error)) = METERS.get().map(|meters| meters.provider.force_flush()) {
        tracing::warn!(%error, "metrics were not flushed");
    }
}

fn meters() -> &'static Meters {
    METERS.get_or_init(|| build(None, None))
}

fn build(resource: Option<Resource>, push: Option<opentelemetry_otlp::MetricExporter>) -> Meters {
    let registry = Registry::new();
    let exporter = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .without_target_info()
        .build()
        .expect("a new registry has no collector to collide with");
    let mut provider = SdkMeterProvider::builder().with_reader(exporter);
    if let Some(resource) = resource {
        provider = provider.with_resource(resource);
    }
    if let Some(push) = push {
        let reader =
            opentelemetry_sdk::metrics::PeriodicReader::builder(push).with_interval(PUSH_EVERY).build();
        provider = provider.with_reader(reader);
    }
    let provider = provider.build();
    let meter = provider.meter("stampede");
    Meters { provider, registry, meter }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_is_in_the_text_under_its_prometheus_name() {
        counter("kit_test_orders", "Orders of a test").add(2, &[KeyValue::new("kind", "flash")]);
        seconds("kit_test_wait", "Waiting").record(0.004, &[]);
        gauge("kit_test_backlog", "Rows").record(7, &[]);
        observed("kit_test_depth", "Depth", &[], || 9);
        let text = text();
        for line in [
            "kit_test_orders_total{kind=\"flash\",otel_scope_name=\"stampede\"} 2",
            "kit_test_wait_seconds_bucket{otel_scope_name=\"stampede\",le=\"0.005\"} 1",
            "kit_test_backlog{otel_scope_name=\"stampede\"} 7",
            "kit_test_depth{otel_scope_name=\"stampede\"} 9",
        ] {
            assert!(text.contains(line), "{line} is not in\n{text}");
        }
    }
}
