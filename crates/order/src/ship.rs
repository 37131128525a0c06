//! ShipOrder: all that is left of a paid order leaves, or some units of it. A cancel and a shipment meet at the order's row
//! lock: the first one moves the order, and the other finds it moved and is told where it stands. Nothing is asked of a
//! peer: the stock was committed when the order was paid. Money that is still to be taken is taken first (`ship_paid`).

use std::sync::Arc;

use prost::Message as _;
use sha2::{Digest as _, Sha256};
use sqlx::PgConnection;
use stampede_kit as kit;
use stampede_kit::outbox::NewEvent;
use stampede_proto::order::v1::ShipOrderRequest;
use stampede_types::OrderId;
use uuid::Uuid;

use crate::create::wanted;
use crate::domain::fulfilment::{self, MAX_PARTS, Shipment, Units};
use crate::domain::order::{Change, Order};
use crate::domain::pricing::Wanted;
use crate::domain::state::Event;
use crate::error::Error;
use crate::events;
use crate::orders::Orders;
use crate::pay::answer_by;
use crate::store;
use crate::store::saga::DueShipment;

impl Orders {
    /// The order with its shipment, whether by this call or an earlier one with the same content.
    pub(crate) async fn ship(
        self: &Arc<Self>,
        cx: &kit::Context,
        id: OrderId,
        request: ShipOrderRequest,
    ) -> Result<Order, Error> {
        let until = answer_by(cx);
        let fingerprint = Sha256::digest(request.encode_to_vec()).to_vec();
        let shipment = parse_id("shipment_id", &request.shipment_id)?;
        let asked = wanted(request.lines)?;
        let mut tx = kit::postgres::begin(&self.db).await?;
        let order = store::orders::lock(&mut tx, id).await?.ok_or(Error::NotFound)?.order;
        match store::fulfilment::fingerprint(&mut *tx, shipment).await? {
            Some(before) if before == fingerprint => return Ok(order),
            Some(_) => return Err(Error::ShipmentConflict),
            None => {}
        }
        let units = choose(&order, &asked)?;
        let amount_minor = order.share_of(&units).amount_minor();
        let due =
            DueShipment { shipment, fingerprint, units, amount_minor, refused: 0, decline: String::new() };
        if amount_minor > 0 {
            return self.ship_paid(tx, &order, due, until).await;
        }
        // A refund that is under way, or waits for a person, is about what has come back.
        if store::saga::moves_the_order(&mut *tx, id).await? {
            return Err(Error::Busy);
        }
        let (next, told) = self.leave(&mut tx, &order, &due).await?;
        if !store::orders::change(&mut tx, &next).await? {
            return Err(Error::Busy);
        }
        kit::outbox::append(&mut tx, &[told]).await?;
        tx.commit().await?;
        self.wake.wake();
        self.watching.changed(id, next.version + 1);
        self.order(id).await?.ok_or(Error::NotFound)
    }

    /// Writes the shipment; the order with it, still to be written, and its event. The caller holds the order's row lock.
    pub(crate) async fn leave(
        &self,
        conn: &mut PgConnection,
        order: &Order,
        due: &DueShipment,
    ) -> Result<(Order, NewEvent), Error> {
        let whole = due.units == fulfilment::all(&order.left_to_ship());
        let event = if whole { Event::AllShipped } else { Event::PartShipped };
        let shipped_at =
            store::fulfilment::insert(conn, order.id, due.shipment, &due.fingerprint, &due.units)
                .await?
                .ok_or(Error::ShipmentConflict)?;
        store::fulfilment::count_shipped(conn, order, &due.units).await?;
        let mut next = order.with(&Change { event: Some(event), ..Change::default() })?;
        let shipment =
            Shipment { id: due.shipment, units: due.units.clone(), shipped_at, delivered_at: None };
        let told = events::shipped(&next, &shipment, self.clock.now());
        next.shipments.push(shipment);
        Ok((next, told))
    }
}

/// Which units leave.
fn choose(order: &Order, asked: &[Wanted]) -> Result<Vec<Units>, Error> {
    // Whatever may be shipped in part may be shipped whole: who is not in such a state is told so, and nothing else.
    order.state.on(Event::AllShipped)?;
    let left = order.left_to_ship();
    let units =
        if asked.is_empty() { fulfilment::all(&left) } else { fulfilment::take(&order.lines, &left, asked)? };
    if order.shipments.len() >= MAX_PARTS {
        return Err(Error::TooManyParts);
    }
    Ok(units)
}

pub(crate) fn parse_id(field: &str, text: &str) -> Result<Uuid, Error> {
    text.parse().map_err(|_| Error::Invalid { field: field.to_owned(), rule: "must be a UUID" })
}
