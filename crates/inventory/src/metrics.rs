//! What inventory counts. Labels are words of the contract, never ids.

use std::fmt;

use opentelemetry::metrics::{Counter, Gauge, Histogram, UpDownCounter};
use stampede_kit::metrics::{self, KeyValue};

/// The instruments, made once a process.
pub struct Metrics {
    reservations: Counter<u64>,
    /// Refused by the flag of this process, without Redis or Postgres.
    pub sold_out_locally: Counter<u64>,
    /// Cells whose units came back, as other processes were told (or not, when too many waited) and as they told us.
    pub reopened: Counter<u64>,
    pub gate_loads: Counter<u64>,
    /// Units by which gate and ledger differ, over all cells.
    pub gate_drift: Gauge<i64>,
    /// Units by which the sides differed in the last lap around the ledger, by kind.
    pub drift: Gauge<i64>,
    /// Differences by kind and by what was done.
    pub reconciliations: Counter<u64>,
    pub gate_batch: Histogram<f64>,
    pub watchers: UpDownCounter<i64>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            reservations: metrics::counter(
                "inventory_reservations",
                "Reservations and deductions by outcome",
            ),
            sold_out_locally: metrics::counter(
                "inventory_sold_out_locally",
                "Sold-out answers of the local flag",
            ),
            reopened: metrics::counter(
                "inventory_reopened",
                "News of cells whose units came back: told, heard or dropped",
            ),
            gate_loads: metrics::counter(
                "inventory_gate_loads",
                "Cells loaded into the gate from the ledger",
            ),
            gate_drift: metrics::gauge("inventory_gate_drift", "Units by which gate and ledger differ"),
            drift: metrics::gauge("inventory_drift", "Units by which two sides of the books differ, by kind"),
            reconciliations: metrics::counter(
                "inventory_reconciliations",
                "Differences found, by kind and by what was done",
            ),
            gate_batch: metrics::histogram(
                "inventory_gate_batch",
                "Requests one script call decided",
                "{request}",
            ),
            watchers: metrics::up_down("inventory_watchers", "Open stock feeds"),
        }
    }
}

impl Metrics {
    /// `outcome` is HELD, DEDUCTED, COMMITTED, RELEASED, EXPIRED, or the reason of a refusal.
    pub fn reservation(&self, outcome: &'static str, count: u64) {
        self.reservations.add(count, &[KeyValue::new("outcome", outcome)]);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
