//! What a run says of itself: one table for people, one JSON object for machines. It decides nothing.

use serde::Serialize;

use crate::measure::Figures;

/// One run. Field names are the interface: scripts read them.
#[derive(Debug, Serialize)]
pub struct Report {
    pub protocol: &'static str,
    pub rounds: u64,
    pub seconds: u64,
    pub connections: u64,
    pub skus: u64,
    /// As many as there is room for.
    pub most: Figures,
    pub most_per_s_by_round: Vec<f64>,
    /// At half of that, on a schedule that waits for no answer.
    pub half: Figures,
    /// CPU microseconds an order, all processes together, and what the parts come to.
    pub cpu_us: f64,
    pub floor_us: f64,
    /// The same beside old orders.
    pub grown: Option<Grown>,
    /// Each difference found in the books, as a sentence. Empty is what passes.
    pub differences: Vec<String>,
}

/// The shop beside orders of years gone by.
#[derive(Debug, Serialize)]
pub struct Grown {
    pub orders: u64,
    pub filled_in_s: f64,
    pub most: Figures,
    /// Of the orders a second without them.
    pub ratio: f64,
}

impl Report {
    pub fn print(&self) {
        let Report { protocol, rounds, seconds, connections, skus, most, half, .. } = self;
        println!(
            "orders over {protocol}: {connections} in flight, {skus} SKU(s), medians of {rounds} rounds of {seconds} s"
        );
        println!(
            "  most       {:>8.0} durable orders/s   rounds {:.0?}",
            most.accepted_per_s, self.most_per_s_by_round
        );
        println!(
            "             p50 {:.1} ms   p99 {:.1} ms   p99.9 {:.1} ms",
            most.p50_ms, most.p99_ms, most.p999_ms
        );
        println!(
            "  at half    {:>8.0} durable orders/s   p50 {:.1} ms   p99 {:.1} ms   p99.9 {:.1} ms",
            half.accepted_per_s, half.p50_ms, half.p99_ms, half.p999_ms
        );
        println!("  us an order {:>7.1}   the parts come to {:.0}", self.cpu_us, self.floor_us);
        for (name, us) in &most.cpu_us {
            println!(
                "    {name:<10} {us:>7.1}   {:>7.1} at half",
                half.cpu_us.get(name).copied().unwrap_or(0.0)
            );
        }
        if let Some(Grown { orders, filled_in_s, most, ratio }) = &self.grown {
            println!(
                "  beside {orders} orders (filled in {filled_in_s:.0} s) {:>8.0} durable orders/s   ratio {ratio:.2}   p99 {:.1} ms",
                most.accepted_per_s, most.p99_ms
            );
        }
        for difference in &self.differences {
            println!("  DIFFERENCE  {difference}");
        }
        if self.differences.is_empty() {
            println!("  the books agree: orders accepted = orders in the books = units held");
        }
    }
}
