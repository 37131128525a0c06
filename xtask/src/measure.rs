//! One measurement: load for a while, and what it cost every process meanwhile. It warms up first, and it decides nothing about
//! what the figures mean.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::ensure;
use serde::Serialize;

use crate::generator::{Count, Load};
use crate::processes::{Measured, Snapshot};

/// What reports call the load generator's process.
pub const CLIENT: &str = "client";
/// A load that brings nothing for so long has died or is all refused by a closed door.
const FIRST_ANSWER_WITHIN: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);

/// How long is measured, after how long.
#[derive(Debug, Clone, Copy)]
pub struct Span {
    pub warm_up: Duration,
    pub measured: Duration,
}

/// The figures of one measurement.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Figures {
    pub accepted_per_s: f64,
    pub refused_per_s: f64,
    /// Answers by gRPC status, over the measured time.
    pub by_status: BTreeMap<usize, u64>,
    pub broken: u64,
    pub mean_ms: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    /// CPU microseconds an answer, by process.
    pub cpu_us: BTreeMap<String, f64>,
    /// MiB at the end of the load, by process.
    pub memory_mib: BTreeMap<String, f64>,
}

impl Figures {
    /// Of something that only counts what it has done; the CPU time is of all of it.
    pub fn of_rate(count: u64, took: Duration, cpu_us: &BTreeMap<String, f64>) -> Figures {
        let each = |(name, us): (&String, &f64)| (name.clone(), us / count.max(1) as f64);
        Figures {
            accepted_per_s: count as f64 / took.as_secs_f64(),
            cpu_us: cpu_us.iter().map(each).collect(),
            ..Figures::default()
        }
    }

    /// Answers a second, accepted or refused.
    pub fn answers_per_s(&self) -> f64 {
        self.accepted_per_s + self.refused_per_s
    }

    /// Each figure's own median. Nothing when there is none.
    pub fn median(rounds: &[Figures]) -> Option<Figures> {
        let of = |pick: fn(&Figures) -> f64| median(rounds.iter().map(pick));
        let by_name = |pick: fn(&Figures) -> &BTreeMap<String, f64>| -> BTreeMap<String, f64> {
            let names: BTreeSet<&String> = rounds.iter().flat_map(|figures| pick(figures).keys()).collect();
            let value =
                |name: &String| median(rounds.iter().filter_map(|figures| pick(figures).get(name).copied()));
            names.into_iter().filter_map(|name| Some((name.clone(), value(name)?))).collect()
        };
        let mut by_status = BTreeMap::new();
        for (status, count) in rounds.iter().flat_map(|figures| &figures.by_status) {
            *by_status.entry(*status).or_default() += count;
        }
        Some(Figures {
            accepted_per_s: of(|f| f.accepted_per_s)?,
            refused_per_s: of(|f| f.refused_per_s)?,
            by_status,
            broken: rounds.iter().map(|figures| figures.broken).sum(),
            mean_ms: of(|f| f.mean_ms)?,
            p50_ms: of(|f| f.p50_ms)?,
            p99_ms: of(|f| f.p99_ms)?,
            p999_ms: of(|f| f.p999_ms)?,
            cpu_us: by_name(|f| &f.cpu_us),
            memory_mib: by_name(|f| &f.memory_mib),
        })
    }

    /// What the system spends on an answer, the load generator apart.
    pub fn cpu_us_served(&self) -> f64 {
        self.cpu_us.iter().filter(|(name, _)| *name != CLIENT).map(|(_, us)| us).sum()
    }
}

/// The middle one; the mean of the middle two.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(if values.len().is_multiple_of(2) { f64::midpoint(values[middle - 1], upper) } else { upper })
}

/// What a load did from its first request to its last, for the books.
#[derive(Debug, Clone, Copy, Default)]
pub struct Whole {
    pub accepted: u64,
    pub refused: u64,
    /// Requests without an answer: sold or not.
    pub unknown: u64,
}

impl Whole {
    pub fn requests(&self) -> u64 {
        self.accepted + self.refused + self.unknown
    }
}

/// Measures a load and ends it. Blocks, so it wants a thread that may.
pub fn load(load: Load, span: Span, processes: &[Measured]) -> anyhow::Result<(Figures, Whole)> {
    let begun = Instant::now();
    while load.counters.read().answered() == 0 && !load.has_ended() {
        ensure!(begun.elapsed() < FIRST_ANSWER_WITHIN, "nothing was answered");
        std::thread::sleep(POLL);
    }
    std::thread::sleep(span.warm_up);
    let (cpu, count, began) = (Snapshot::take(processes), load.counters.read(), Instant::now());
    load.counters.measuring.store(true, Ordering::Relaxed);
    std::thread::sleep(span.measured);
    let (later, count_later, took) = (Snapshot::take(processes), load.counters.read(), began.elapsed());
    load.counters.measuring.store(false, Ordering::Relaxed);
    let counters = std::sync::Arc::clone(&load.counters);
    let tally = load.stop()?;
    let all = counters.read();
    let whole =
        Whole { accepted: all.accepted(), refused: all.refused(), unknown: tally.unanswered + all.broken };
    let mut figures = figures(&count_later.since(&count), took, &later.cpu_us_since(&cpu));
    figures.memory_mib = later.memory_mib().clone();
    figures.mean_ms = tally.mean_ms();
    figures.p50_ms = tally.latency_ms(0.5);
    figures.p99_ms = tally.latency_ms(0.99);
    figures.p999_ms = tally.latency_ms(0.999);
    Ok((figures, whole))
}

fn figures(count: &Count, took: Duration, cpu_us: &BTreeMap<String, f64>) -> Figures {
    let seconds = took.as_secs_f64();
    let answered = count.answered().max(1) as f64;
    Figures {
        accepted_per_s: count.accepted() as f64 / seconds,
        refused_per_s: count.refused() as f64 / seconds,
        by_status: count.by_status.iter().copied().enumerate().filter(|(_, count)| *count > 0).collect(),
        broken: count.broken,
        cpu_us: cpu_us.iter().map(|(name, us)| (name.clone(), us / answered)).collect(),
        ..Figures::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_or_between_the_middle_two() {
        assert_eq!(median([3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median([4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median([]), None);
    }

    #[test]
    fn each_figure_has_its_own_median() {
        let round = |rate, us| Figures {
            accepted_per_s: rate,
            cpu_us: BTreeMap::from([("redis".to_owned(), us)]),
            by_status: BTreeMap::from([(0, 10)]),
            ..Figures::default()
        };
        let figures = Figures::median(&[round(1.0, 9.0), round(2.0, 8.0), round(3.0, 1.0)]).unwrap();
        assert_eq!((figures.accepted_per_s, figures.cpu_us["redis"]), (2.0, 8.0));
        assert_eq!(figures.by_status[&0], 30);
        assert!(Figures::median(&[]).is_none());
    }

    #[test]
    fn figures_are_per_second_and_per_answer() {
        let mut count = Count::default();
        (count.by_status[0], count.by_status[9]) = (300, 100);
        let cpu = BTreeMap::from([("inventory".to_owned(), 8_000.0)]);
        let figures = figures(&count, Duration::from_secs(2), &cpu);
        assert_eq!((figures.accepted_per_s, figures.refused_per_s), (150.0, 50.0));
        assert_eq!(figures.cpu_us["inventory"], 20.0);
        assert_eq!(figures.by_status, BTreeMap::from([(0, 300), (9, 100)]));
    }
}
