//! A shipment whose money is taken first: the order stays as it is until the provider has given it. What the provider refuses is asked
//! for again, under another id each time, with somebody alerted; the units do not leave before.

use std::sync::Arc;

use sqlx::{Postgres, Transaction};
use stampede_kit as kit;
use stampede_types::Money;
use tokio::time::Instant;

use crate::domain::method::Method;
use crate::domain::order::{CaptureAt, Order};
use crate::domain::retry::{self, Pace};
use crate::domain::saga::{Outcome, Step};
use crate::domain::state::PaymentState;
use crate::drive::Then;
use crate::error::Error;
use crate::events;
use crate::orders::Orders;
use crate::store;
use crate::store::saga::{DueShipment, Work};

impl Orders {
    /// Whether the money of an order paid like this is held until its units leave. Several tenders are taken at once.
    pub(crate) fn is_captured_later(&self, order: &Order, method: Option<&Method>) -> bool {
        let one = method.is_none_or(|method| method.tenders.is_empty());
        self.capture_at == CaptureAt::Shipment && one && !order.is_free()
    }

    /// Begins to take the money of these units; the order with its shipment when it could be taken in time.
    pub(crate) async fn ship_paid(
        self: &Arc<Self>,
        mut tx: Transaction<'_, Postgres>,
        order: &Order,
        due: DueShipment,
        until: Instant,
    ) -> Result<Order, Error> {
        let begun = store::saga::due_shipment(&mut *tx, order.id).await?;
        match begun {
            Some(begun) if begun.shipment == due.shipment && begun.fingerprint == due.fingerprint => {
                tx.rollback().await?;
            }
            Some(begun) if begun.shipment == due.shipment => return Err(Error::ShipmentConflict),
            Some(_) => return Err(Error::Busy),
            None => {
                let work = Work::new(order.id, Step::CaptureShipment);
                if !store::saga::begin(&mut tx, &work, self.saga_lease).await? {
                    return Err(Error::Busy);
                }
                store::saga::insert_due_shipment(&mut tx, order.id, &due).await?;
                tx.commit().await?;
                self.drive_until(work, until).await;
            }
        }
        let order = self.order(order.id).await?.ok_or(Error::NotFound)?;
        if order.shipments.iter().any(|there| there.id == due.shipment) {
            return Ok(order);
        }
        match store::saga::due_shipment(&self.db, order.id).await? {
            // It is tried again, whether anybody asks or not.
            Some(waiting) if !waiting.decline.is_empty() => Err(Error::Declined { class: waiting.decline }),
            Some(_) | None => Err(Error::Busy),
        }
    }

    pub(crate) async fn capture_shipment(&self, order: &Order) -> Outcome {
        let Some(payment) = order.payment else {
            return Outcome::Refused("no payment was begun".into());
        };
        match store::saga::due_shipment(&self.db, order.id).await {
            Ok(Some(due)) => {
                let capture = order.shipment_capture_id(due.shipment, due.refused);
                let part = Money::new(due.amount_minor, order.total.currency());
                self.peers.capture_part(payment, capture, part).await
            }
            Ok(None) => Outcome::Refused("no shipment waits".into()),
            Err(error) => Outcome::Away(error.to_string()),
        }
    }

    /// The provider did not give what it holds. False when the claim was lost meanwhile: then nothing was written.
    pub(crate) async fn refused(&self, order: &Order, work: &Work, class: &str) -> Result<bool, Error> {
        let delay = retry::delay(Pace::Refused, work.attempt + 1, rand::random());
        let mut tx = kit::postgres::begin(&self.db).await?;
        if !store::saga::again(&mut *tx, work, Pace::Refused, class, delay).await? {
            return Ok(false);
        }
        store::saga::shipment_refused(&mut tx, order.id, class).await?;
        tx.commit().await?;
        self.metrics.captures_refused.add(1, &[]);
        tracing::error!(order = %order.id, class, attempt = work.attempt + 1, "the money of a shipment was refused: its units stay");
        Ok(true)
    }

    /// Writes what comes next. False when the claim was lost meanwhile: then nothing was written.
    pub(crate) async fn write_shipment(
        &self,
        order: &mut Order,
        work: &Work,
        then: Then<'_>,
    ) -> Result<bool, Error> {
        let mut tx = kit::postgres::begin(&self.db).await?;
        let now = store::orders::lock(&mut tx, order.id).await?.ok_or(Error::NotFound)?.order;
        let due = store::saga::due_shipment(&mut *tx, order.id).await?;
        let (ours, next, told) = match (then, due) {
            (Then::End, Some(due)) => {
                let ours = store::saga::end(&mut tx, work).await?;
                let (mut next, told) = self.leave(&mut tx, &now, &due).await?;
                let left = now.uncaptured.amount_minor() - due.amount_minor;
                next.uncaptured = Money::new(left, now.total.currency());
                if left == 0 && next.payment_state == PaymentState::Authorized {
                    next.payment_state = PaymentState::Paid;
                }
                (ours, next, told)
            }
            (Then::Park(why), _) => {
                // The order stands where it stood: only this shipment needs somebody.
                tracing::error!(order = %order.id, why, "a shipment needs a person");
                let told = events::needs_review(now.id, why, self.clock.now());
                (store::saga::park(&mut tx, work, why).await?, now, told)
            }
            (Then::End | Then::Go(_), _) => return Ok(false),
        };
        if !ours || !store::orders::change(&mut tx, &next).await? {
            return Ok(false);
        }
        kit::outbox::append(&mut tx, &[told]).await?;
        tx.commit().await?;
        *order = next;
        order.version += 1;
        self.watching.changed(order.id, order.version);
        self.wake.wake();
        Ok(true)
    }
}
