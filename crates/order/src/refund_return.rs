//! The last steps of a return: its money goes back, then its units are put back on sale when they shall be. Each is asked for
//! under an id derived from the return's own, so that asking again is asking once. What was found out is written under the
//! order's row lock and only while our claim stands: a shipment or another return meanwhile is in nobody's way.

use stampede_kit as kit;
use uuid::Uuid;

use crate::domain::order::Order;
use crate::domain::returns::{Return, ReturnEvent, Settled};
use crate::domain::saga::Outcome;
use crate::domain::state::PaymentState;
use crate::drive::Then;
use crate::error::Error;
use crate::events;
use crate::orders::Orders;
use crate::store;
use crate::store::saga::Work;

impl Orders {
    /// Asks payment for the refund. No money moves for nothing.
    pub(crate) async fn give_money_back(&self, order: &Order, work: &Work) -> Outcome {
        let Some((back, settled)) = received(order, work.return_id) else { return not_received() };
        if settled.refund.amount_minor() == 0 {
            return Outcome::Done;
        }
        let Some(payment) = order.payment else {
            return Outcome::Refused("no payment was begun".into());
        };
        // One return of an order is paid at a time: when this one is, all of them are.
        self.peers.refund(payment, back.refund_id(), settled.refund).await
    }

    /// Asks inventory to sell the units again, when they shall be.
    pub(crate) async fn put_back_on_sale(&self, order: &Order, work: &Work) -> Outcome {
        let Some((back, settled)) = received(order, work.return_id) else { return not_received() };
        if !settled.restock {
            return Outcome::Done;
        }
        self.peers.return_units(order, back.stock_id(), &back.units).await
    }

    /// Writes what comes next. False when the claim was lost meanwhile: then nothing was written.
    pub(crate) async fn write_return(
        &self,
        order: &mut Order,
        work: &Work,
        then: Then<'_>,
    ) -> Result<bool, Error> {
        let mut tx = kit::postgres::begin(&self.db).await?;
        let mut now = store::orders::lock(&mut tx, order.id).await?.ok_or(Error::NotFound)?.order;
        let (ours, told) = match then {
            Then::Go(step) => {
                now.payment_state = given_back(&now);
                (store::saga::go(&mut tx, work, step, self.saga_lease).await?.is_some(), None)
            }
            Then::End => {
                let at = now.returns.iter().position(|back| Some(back.id) == work.return_id);
                let at = at.ok_or(Error::ReturnNotFound)?;
                now.payment_state = given_back(&now);
                now.returns[at].state = now.returns[at].state.on(ReturnEvent::Refund)?;
                store::returns::change(&mut tx, &now.returns[at]).await?;
                let told = events::return_refunded(&now, &now.returns[at], self.clock.now());
                (store::saga::end(&mut tx, work).await?, Some(told))
            }
            Then::Park(why) => {
                // The order stands where it stood: only its refund needs somebody.
                let told = events::needs_review(now.id, why, self.clock.now());
                (store::saga::park(&mut tx, work, why).await?, Some(told))
            }
        };
        if !ours || !store::orders::change(&mut tx, &now).await? {
            return Ok(false);
        }
        kit::outbox::append(&mut tx, told.as_slice()).await?;
        tx.commit().await?;
        now.version += 1;
        *order = now;
        self.watching.changed(order.id, order.version);
        self.wake.wake();
        Ok(true)
    }
}

/// The return of this work, with what was decided about it.
fn received(order: &Order, id: Option<Uuid>) -> Option<(&Return, Settled)> {
    let back = order.returns.iter().find(|back| Some(back.id) == id)?;
    Some((back, back.settled?))
}

fn not_received() -> Outcome {
    Outcome::Refused("the return was not received".into())
}

/// Money's side of an order once its refunds are paid.
fn given_back(order: &Order) -> PaymentState {
    if order.refunded.amount_minor() == 0 {
        order.payment_state
    } else if order.refunded == order.total {
        PaymentState::Refunded
    } else {
        PaymentState::PartiallyRefunded
    }
}
