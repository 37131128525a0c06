//! RequestReturn: a buyer wants to send back units that have arrived. The units are spoken for from here on, so that no two
//! returns want the same ones; money moves only when they are back. A completed order takes no return any more, and one with
//! an open return is not completed.

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use stampede_kit as kit;
use stampede_proto::order::v1::RequestReturnRequest;
use stampede_types::OrderId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::create::wanted;
use crate::domain::fulfilment::{self, MAX_PARTS};
use crate::domain::order::{Change, Order};
use crate::domain::returns::{Return, ReturnState};
use crate::domain::state::Event;
use crate::error::Error;
use crate::events;
use crate::orders::Orders;
use crate::ship::parse_id;
use crate::store;

impl Orders {
    /// The order and its return, whether by this call or an earlier one with the same content.
    pub(crate) async fn request_return(
        &self,
        cx: &kit::Context,
        id: OrderId,
        request: RequestReturnRequest,
    ) -> Result<(Order, Return), Error> {
        self.own(cx, id).await?;
        let fingerprint = Sha256::digest(request.encode_to_vec()).to_vec();
        let return_id = parse_id("return_id", &request.return_id)?;
        let asked = wanted(request.lines)?;
        let mut tx = kit::postgres::begin(&self.db).await?;
        let order = store::orders::lock(&mut tx, id).await?.ok_or(Error::NotFound)?.order;
        match store::returns::fingerprint(&mut *tx, return_id).await? {
            Some(before) if before == fingerprint => return find(order, return_id),
            Some(_) => return Err(Error::ReturnConflict),
            None => {}
        }
        let mut next = order.with(&Change { event: Some(Event::ReturnRequested), ..Change::default() })?;
        let units = fulfilment::take(&order.lines, &order.left_to_return(), &asked)?;
        if order.returns.len() >= MAX_PARTS {
            return Err(Error::TooManyParts);
        }
        let mut back = Return {
            id: return_id,
            state: ReturnState::Requested,
            units,
            reason: request.reason,
            settled: None,
            created_at: OffsetDateTime::UNIX_EPOCH,
        };
        back.created_at =
            store::returns::insert(&mut tx, id, &back, &fingerprint).await?.ok_or(Error::ReturnConflict)?;
        store::returns::count(&mut tx, id, &back.units).await?;
        next.returns.push(back.clone());
        if !store::orders::change(&mut tx, &next).await? {
            return Err(Error::Busy);
        }
        let told = events::return_requested(&next, &back, self.clock.now());
        kit::outbox::append(&mut tx, &[told]).await?;
        tx.commit().await?;
        self.watching.changed(id, next.version + 1);
        self.wake.wake();
        Ok((next, back))
    }
}

/// The order's return with this id.
pub(crate) fn find(order: Order, id: Uuid) -> Result<(Order, Return), Error> {
    let back = order.returns.iter().find(|back| back.id == id).cloned().ok_or(Error::ReturnNotFound)?;
    Ok((order, back))
}
