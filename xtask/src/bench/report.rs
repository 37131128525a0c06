//! What was measured, as tables and as one JSON object: medians, ratios within the run, and what the parts together would allow.

use std::collections::BTreeMap;

use serde::Serialize;

use super::cases::Case;
use super::growth::Grown;
use super::shop::SERVICE;
use crate::measure::Figures;
use crate::terminal::say;

/// What each step of one durable deduction costs by itself, in CPU microseconds: a unary server with its TLS, the script in a batch
/// and its client, the batched insert, and a load generator. All the cores together cannot do more than this allows.
const PARTS_US: [(&str, f64); 5] =
    [("server", 15.0), ("script", 3.4), ("its client", 1.0), ("postgres", 20.0), ("load", 8.0)];
/// What deductions should reach of that, and refusals of the echo.
const OF_PARTS: f64 = 0.70;
const OF_ECHO: f64 = 0.80;
/// What growth may cost.
pub const FLAT_WITHIN: f64 = 0.20;

/// Everything a run has measured.
#[derive(Debug, Default, Serialize)]
pub struct Report {
    pub cores: usize,
    pub rounds: u64,
    pub seconds: u64,
    pub in_flight: usize,
    /// MiB before the first load, by process.
    pub memory_at_rest_mib: BTreeMap<String, f64>,
    pub cases: Vec<Measured>,
    pub growth: Vec<Grown>,
    pub ratios: Vec<Ratio>,
    /// Each difference found in the books, as a sentence. Empty is what passes.
    pub differences: Vec<String>,
}

/// A case: the median of its rounds.
#[derive(Debug, Serialize)]
pub struct Measured {
    pub case: Case,
    pub median: Figures,
    /// Answers a second of each round.
    pub rounds_per_s: Vec<f64>,
}

/// One figure in proportion to another of the same run.
#[derive(Debug, PartialEq, Serialize)]
pub struct Ratio {
    pub what: String,
    pub ratio: f64,
    pub at_least: Option<f64>,
}

impl Measured {
    pub fn new(case: Case, rounds: &[Figures]) -> Option<Measured> {
        let rounds_per_s = rounds.iter().map(Figures::answers_per_s).collect();
        Some(Measured { case, median: Figures::median(rounds)?, rounds_per_s })
    }
}

impl Report {
    fn rate(&self, case: Case) -> Option<f64> {
        let found = self.cases.iter().find(|measured| measured.case == case)?;
        Some(found.median.answers_per_s()).filter(|rate| *rate > 0.0)
    }

    /// What all cores would do if nothing cost more than its part.
    pub fn of_parts_per_s(&self) -> f64 {
        self.cores as f64 * 1e6 / PARTS_US.iter().map(|(_, us)| us).sum::<f64>()
    }

    /// Works out what can be, from the cases that were measured.
    pub fn with_ratios(mut self) -> Report {
        let against = |what: &str, over: Option<f64>, under: Option<f64>, at_least: Option<f64>| {
            Some(Ratio { what: what.to_owned(), ratio: over? / under?, at_least })
        };
        let rate = |case| self.rate(case);
        let deduct = rate(Case::Deduct);
        self.ratios = [
            against("deductions / the parts together", deduct, Some(self.of_parts_per_s()), Some(OF_PARTS)),
            against("deductions / bare insert, one writer", deduct, rate(Case::InsertOne), None),
            against("deductions / bare insert, two writers", deduct, rate(Case::InsertTwo), None),
            against("deductions / bare script", deduct, rate(Case::Script), None),
            against("deductions / bare script, batched", deduct, rate(Case::ScriptBatched), None),
            against("deductions / bare echo", deduct, rate(Case::Echo), None),
            against("deductions / row locks", deduct, rate(Case::RowLocks), None),
            against("shelf / campaign", rate(Case::Shelf), deduct, None),
            against("sold out / bare echo", rate(Case::SoldOut), rate(Case::Echo), Some(OF_ECHO)),
            against("buyer's limit / bare echo", rate(Case::BuyerLimit), rate(Case::Echo), None),
            against("two processes / one", rate(Case::TwoProcesses), deduct, None),
        ]
        .into_iter()
        .flatten()
        .collect();
        self
    }

    pub fn print(&self) {
        say(format!(
            "medians of {} rounds of {} s, {} requests in flight, {} cores for everything",
            self.rounds, self.seconds, self.in_flight, self.cores
        ));
        if !self.cases.is_empty() {
            self.print_cases();
        }
        self.growth.iter().for_each(|grown| say(grown.line()));
        for (what, spread) in super::growth::spreads(&self.growth) {
            say(format!("  {what}: dearest / cheapest {spread:.2}   (wanted: {:.2})", 1.0 + FLAT_WITHIN));
        }
        for difference in &self.differences {
            say(format!("DIFFERENCE  {difference}"));
        }
        if self.differences.is_empty() {
            say(
                "the books agree: accepted = sold = in reservations = moved; nothing oversold; gate equals ledger",
            );
        }
    }

    fn print_cases(&self) {
        self.cases.iter().for_each(|measured| say(line(measured)));
        say(format!("memory at rest, MiB: {}", named(&self.memory_at_rest_mib)));
        if let Some(deduct) = self.cases.iter().find(|measured| measured.case == Case::Deduct) {
            say(format!("memory under load, MiB: {}", named(&deduct.median.memory_mib)));
        }
        let parts: Vec<String> = PARTS_US.iter().map(|(name, us)| format!("{name} {us}")).collect();
        say(format!("the parts, us: {}; together {:.0}/s here", parts.join(", "), self.of_parts_per_s()));
        for Ratio { what, ratio, at_least } in &self.ratios {
            let wanted = at_least.map_or(String::new(), |least| format!("   (wanted: {least:.2})"));
            say(format!("  {what:<42} {ratio:>6.2}{wanted}"));
        }
        self.print_table();
    }

    /// Rows for the README.
    fn print_table(&self) {
        say("| what | a second | p50 / p99 ms | us inventory / postgres / redis | command |");
        say("| --- | --- | --- | --- | --- |");
        for Measured { case, median, .. } in &self.cases {
            let us = |name: &str| median.cpu_us.get(name).copied().unwrap_or(0.0);
            let latency = match median.p50_ms {
                0.0 => "-".to_owned(),
                p50 => format!("{p50:.1} / {:.1}", median.p99_ms),
            };
            let served = if *case == Case::Echo { us("echo") } else { us(SERVICE) };
            say(format!(
                "| {} | {} | {latency} | {served:.1} / {:.1} / {:.1} | `cargo xtask bench inventory` |",
                case.title(),
                thousands(median.answers_per_s()),
                us("postgres"),
                us("redis"),
            ));
        }
    }
}

fn line(measured: &Measured) -> String {
    let Measured { case, median, rounds_per_s } = measured;
    let lowest = rounds_per_s.iter().copied().fold(f64::INFINITY, f64::min);
    let highest = rounds_per_s.iter().copied().fold(0.0, f64::max);
    let latency = match median.p50_ms {
        0.0 => String::new(),
        p50 => format!("   p50 {p50:.1}, p99 {:.1}, p99.9 {:.1} ms", median.p99_ms, median.p999_ms),
    };
    format!(
        "{:<44} {:>8}/s ({} to {}){latency}\n{:<44} us: {}",
        case.title(),
        thousands(median.answers_per_s()),
        thousands(lowest),
        thousands(highest),
        "",
        named(&median.cpu_us)
    )
}

/// `12345.6` is `12,346`.
pub fn thousands(figure: f64) -> String {
    let digits = format!("{figure:.0}");
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What costs nothing is not named.
pub fn named(figures: &BTreeMap<String, f64>) -> String {
    let shown = figures.iter().filter(|(_, figure)| **figure >= 0.05);
    shown.map(|(name, figure)| format!("{name} {figure:.1}")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(case: Case, rate: f64) -> Measured {
        Measured::new(case, &[Figures { accepted_per_s: rate, ..Figures::default() }]).unwrap()
    }

    #[test]
    fn ratios_are_of_what_was_measured_and_of_nothing_else() {
        let cases = vec![measured(Case::Deduct, 21_097.0), measured(Case::RowLocks, 2_109.7)];
        let report = Report { cores: 2, cases, ..Report::default() }.with_ratios();
        let said: Vec<(&str, f64)> = report.ratios.iter().map(|r| (r.what.as_str(), r.ratio)).collect();
        assert_eq!(said.len(), 2, "{said:?}");
        assert!((said[0].1 - 0.5).abs() < 0.001 && report.ratios[0].at_least == Some(0.70), "{said:?}");
        assert!((said[1].1 - 10.0).abs() < 0.001, "{said:?}");
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(thousands(1_234_567.4), "1,234,567");
        assert_eq!(thousands(12.0), "12");
        assert_eq!(named(&BTreeMap::from([("a".into(), 1.25), ("b".into(), 0.01)])), "a 1.2");
    }

    #[test]
    fn a_line_says_the_spread_of_the_rounds() {
        let round = |rate| Figures { accepted_per_s: rate, ..Figures::default() };
        let measured = Measured::new(Case::Echo, &[round(1_000.0), round(3_000.0), round(2_000.0)]).unwrap();
        assert!(line(&measured).contains("2,000/s (1,000 to 3,000)"), "{}", line(&measured));
    }
}
