//! What was measured, as a table and as one JSON object: medians, ratios within the run, and the goals.

use serde::Serialize;

use super::load::{Contestant, GATEWAY};
use crate::bench::report::thousands;
use crate::measure::Figures;
use crate::terminal::say;

/// CPU microseconds a request at the gateway: transcoding alone, and everything on.
const BARE_AT_MOST_US: f64 = 24.0;
const OURS_AT_MOST_US: f64 = 35.0;
/// What our process may hold in memory.
const OURS_AT_MOST_MIB: f64 = 30.0;

/// Everything a run has measured.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub cores: usize,
    pub rounds: u64,
    pub seconds: u64,
    /// Of the order in JSON.
    pub request_bytes: usize,
    pub rows: Vec<Measured>,
    pub goals: Vec<Goal>,
    /// Contestants that could not be had, and why.
    pub left_out: Vec<String>,
}

/// One contestant at one number of connections: the median of its rounds.
#[derive(Debug, Serialize)]
pub struct Measured {
    pub connections: usize,
    pub contestant: Contestant,
    pub median: Figures,
    /// Answers a second of each round.
    pub rounds_per_s: Vec<f64>,
}

/// A figure that has something to be held against.
#[derive(Debug, Serialize)]
pub struct Goal {
    pub what: String,
    pub is: f64,
    pub at_most: Option<f64>,
}

impl Measured {
    pub fn new(connections: usize, contestant: Contestant, rounds: &[Figures]) -> Option<Measured> {
        let rounds_per_s = rounds.iter().map(Figures::answers_per_s).collect();
        Some(Measured { connections, contestant, median: Figures::median(rounds)?, rounds_per_s })
    }

    /// Of the process under test.
    fn us(&self) -> Option<f64> {
        self.median.cpu_us.get(GATEWAY).copied()
    }

    fn mib(&self) -> Option<f64> {
        self.median.memory_mib.get(GATEWAY).copied()
    }
}

impl Report {
    /// Works out what there is to be judged, from what was measured.
    pub fn judged(mut self) -> Report {
        let mut goals = Vec::new();
        for row in &self.rows {
            let mut goal = |what: String, is: Option<f64>, at_most: Option<f64>| {
                goals.extend(is.map(|is| Goal { what, is, at_most }));
            };
            let at = format!("at {} connections", row.connections);
            let of = |who: Contestant| self.row(row.connections, who)?.us();
            let against = |who: Contestant| Some(of(who)? / row.us()?);
            match row.contestant {
                Contestant::Bare => {
                    goal(format!("bare, us a request {at}"), row.us(), Some(BARE_AT_MOST_US));
                    goal(format!("Envoy's CPU / bare's {at}"), against(Contestant::Envoy), None);
                    let added = of(Contestant::Null).and_then(|null| Some(row.us()? - null));
                    goal(format!("what transcoding adds, us {at}"), added, None);
                }
                Contestant::Ours => {
                    goal(format!("ours, us a request {at}"), row.us(), Some(OURS_AT_MOST_US));
                    goal(format!("ours, MiB {at}"), row.mib(), Some(OURS_AT_MOST_MIB));
                    goal(format!("Envoy's CPU / ours {at}"), against(Contestant::Envoy), None);
                }
                Contestant::None | Contestant::Null | Contestant::Envoy => {}
            }
        }
        self.goals = goals;
        self
    }

    fn row(&self, connections: usize, contestant: Contestant) -> Option<&Measured> {
        self.rows.iter().find(|row| (row.connections, row.contestant) == (connections, contestant))
    }

    pub fn print(&self) {
        say(format!(
            "an order of {} bytes, one request at a time on each connection; medians of {} rounds of {} s, {} cores for everything",
            self.request_bytes, self.rounds, self.seconds, self.cores
        ));
        say(
            "| gateway | connections | requests/s (rounds) | p50 / p99 ms | us gateway | us backend + client | MiB |",
        );
        say("| --- | --- | --- | --- | --- | --- | --- |");
        self.rows.iter().for_each(|row| say(line(row)));
        for Goal { what, is, at_most } in &self.goals {
            let wanted = at_most.map_or(String::new(), |most| format!("   (wanted: at most {most:.0})"));
            say(format!("  {what:<44} {is:>6.1}{wanted}"));
        }
        for why in &self.left_out {
            say(format!("  left out: {why}"));
        }
    }
}

fn line(row: &Measured) -> String {
    let lowest = row.rounds_per_s.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = row.rounds_per_s.iter().copied().fold(0.0, f64::max);
    let shown = |figure: Option<f64>| figure.map_or("-".to_owned(), |figure| format!("{figure:.1}"));
    let median = &row.median;
    format!(
        "| {} | {} | {} ({} to {}) | {:.2} / {:.2} | {} | {:.1} | {} |",
        row.contestant.title(),
        row.connections,
        thousands(median.answers_per_s()),
        thousands(lowest),
        thousands(highest),
        median.p50_ms,
        median.p99_ms,
        shown(row.us()),
        median.cpu_us.iter().filter(|(name, _)| *name != GATEWAY).map(|(_, us)| us).sum::<f64>(),
        shown(row.mib()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn row(contestant: Contestant, us: f64) -> Measured {
        let cpu_us = BTreeMap::from([(GATEWAY.to_owned(), us), ("client".to_owned(), 8.0)]);
        let memory_mib = BTreeMap::from([(GATEWAY.to_owned(), 20.0)]);
        let figures = Figures { accepted_per_s: 1_000.0, cpu_us, memory_mib, ..Figures::default() };
        Measured::new(64, contestant, &[figures]).unwrap()
    }

    #[test]
    fn goals_are_of_what_was_measured_and_of_nothing_else() {
        let rows =
            vec![row(Contestant::Null, 16.0), row(Contestant::Bare, 22.0), row(Contestant::Ours, 30.0)];
        let report = Report { rows, ..Report::default() }.judged();
        let said: Vec<(&str, f64, Option<f64>)> =
            report.goals.iter().map(|goal| (goal.what.as_str(), goal.is, goal.at_most)).collect();
        assert_eq!(
            said,
            [
                ("bare, us a request at 64 connections", 22.0, Some(24.0)),
                ("what transcoding adds, us at 64 connections", 6.0, None),
                ("ours, us a request at 64 connections", 30.0, Some(35.0)),
                ("ours, MiB at 64 connections", 20.0, Some(30.0)),
            ]
        );
    }
}
