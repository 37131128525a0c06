//! ListReviews and ResolveReview: what waits for a person is seen, and a decision is carried out and kept with who made it. The
//! decision, the order and its saga change in one commit; what follows is the saga's, as always.

use std::collections::HashMap;
use std::sync::Arc;

use stampede_kit as kit;
use stampede_types::{OrderId, PaymentId};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::domain::order::Order;
use crate::domain::page;
use crate::domain::review::{self, Facts, Impossible, Plan, Resolution, plan, possible, possible_late};
use crate::domain::saga::{Next, Step};
use crate::error::Error;
use crate::events;
use crate::orders::Orders;
use crate::pay::answer_by;
use crate::store;
use crate::store::review::{Decision, Parked};

/// An order that waits, what may be decided, and what was decided before.
#[derive(Debug)]
pub struct Review {
    pub order: Order,
    pub parked: Parked,
    pub possible: Vec<Resolution>,
    pub decisions: Vec<(Decision, OffsetDateTime)>,
}

#[derive(Debug)]
pub struct Page {
    pub reviews: Vec<Review>,
    /// Empty when this is the last.
    pub next: String,
}

#[derive(Debug, Clone)]
pub struct Resolve {
    pub id: Uuid,
    pub order: OrderId,
    /// The payment whose late money it is about; none for the order itself.
    pub payment: Option<PaymentId>,
    pub resolution: Resolution,
    pub note: String,
}

impl Orders {
    pub(crate) async fn reviews(&self, size: u32, token: &str) -> Result<Page, Error> {
        let after = match token {
            "" => None,
            token => Some(review::after(token).map_err(|_| Error::PageToken)?),
        };
        let size = if size == 0 { page::DEFAULT_SIZE } else { size.min(page::MAX_SIZE) } as usize;
        let mut conn = self.db.acquire().await?;
        // One more than asked for tells whether there is a next page.
        let mut parked = store::review::parked(&mut *conn, after, size as i64 + 1).await?;
        let more = parked.len() > size;
        parked.truncate(size);
        let next = match parked.last() {
            Some(last) if more => review::token(last.place()),
            Some(_) | None => String::new(),
        };
        let ids: Vec<Uuid> = parked.iter().map(|parked| parked.order.uuid()).collect();
        let orders: HashMap<OrderId, Order> = store::orders::by_ids(&mut conn, &ids)
            .await?
            .into_iter()
            .map(|stored| (stored.order.id, stored.order))
            .collect();
        let mut decided: HashMap<OrderId, Vec<_>> = HashMap::new();
        for decision in store::review::decisions(&mut *conn, &ids).await? {
            decided.entry(decision.0.order).or_default().push(decision);
        }
        let reviews = parked
            .into_iter()
            .filter_map(|parked| {
                // Every saga is of an order, and orders are never deleted. One may wait for more than one reason.
                let order = orders.get(&parked.order)?.clone();
                let decisions = decided.get(&parked.order).cloned().unwrap_or_default();
                Some(Review { possible: ways(&parked, &order), order, parked, decisions })
            })
            .collect();
        Ok(Page { reviews, next })
    }

    pub(crate) async fn resolve_review(
        self: &Arc<Self>,
        cx: &kit::Context,
        command: Resolve,
    ) -> Result<Order, Error> {
        let actor = cx.caller()?.subject.to_string();
        let until = answer_by(cx);
        let order = self.order(command.order).await?.ok_or(Error::NotFound)?;
        if let Some(payment) = command.payment {
            return self.resolve_late(&command, payment, actor).await;
        }
        if !self.was_decided(&command).await? {
            let facts = match command.resolution {
                Resolution::Confirm => self.peers.facts(&order).await.map_err(Error::of_peer)?,
                Resolution::Retry | Resolution::StepDone | Resolution::Cancel => Facts::default(),
            };
            self.decide_review(&command, actor, facts).await?;
        }
        self.settled(command.order, until).await
    }

    /// How often a person has had the order's own step, or this late money, tried again. A refund that was tried before that asks for
    /// nothing any more.
    pub(crate) async fn retries(&self, order: OrderId, payment: Option<PaymentId>) -> Result<u32, Error> {
        let decisions = store::review::decisions(&self.db, &[order.uuid()]).await?;
        let of_it = decisions
            .iter()
            .filter(|(decision, _)| decision.payment == payment && decision.resolution == Resolution::Retry);
        Ok(u32::try_from(of_it.count()).unwrap_or(u32::MAX))
    }

    /// Whether the same decision was made under this id before.
    pub(crate) async fn was_decided(&self, command: &Resolve) -> Result<bool, Error> {
        let made = store::review::decision(&self.db, command.id).await?;
        match made {
            None => Ok(false),
            Some(made)
                if (made.order, made.payment, made.resolution)
                    == (command.order, command.payment, command.resolution) =>
            {
                Ok(true)
            }
            Some(_) => Err(Error::ResolutionReused),
        }
    }

    /// One transaction: the decision, the order's states and its saga.
    async fn decide_review(&self, command: &Resolve, actor: String, facts: Facts) -> Result<(), Error> {
        let mut tx = kit::postgres::begin(&self.db).await?;
        let order = store::orders::lock(&mut tx, command.order).await?.ok_or(Error::NotFound)?.order;
        let Some(parked) = store::review::lock(&mut *tx, command.order).await? else {
            // The same decision may have come twice at once: the other one was first.
            tx.rollback().await?;
            return if self.was_decided(command).await? { Ok(()) } else { Err(Error::NotInReview) };
        };
        let step: Step = parked.step.parse().map_err(|_| unreadable(command.resolution))?;
        let Plan { resumed, next } = plan(command.resolution, step, &order, facts)?;
        let decision = Decision {
            id: command.id,
            order: command.order,
            payment: None,
            resolution: command.resolution,
            step: parked.step,
            reason: parked.reason,
            actor,
            note: command.note.clone(),
        };
        if !store::review::record(&mut tx, &decision).await? {
            // The same decision may have come twice at once, and the order waits for the next one already.
            tx.rollback().await?;
            return if self.was_decided(command).await? { Ok(()) } else { Err(Error::Busy) };
        }
        let resumed = order.with(&resumed)?;
        let change = match next {
            Next::Go(step, change) => {
                store::review::resume(&mut tx, command.order, step).await?;
                change
            }
            Next::End(change) => {
                store::review::end(&mut tx, command.order).await?;
                change
            }
            Next::Again(..) | Next::Refused(_) | Next::Buyer(_) | Next::Review(_) => {
                return Err(Error::Internal);
            }
        };
        let after = resumed.with(&change)?;
        if !store::orders::change(&mut tx, &after).await? {
            return Err(Error::Busy);
        }
        store::late::left_behind(&mut tx, &change, &after).await?;
        if let Some(fact) = events::reached(&after, &command.note, self.clock.now()) {
            kit::outbox::append(&mut tx, &[fact]).await?;
        }
        tx.commit().await?;
        tracing::info!(order = %command.order, resolution = %command.resolution, actor = decision.actor, "a review was resolved");
        self.metrics.resolved(command.resolution);
        self.metrics.reached(after.state);
        self.wake.wake();
        self.watching.changed(command.order, after.version + 1);
        Ok(())
    }
}

/// What may be decided. A step that only a later program knows is left to that program.
fn ways(parked: &Parked, order: &Order) -> Vec<Resolution> {
    match (parked.payment, parked.step.parse()) {
        (Some(payment), _) => possible_late(order, payment, &parked.reason),
        (None, Ok(step)) => possible(step, order),
        (None, Err(_)) => Vec::new(),
    }
}

fn unreadable(resolution: Resolution) -> Error {
    Impossible { resolution, step: "UNKNOWN", fact: "only a later program knows the step" }.into()
}
