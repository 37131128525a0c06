//! What of an order has left and what has arrived, and which of its units somebody means who names a SKU. It never decides
//! whether the order may be shipped: its states do.

use stampede_types::Money;
use time::OffsetDateTime;
use uuid::Uuid;

use super::order::{Line, Order};
use super::pricing::Wanted;
use super::refund::worth_of_kept;

/// Shipments of one order, and returns of one order: more parts than that is a mistake.
pub const MAX_PARTS: usize = 100;

/// Units of one line of an order; lines are counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Units {
    pub line: usize,
    pub quantity: u32,
}

/// Units that left together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shipment {
    /// Chosen by whoever ships.
    pub id: Uuid,
    pub units: Vec<Units>,
    pub shipped_at: OffsetDateTime,
    pub delivered_at: Option<OffsetDateTime>,
}

/// Why what was asked for is not to be had; `at` is the place in the request, counted from 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    #[error("{sku} is not in the order")]
    NoSuchLine { at: usize, sku: String },
    #[error("only {left} units of {sku} are left")]
    TooMany { at: usize, sku: String, left: u32 },
}

impl Order {
    /// Of each line, what has not been shipped.
    #[must_use]
    pub fn left_to_ship(&self) -> Vec<u32> {
        let shipped = sum(self.lines.len(), self.shipments.iter().flat_map(|shipment| &shipment.units));
        let ordered = self.lines.iter().map(|line| line.quantity.get());
        ordered.zip(shipped).map(|(ordered, shipped)| ordered.saturating_sub(shipped)).collect()
    }

    /// What of its money is taken when these units leave: all that is still to be taken, less what the units that stay are worth. So
    /// what stays can be given back, whatever leaves first; shipping is taken with the last of it.
    #[must_use]
    pub fn share_of(&self, leaving: &[Units]) -> Money {
        let leaving = sum(self.lines.len(), leaving.iter());
        let left = self.left_to_ship().into_iter().zip(leaving).map(|(left, goes)| left.saturating_sub(goes));
        let left: Vec<u32> = left.collect();
        let open = self.uncaptured.amount_minor();
        let stays = if left.iter().all(|left| *left == 0) { 0 } else { worth_of_kept(self, &left) };
        Money::new((open - stays).clamp(0, open), self.total.currency())
    }

    /// Of each line, what has arrived.
    #[must_use]
    pub fn delivered(&self) -> Vec<u32> {
        let arrived = self.shipments.iter().filter(|shipment| shipment.delivered_at.is_some());
        sum(self.lines.len(), arrived.flat_map(|shipment| &shipment.units))
    }

    /// Of each line, what has arrived and no return speaks for.
    #[must_use]
    pub fn left_to_return(&self) -> Vec<u32> {
        let spoken_for = self.returns.iter().filter(|back| back.state.counts());
        let spoken_for = sum(self.lines.len(), spoken_for.flat_map(|back| &back.units));
        self.delivered().into_iter().zip(spoken_for).map(|(there, gone)| there.saturating_sub(gone)).collect()
    }

    /// When the last of the order arrived; nothing while some of it is still to be shipped or under way.
    #[must_use]
    pub fn delivered_at(&self) -> Option<OffsetDateTime> {
        let arrived: Option<Vec<_>> = self.shipments.iter().map(|shipment| shipment.delivered_at).collect();
        if self.left_to_ship().iter().any(|left| *left > 0) { None } else { arrived?.into_iter().max() }
    }
}

/// Units by line, over all of them.
#[must_use]
pub fn sum<'a>(lines: usize, units: impl Iterator<Item = &'a Units>) -> Vec<u32> {
    let mut by_line = vec![0_u32; lines];
    for unit in units {
        by_line[unit.line] += unit.quantity;
    }
    by_line
}

/// All that is left of each line.
#[must_use]
pub fn all(left: &[u32]) -> Vec<Units> {
    let every = left.iter().enumerate().map(|(line, quantity)| Units { line, quantity: *quantity });
    every.filter(|units| units.quantity > 0).collect()
}

/// Takes what is asked for from what is left of the lines with that SKU and pool, the first lines first.
///
/// # Errors
/// No such line, or not that many left.
pub fn take(lines: &[Line], left: &[u32], asked: &[Wanted]) -> Result<Vec<Units>, Unfit> {
    let mut left = left.to_vec();
    let mut taken = vec![0_u32; lines.len()];
    for (at, wanted) in asked.iter().enumerate() {
        let is_meant = |line: &Line| line.sku == wanted.sku && line.pool == wanted.pool;
        let meant: Vec<usize> = (0..lines.len()).filter(|line| is_meant(&lines[*line])).collect();
        let sku = wanted.sku.to_string();
        if meant.is_empty() {
            return Err(Unfit::NoSuchLine { at, sku });
        }
        let there: u32 = meant.iter().map(|line| left[*line]).sum();
        let mut missing = wanted.quantity.get();
        if missing > there {
            return Err(Unfit::TooMany { at, sku, left: there });
        }
        for line in meant {
            let now = left[line].min(missing);
            left[line] -= now;
            taken[line] += now;
            missing -= now;
        }
    }
    Ok(all(&taken))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stampede_types::{Money, Pool};

    use super::*;

    fn line(sku: &str, campaign: &str, quantity: u32) -> Line {
        let zero = Money::zero("EUR".parse().unwrap());
        Line {
            sku: sku.parse().unwrap(),
            pool: Pool::from_campaign_id(campaign).unwrap(),
            quantity: quantity.try_into().unwrap(),
            title: sku.to_owned(),
            unit_price: zero,
            discount: zero,
            total: zero,
        }
    }

    fn wanted(sku: &str, campaign: &str, quantity: u32) -> Wanted {
        let line = line(sku, campaign, quantity);
        Wanted { sku: line.sku, pool: line.pool, quantity: line.quantity }
    }

    #[test]
    fn a_sku_in_two_lines_is_taken_from_the_first_and_then_from_the_second() {
        let lines = [line("TEE", "", 2), line("TEE", "flash", 1), line("TEE", "", 2)];
        let taken = take(&lines, &[2, 1, 2], &[wanted("TEE", "", 2), wanted("TEE", "", 1)]).unwrap();
        assert_eq!(taken, [Units { line: 0, quantity: 2 }, Units { line: 2, quantity: 1 }]);
    }

    #[test]
    fn a_line_from_another_pool_is_another_line() {
        let lines = [line("TEE", "", 1)];
        let refused = take(&lines, &[1], &[wanted("TEE", "flash", 1)]);
        assert_eq!(refused, Err(Unfit::NoSuchLine { at: 0, sku: "TEE".into() }));
    }

    #[test]
    fn more_than_is_left_is_refused_with_what_is_left_though_it_is_asked_for_in_two_pieces() {
        let lines = [line("TEE", "", 3)];
        let refused = take(&lines, &[2], &[wanted("TEE", "", 1), wanted("TEE", "", 2)]);
        assert_eq!(refused, Err(Unfit::TooMany { at: 1, sku: "TEE".into(), left: 1 }));
    }

    proptest! {
        #[test]
        fn whatever_is_taken_is_what_was_asked_for_and_never_more_than_is_left(
            left in prop::collection::vec(0..5_u32, 1..6),
            asked in prop::collection::vec(1..4_u32, 1..6),
        ) {
            let lines: Vec<Line> = left.iter().map(|_| line("TEE", "", 5)).collect();
            let wants: Vec<Wanted> = asked.iter().map(|quantity| wanted("TEE", "", *quantity)).collect();
            let (asked, there): (u32, u32) = (asked.iter().sum(), left.iter().sum());
            match take(&lines, &left, &wants) {
                Ok(units) => {
                    prop_assert_eq!(units.iter().map(|unit| unit.quantity).sum::<u32>(), asked);
                    for (taken, left) in sum(left.len(), units.iter()).into_iter().zip(&left) {
                        prop_assert!(taken <= *left);
                    }
                }
                Err(Unfit::TooMany { .. }) => prop_assert!(asked > there),
                Err(unfit) => prop_assert!(false, "{unfit}"),
            }
        }
    }
}
