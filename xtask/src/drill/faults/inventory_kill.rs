//! Kill -9 of inventory between any two steps of hundreds of purchases: answers are lost, units stay put aside at the gate.
//! First one process dies and the others go on; then the others die too, and all are started again.

use super::Fault;
use crate::drill::shop::Shop;

pub struct InventoryKill;

impl Fault for InventoryKill {
    fn hurt(&mut self, shop: &mut Shop) -> anyhow::Result<()> {
        shop.processes().iter().take(1).try_for_each(|process| shop.stack.kill9(process))
    }

    fn heal(&mut self, shop: &mut Shop) -> anyhow::Result<()> {
        shop.processes().iter().try_for_each(|process| shop.stack.kill9(process))?;
        shop.start()
    }
}
