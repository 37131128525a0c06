//! ResolveReturn: staff approve a return, reject it, or say that its units are back. The last fixes the refund and begins the
//! saga that pays it, in one commit; what is answered is the return as it stands when there is no more time to wait.

use std::sync::Arc;

use stampede_kit as kit;
use stampede_types::OrderId;
use uuid::Uuid;

use crate::crash::CrashPoint;
use crate::domain::order::Order;
use crate::domain::refund::refund;
use crate::domain::returns::{Return, ReturnEvent, ReturnState, Settled};
use crate::domain::saga::Step;
use crate::error::Error;
use crate::events;
use crate::orders::Orders;
use crate::pay::answer_by;
use crate::request_return::find;
use crate::store;
use crate::store::saga::Work;

impl Orders {
    /// One return: of one's own order, or of anybody's for staff.
    pub(crate) async fn get_return(&self, cx: &kit::Context, id: Uuid) -> Result<(Order, Return), Error> {
        let order = store::returns::order_of(&self.db, id).await?.ok_or(Error::ReturnNotFound)?;
        match self.visible(cx, order).await {
            Ok(order) => find(order, id),
            Err(Error::NotFound) => Err(Error::ReturnNotFound),
            Err(error) => Err(error),
        }
    }

    /// `restock` says whether received units are sold again; it means nothing for the other events.
    pub(crate) async fn resolve_return(
        self: &Arc<Self>,
        cx: &kit::Context,
        id: Uuid,
        event: ReturnEvent,
        restock: bool,
    ) -> Result<(Order, Return), Error> {
        let until = answer_by(cx);
        let order = store::returns::order_of(&self.db, id).await?.ok_or(Error::ReturnNotFound)?;
        if let Some(work) = self.write_resolution(order, id, event, restock).await? {
            self.crash_at.reached(CrashPoint::AfterReturnReceived);
            self.drive_until(work, until).await;
        }
        let order = match event {
            ReturnEvent::Receive => self.settled(order, until).await?,
            ReturnEvent::Approve | ReturnEvent::Reject | ReturnEvent::Refund => {
                self.order(order).await?.ok_or(Error::NotFound)?
            }
        };
        find(order, id)
    }

    /// One transaction under the order's row lock. What there is to do about the money, when there is.
    async fn write_resolution(
        &self,
        order: OrderId,
        id: Uuid,
        event: ReturnEvent,
        restock: bool,
    ) -> Result<Option<Work>, Error> {
        let mut tx = kit::postgres::begin(&self.db).await?;
        let mut order = store::orders::lock(&mut tx, order).await?.ok_or(Error::ReturnNotFound)?.order;
        let at = order.returns.iter().position(|back| back.id == id).ok_or(Error::ReturnNotFound)?;
        let before = order.returns[at].clone();
        if before.state.is_past(event) {
            // Asked for again: only whether the units are sold again could be meant otherwise.
            let same = before.settled.is_none_or(|settled| settled.restock == restock);
            return if same || event != ReturnEvent::Receive { Ok(None) } else { Err(Error::ReturnConflict) };
        }
        let mut back = Return { state: before.state.on(event)?, ..before };
        let mut work = None;
        match back.state {
            ReturnState::Received => {
                let refund = refund(&order, &back.units);
                back.settled = Some(Settled { refund, restock });
                order.refunded = order.refunded.checked_add(refund).map_err(|_| Error::Internal)?;
                let begun = Work { return_id: Some(id), ..Work::new(order.id, Step::ReturnRefund) };
                if !store::saga::begin(&mut tx, &begun, self.saga_lease).await? {
                    return Err(Error::Busy);
                }
                work = Some(begun);
            }
            ReturnState::Rejected => store::returns::uncount(&mut tx, order.id, &back.units).await?,
            ReturnState::Requested | ReturnState::Approved | ReturnState::Refunded => {}
        }
        store::returns::change(&mut tx, &back).await?;
        order.returns[at] = back.clone();
        if !store::orders::change(&mut tx, &order).await? {
            return Err(Error::Busy);
        }
        let told = events::return_resolved(&order, &back, self.clock.now());
        kit::outbox::append(&mut tx, &[told]).await?;
        tx.commit().await?;
        self.watching.changed(order.id, order.version + 1);
        self.wake.wake();
        Ok(work)
    }
}
