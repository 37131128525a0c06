//! ResolveReview of late money: it is tried again, or was given back by hand. The decision and what it does are one commit; the order
//! it came for goes on as it was.

use stampede_types::PaymentId;

use crate::domain::order::Order;
use crate::domain::review::{LATE_REFUND, LatePlan, plan_late};
use crate::error::Error;
use crate::orders::Orders;
use crate::review::Resolve;
use crate::store;
use crate::store::review::Decision;

impl Orders {
    /// The order, whether by this call or an earlier one with the same decision.
    pub(crate) async fn resolve_late(
        &self,
        command: &Resolve,
        payment: PaymentId,
        actor: String,
    ) -> Result<Order, Error> {
        if !self.was_decided(command).await? {
            self.decide_late(command, payment, actor).await?;
        }
        self.order(command.order).await?.ok_or(Error::NotFound)
    }

    async fn decide_late(&self, command: &Resolve, payment: PaymentId, actor: String) -> Result<(), Error> {
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        let order = store::orders::lock(&mut tx, command.order).await?.ok_or(Error::NotFound)?.order;
        let Some((watched, reason)) = store::late::lock_parked(&mut *tx, command.order, payment).await?
        else {
            // The same decision may have come twice at once: the other one was first.
            tx.rollback().await?;
            return if self.was_decided(command).await? { Ok(()) } else { Err(Error::NotInReview) };
        };
        let plan = plan_late(command.resolution, &order, payment, &reason)?;
        let decision = Decision {
            id: command.id,
            order: command.order,
            payment: Some(payment),
            resolution: command.resolution,
            step: LATE_REFUND.to_owned(),
            reason,
            actor,
            note: command.note.clone(),
        };
        if !store::review::record(&mut tx, &decision).await? {
            tx.rollback().await?;
            return if self.was_decided(command).await? { Ok(()) } else { Err(Error::Busy) };
        }
        let told = match plan {
            LatePlan::Again => {
                store::late::resume(&mut *tx, payment).await?;
                None
            }
            LatePlan::Told => {
                if !store::late::forget(&mut *tx, &watched).await? {
                    return Err(Error::Busy);
                }
                let amount = watched.giving_back.unwrap_or(0);
                Some(self.write_given_back(&mut tx, order, payment, amount).await?)
            }
        };
        tx.commit().await?;
        tracing::info!(order = %command.order, %payment, resolution = %command.resolution, actor = decision.actor, "late money was resolved");
        self.metrics.resolved(command.resolution);
        if let Some(order) = told {
            self.given_back(&order, payment);
        }
        Ok(())
    }
}
