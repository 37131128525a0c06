//! Kill -9 of Postgres: nobody can be told yes until it has recovered, and nobody who was is forgotten.

use super::Fault;
use crate::drill::shop::Shop;
use crate::servers::Kind;

pub struct PostgresRestart;

impl Fault for PostgresRestart {
    fn hurt(&mut self, shop: &mut Shop) -> anyhow::Result<()> {
        shop.stack.servers_mut().kill9(Kind::Postgres)
    }

    fn heal(&mut self, shop: &mut Shop) -> anyhow::Result<()> {
        shop.stack.servers_mut().restart(Kind::Postgres)
    }
}
