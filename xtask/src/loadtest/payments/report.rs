//! What a run says of itself: one table for people, one JSON object for machines. It decides nothing.

use serde::Serialize;

use crate::measure::Figures;

/// One run. Field names are the interface: scripts read them.
#[derive(Debug, Serialize)]
pub struct Report {
    pub rounds: u64,
    pub seconds: u64,
    pub paid: Vec<Paid>,
    pub refunds: Option<Refunded>,
    /// Each difference found in the books, as a sentence. Empty is what passes.
    pub differences: Vec<String>,
}

/// Payments, each authorised and captured: a request of the figures is both.
#[derive(Debug, Serialize)]
pub struct Paid {
    /// Of the provider, for each of the two calls.
    pub latency_ms: u64,
    pub in_flight: u64,
    /// Of the payment service, when the load had ended and nothing was closed yet.
    pub threads: u64,
    pub connections_to_provider: u64,
    pub connections_to_database: i64,
    pub figures: Figures,
}

/// Refunds of one minor unit, all of one payment.
#[derive(Debug, Serialize)]
pub struct Refunded {
    pub in_flight: u64,
    pub figures: Figures,
}

impl Report {
    pub fn print(&self) {
        let Report { rounds, seconds, .. } = self;
        println!("payments, authorised and captured: medians of {rounds} rounds of {seconds} s");
        for paid in &self.paid {
            let Paid { latency_ms, in_flight, figures, .. } = paid;
            println!("  provider {latency_ms} ms, {in_flight} in flight");
            print(figures);
            // Little's law: what is under way is what comes, times how long it takes.
            println!(
                "    rate x latency {:>6.0}   threads {}   connections to the provider {}, to the database {}",
                figures.accepted_per_s * figures.mean_ms / 1_000.0,
                paid.threads,
                paid.connections_to_provider,
                paid.connections_to_database
            );
        }
        if let Some(Refunded { in_flight, figures }) = &self.refunds {
            println!("refunds of 1 minor unit of one payment, {in_flight} in flight");
            print(figures);
        }
        for difference in &self.differences {
            println!("  DIFFERENCE  {difference}");
        }
        if self.differences.is_empty() {
            println!("  the books agree: every fact is booked, every payment is the sum of its facts");
        }
    }
}

fn print(figures: &Figures) {
    println!(
        "    {:>8.0}/s   mean {:.1} ms   p50 {:.1} ms   p99 {:.1} ms   {:.0} us each",
        figures.accepted_per_s,
        figures.mean_ms,
        figures.p50_ms,
        figures.p99_ms,
        figures.cpu_us_served()
    );
    for (name, us) in &figures.cpu_us {
        println!("      {name:<14} {us:>7.1}");
    }
}
