//! Gifts are held with what was asked for, and stop no order: one that is not to be had is left out, and the price is made again
//! without its promotion, as if there were none. What was asked for is never asked for twice on their account.

use stampede_types::SkuId;
use tonic::Status;

use super::Asked;
use super::hold::Held;
use crate::domain::pricing::{Priced, Wanted};
use crate::domain::promotion::Promotion;
use crate::domain::quote::Quoted;
use crate::error::Error;
use crate::orders::Orders;

/// Prices that are tried with gifts: after so many the order goes without any.
const MAX_TRIES: usize = 3;

/// Gifts that are not to be had.
enum Gone {
    These(Vec<SkuId>),
    All,
}

impl Gone {
    fn has(&self, terms: &Promotion) -> bool {
        match (self, terms.action.gift()) {
            (_, None) => false,
            (Gone::These(skus), Some(gift)) => skus.contains(gift),
            (Gone::All, Some(_)) => true,
        }
    }
}

impl Orders {
    /// The price, with the gifts that could be held.
    pub(super) async fn hold_with_gifts(
        &self,
        asked: &Asked,
        quoted: Option<&Quoted>,
        priced: Priced,
    ) -> Result<(Priced, Held), Error> {
        if priced.lines.len() == asked.lines.len() {
            match self.hold(asked, &asked.lines).await {
                // An earlier try may hold gifts.
                Err(Error::KeyReused) => {}
                held => return Ok((priced, held?)),
            }
        }
        // Apart: an order without gifts is not as large as all this while it waits.
        Box::pin(self.hold_what_there_is(asked, quoted, priced)).await
    }

    async fn hold_what_there_is(
        &self,
        asked: &Asked,
        quoted: Option<&Quoted>,
        mut priced: Priced,
    ) -> Result<(Priced, Held), Error> {
        let (mut gone, mut tries) = (Vec::new(), 0);
        loop {
            let gifts = gifts(&priced, asked.lines.len());
            let wanted: Vec<Wanted> = asked.lines.iter().cloned().chain(gifts.iter().cloned()).collect();
            let held = self.hold(asked, &wanted).await;
            let Err(refused) = held else { return Ok((priced, held?)) };
            if let Error::Peer(status) = &refused
                && let Some(gift) = refused_gift(status, &gifts)
            {
                gone.push(gift);
            } else if matches!(refused, Error::KeyReused)
                && let missing = self.gifts_not_held(asked, &gifts).await?
                && !missing.is_empty()
            {
                gone.extend(missing);
            } else {
                return Err(refused);
            }
            tries += 1;
            let lost = if tries < MAX_TRIES { Gone::These(gone.clone()) } else { Gone::All };
            priced = self.price_without(asked.asker(), |terms| lost.has(terms)).await?;
            super::check_price(asked, quoted, &priced)?;
        }
    }

    /// An earlier try with this key may hold fewer gifts: which of these it does not.
    ///
    /// # Errors
    /// The key holds something else, or a gift that is not to be had any more: the hold of a try that died, which ends by itself.
    async fn gifts_not_held(&self, asked: &Asked, gifts: &[Wanted]) -> Result<Vec<SkuId>, Error> {
        let held = self.peers.held(asked.request.first_reservation()).await.map_err(Error::of_peer)?;
        let Some((lines, rest)) = held.split_at_checked(asked.lines.len()) else { return Ok(Vec::new()) };
        if lines != asked.lines {
            return Ok(Vec::new());
        }
        if rest.iter().any(|line| !gifts.contains(line)) {
            return Err(Error::FirstTryDied);
        }
        Ok(gifts.iter().filter(|gift| !rest.contains(gift)).map(|gift| gift.sku.clone()).collect())
    }
}

/// What comes on top of the lines that were asked for.
fn gifts(priced: &Priced, asked: usize) -> Vec<Wanted> {
    let gifts = priced.lines[asked..].iter();
    gifts
        .map(|line| Wanted { sku: line.sku.clone(), pool: line.pool.clone(), quantity: line.quantity })
        .collect()
}

/// The gift a refusal is about; none when it is about what was asked for.
fn refused_gift(status: &Status, gifts: &[Wanted]) -> Option<SkuId> {
    let (sku, campaign) = crate::peers::refused_cell(status)?;
    gifts
        .iter()
        .find(|gift| gift.sku.as_str() == sku && gift.pool.campaign_id() == campaign)
        .map(|gift| gift.sku.clone())
}
