//! DeliverOrder: a shipment has arrived. The order is delivered when all of it has. Saying so again changes nothing.

use stampede_kit as kit;
use stampede_types::OrderId;
use uuid::Uuid;

use crate::domain::order::{Change, Order};
use crate::domain::state::Event;
use crate::error::Error;
use crate::events;
use crate::orders::Orders;
use crate::store;

impl Orders {
    pub(crate) async fn deliver(&self, id: OrderId, shipment: Uuid) -> Result<Order, Error> {
        let mut tx = kit::postgres::begin(&self.db).await?;
        let mut order = store::orders::lock(&mut tx, id).await?.ok_or(Error::NotFound)?.order;
        let at = order.shipments.iter().position(|there| there.id == shipment);
        let at = at.ok_or(Error::ShipmentNotFound)?;
        let Some(delivered_at) = store::fulfilment::deliver(&mut tx, shipment).await? else {
            return Ok(order);
        };
        store::fulfilment::count_delivered(&mut tx, id, &order.shipments[at].units).await?;
        order.shipments[at].delivered_at = Some(delivered_at);
        let all = order.delivered_at().is_some();
        let event = if all { Event::AllDelivered } else { Event::PartDelivered };
        let next = order.with(&Change { event: Some(event), ..Change::default() })?;
        if !store::orders::change(&mut tx, &next).await? {
            return Err(Error::Busy);
        }
        let told = events::delivered(&next, &next.shipments[at], self.clock.now());
        kit::outbox::append(&mut tx, &[told]).await?;
        tx.commit().await?;
        self.wake.wake();
        self.watching.changed(id, next.version + 1);
        self.order(id).await?.ok_or(Error::NotFound)
    }
}
