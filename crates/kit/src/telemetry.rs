//! What a process says about itself: JSON logs on stderr, traces and metrics over OTLP when there is a receiver, and
//! W3C trace context always, so that a trace goes through a process that keeps none of it itself.
//! It never logs what a caller sent and never blocks a request on a slow receiver.

mod json;
mod propagation;

use std::time::Duration;

use anyhow::Context as _;
use opentelemetry::trace::TracerProvider as _;
use opentelemetry::{KeyValue, global};
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use tracing::Metadata;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, filter_fn};
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;

use crate::config::{Ratio, Reader};
use crate::{metrics, task};

pub use propagation::{Trace, current_traceparent, recorded_traceparent, with_traceparent};
pub(crate) use propagation::{begins_recorded, inject};

/// How long the last spans and numbers may take to leave at the end.
const FLUSH_WITHIN: Duration = Duration::from_secs(3);
/// Spans of the exporter's own transport would be exported, which makes spans, and so on.
const NOT_TRACED: [&str; 5] = ["h2", "hyper", "tonic", "tower", "opentelemetry"];

#[derive(Debug, Clone)]
pub struct Settings {
    /// `log`: an env-filter directive list, such as `info,sqlx=warn`.
    pub log: String,
    /// `otlp.endpoint`: where traces and metrics go, such as `http://127.0.0.1:4317`; without it nothing is sent.
    pub endpoint: Option<String>,
    /// `otlp.sample`: the share of new traces that is kept; a caller's decision is followed.
    pub sample: f64,
}

impl Settings {
    pub fn read(reader: &mut Reader) -> Self {
        let log = reader.or("log", "info".to_owned());
        if EnvFilter::try_new(&log).is_err() {
            reader.refuse("log", format!("expected filter directives such as info,sqlx=warn, found {log:?}"));
        }
        let endpoint: Option<String> = reader.optional("otlp.endpoint");
        if endpoint.as_ref().is_some_and(|endpoint| endpoint.parse::<http::Uri>().is_err()) {
            reader.refuse("otlp.endpoint", "expected a URL such as http://127.0.0.1:4317");
        }
        Self { log, endpoint, sample: reader.or("otlp.sample", Ratio(0.01)).0 }
    }
}

/// What has to be flushed at the end.
#[derive(Debug)]
pub struct Telemetry {
    tracer: SdkTracerProvider,
}

/// Sets the process's telemetry up; once, inside the runtime that will carry the exporters.
pub fn init(service: &'static str, settings: &Settings) -> anyhow::Result<Telemetry> {
    let resource = Resource::builder()
        .with_service_name(service)
        .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
        .with_attribute(KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()))
        .build();
    metrics::install(resource.clone(), metric_exporter(settings)?);
    let tracer = tracer(settings, resource)?;
    global::set_tracer_provider(tracer.clone());

    let logs = tracing_subscriber::fmt::layer()
        .event_format(json::Lines::new(service))
        .fmt_fields(json::NoSpanFields)
        .with_writer(std::io::stderr)
        .with_filter(EnvFilter::try_new(&settings.log)?);
    // Logs and traces are filtered apart: a quiet log must not lose the traces.
    let traces = tracing_opentelemetry::layer()
        .with_tracer(tracer.tracer("stampede"))
        .with_location(false)
        .with_threads(false)
        .with_filter(LevelFilter::INFO.and(filter_fn(is_traced)));
    tracing_subscriber::registry().with(logs).with(traces).try_init().context("telemetry is set up once")?;
    log_panics();
    Ok(Telemetry { tracer })
}

impl Telemetry {
    /// Sends what has not been sent. It blocks, so call it when nothing else is to be done.
    pub fn flush(&self) {
        metrics::flush();
        if let Err(error) = self.tracer.shutdown_with_timeout(FLUSH_WITHIN) {
            tracing::warn!(%error, "traces were not flushed");
        }
    }
}

fn tracer(settings: &Settings, resource: Resource) -> anyhow::Result<SdkTracerProvider> {
    // Calls decide before they make a span (`begins_recorded`); what makes one has decided, and follows its parent.
    let provider = SdkTracerProvider::builder().with_resource(resource);
    let Some(endpoint) = &settings.endpoint else {
        // Nobody listens: spans still have ids, for the logs and for the services behind us, but record nothing.
        return Ok(provider.with_sampler(Sampler::ParentBased(Box::new(Sampler::AlwaysOff))).build());
    };
    let exporter = SpanExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .context("the receiver at otlp.endpoint cannot be used for traces")?;
    propagation::record_share(settings.sample);
    let sampler = Sampler::ParentBased(Box::new(Sampler::AlwaysOn));
    Ok(provider.with_sampler(sampler).with_batch_exporter(exporter).build())
}

fn metric_exporter(settings: &Settings) -> anyhow::Result<Option<MetricExporter>> {
    let Some(endpoint) = &settings.endpoint else { return Ok(None) };
    let exporter = MetricExporter::builder()
        .with_tonic()
        .with_endpoint(endpoint)
        .build()
        .context("the receiver at otlp.endpoint cannot be used for metrics")?;
    Ok(Some(exporter))
}

pub(crate) fn is_traced(metadata: &Metadata<'_>) -> bool {
    // A task's span ends with the process: as a parent it would make one trace of everything the task ever does.
    metadata.name() != task::SPAN && !NOT_TRACED.iter().any(|target| metadata.target().starts_with(target))
}

/// A panic is a log line like any other error; the default hook would print it past the JSON.
fn log_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let payload = panic.payload();
        let message = payload
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("a panic without a text");
        tracing::error!(place, panic = message, "panicked");
    }));
}
