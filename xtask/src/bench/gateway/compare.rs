//! `bench gateway --compare`: every unary REST route of the contract, with good and bad requests, through our transcoding alone and
//! through Envoy's, in front of one backend that says which gRPC bytes it got. What the two do differently is printed, case by
//! case, with the reason; one without a reason fails. It measures nothing.

mod cases;
mod exchange;
mod known;
mod recorder;
mod sample;

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use stampede_kit::{Contract, task};
use stampede_transcode::Router;
use tokio::net::TcpListener;

use super::house::{self, Backend, Process};
use super::load::Contestant;
use super::serve;
use crate::terminal::{Step, say};
use cases::Case;
use exchange::{Exchange, Outcome};
use recorder::Recorder;

/// What was compared.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    routes: usize,
    exchanges: usize,
    /// Exchanges in which both did the same.
    same: usize,
    differences: Vec<Difference>,
}

/// One case in which the two differ in one way, on some of the routes.
#[derive(Debug, Serialize)]
struct Difference {
    case: &'static str,
    ours: String,
    envoy: String,
    why: Option<&'static str>,
    routes: usize,
    /// The first of them.
    example: String,
}

/// Compares all of them.
pub async fn run(binaries: &Path) -> anyhow::Result<Report> {
    let step = Step::begin("comparing with Envoy");
    let certs = house::certificates()?;
    let contract = Contract::parse(stampede_proto::DESCRIPTOR_SET)?;
    let router = Router::build(contract.pool())?;
    let recorder = Recorder::default();
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let plain = listener.local_addr()?;
    let answering = recorder.clone();
    task::spawn(
        "recorder",
        serve::listen(listener, None, move |request| {
            let recorder = answering.clone();
            async move { recorder.answer(request).await }
        }),
    );
    let backend = Backend { plain, mutual: plain };
    let start = |contestant| {
        let started =
            tokio::task::block_in_place(|| Process::contestant(contestant, backend, &certs, binaries));
        started?.context("both are processes")
    };
    let (ours, envoy) = (start(Contestant::Bare)?, start(Contestant::Envoy)?);
    let mut report = Report::default();
    let mut differences: BTreeMap<(&str, String, String), Difference> = BTreeMap::new();
    for route in router.routes().iter().filter(|r| !r.is_client_streaming() && !r.is_server_streaming()) {
        report.routes += 1;
        step.at(route.template());
        for case in cases::of(route)? {
            let exchange = Exchange { route, case: &case, recorder: &recorder };
            let (a, b) = (exchange.with(ours.address).await?, exchange.with(envoy.address).await?);
            report.exchanges += 1;
            if a == b {
                report.same += 1;
                continue;
            }
            let (ours, envoy) = Outcome::told_apart(&a, &b);
            let example = || example(&case, &a, &b);
            let difference = differences.entry((case.name, ours.clone(), envoy.clone()));
            let new = || Difference {
                case: case.name,
                ours,
                envoy,
                why: known::why(case.name),
                routes: 0,
                example: example(),
            };
            difference.or_insert_with(new).routes += 1;
        }
    }
    step.done(format!("{} exchanges", report.exchanges));
    report.differences = differences.into_values().collect();
    Ok(report)
}

fn example(case: &Case, ours: &Outcome, envoy: &Outcome) -> String {
    let body = case.body.as_deref().unwrap_or_default();
    format!("{} {} {body}\n      ours:  {ours}\n      Envoy: {envoy}", case.method, case.target)
}

impl Report {
    /// Every difference has its reason.
    pub fn is_explained(&self) -> bool {
        self.differences.iter().all(|difference| difference.why.is_some())
    }

    pub fn print(&self, json: bool) -> anyhow::Result<()> {
        if json {
            say(serde_json::to_string(self)?);
            return Ok(());
        }
        say(format!("{} routes, {} exchanges, {} the same", self.routes, self.exchanges, self.same));
        let mut reasons: Vec<&'static str> = Vec::new();
        for why in self.differences.iter().filter_map(|difference| difference.why) {
            if !reasons.contains(&why) {
                reasons.push(why);
            }
        }
        for why in reasons {
            say(format!("\n{why}:\n\n| case | ours | Envoy | routes |\n| --- | --- | --- | --- |"));
            for Difference { case, ours, envoy, routes, .. } in self.because(Some(why)) {
                say(format!("| {case} | {ours} | {envoy} | {routes} |"));
            }
        }
        for Difference { case, ours, envoy, routes, example, .. } in self.because(None) {
            say(format!(
                "\nDIFFERENCE without a reason, on {routes} routes: {case}: ours {ours}; Envoy {envoy}"
            ));
            say(format!("      {example}"));
        }
        Ok(())
    }

    fn because(&self, why: Option<&'static str>) -> impl Iterator<Item = &Difference> {
        self.differences.iter().filter(move |difference| difference.why == why)
    }
}
