//! What a run says of itself: one table for people, one JSON object for machines.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::books::Books;
use super::outcome::Tally;

/// Refusals that are the answer "no", not a failure.
const SOLD_OUT: &str = "OUT_OF_STOCK";
const LIMITED: &str = "BUYER_LIMIT";

/// One run. Field names are the interface: scripts read them.
#[derive(Debug, Serialize)]
pub struct Report {
    pub protocol: &'static str,
    pub duration_s: f64,
    pub connections: usize,
    pub buyers: usize,
    pub offered: u64,
    pub accepted: u64,
    pub sold_out: u64,
    pub limited: u64,
    pub errors: u64,
    pub errors_by_reason: BTreeMap<String, u64>,
    /// Durable orders a second.
    pub throughput_per_s: f64,
    /// All answers a second, refusals included.
    pub answers_per_s: f64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub p999_ms: f64,
    pub stock_before: i64,
    pub stock_after: i64,
    pub units_sold: i64,
    pub orders_placed: i64,
    pub oversold: i64,
    /// Each difference found in the books, as a sentence. Empty is what passes.
    pub differences: Vec<String>,
}

impl Report {
    pub fn new(
        protocol: &'static str,
        connections: usize,
        buyers: usize,
        took: Duration,
        tally: &Tally,
        books: &Books,
    ) -> Self {
        let (sold_out, limited) = (tally.refused_with(SOLD_OUT), tally.refused_with(LIMITED));
        let mut errors_by_reason = tally.broken.clone();
        errors_by_reason.extend(
            tally
                .refused
                .iter()
                .filter(|(r, _)| *r != SOLD_OUT && *r != LIMITED)
                .map(|(r, n)| (r.clone(), *n)),
        );
        let errors = errors_by_reason.values().sum();
        let seconds = took.as_secs_f64();
        Self {
            protocol,
            duration_s: seconds,
            connections,
            buyers,
            offered: tally.offered,
            accepted: tally.accepted,
            sold_out,
            limited,
            errors,
            errors_by_reason,
            throughput_per_s: tally.accepted as f64 / seconds,
            answers_per_s: tally.offered as f64 / seconds,
            p50_ms: tally.latency_ms(0.50),
            p99_ms: tally.latency_ms(0.99),
            p999_ms: tally.latency_ms(0.999),
            stock_before: books.put_on_sale,
            stock_after: books.ledger_free,
            units_sold: books.ledger_sold,
            orders_placed: books.orders,
            oversold: books.oversold(),
            differences: books.differences(tally.accepted, errors),
        }
    }

    pub fn print(&self) {
        println!(
            "seckill over {}: {} connections, {} buyers, {:.1} s",
            self.protocol, self.connections, self.buyers, self.duration_s
        );
        println!("  offered     {:>9}   {:.0} answers/s", self.offered, self.answers_per_s);
        println!("  accepted    {:>9}   {:.0} durable orders/s", self.accepted, self.throughput_per_s);
        println!("  sold out    {:>9}   limited {}", self.sold_out, self.limited);
        println!("  errors      {:>9}   {:?}", self.errors, self.errors_by_reason);
        println!(
            "  latency     p50 {:.1} ms   p99 {:.1} ms   p99.9 {:.1} ms",
            self.p50_ms, self.p99_ms, self.p999_ms
        );
        println!(
            "  stock       {} on sale, {} sold, {} left, {} orders, oversold {}",
            self.stock_before, self.units_sold, self.stock_after, self.orders_placed, self.oversold
        );
        for difference in &self.differences {
            println!("  DIFFERENCE  {difference}");
        }
        if self.differences.is_empty() {
            println!(
                "  the books agree: units sold = units gone from the ledger = orders placed; gate equals ledger"
            );
        }
    }
}
