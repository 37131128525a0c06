//! GetOrder, and whose order it is. A buyer sees his own orders and learns nothing of others, not even that they exist; staff see all.
//! Seeing is not doing: what a buyer does to an order, only its buyer does, whatever else he may see.

use stampede_kit as kit;
use stampede_types::OrderId;

use crate::domain::order::Order;
use crate::error::Error;
use crate::orders::Orders;

/// Grants sight of everybody's orders.
pub(crate) const STAFF: &str = "PERMISSION_ORDER_ADMIN";

impl Orders {
    /// The order, if it is this caller's.
    pub(crate) async fn own(&self, cx: &kit::Context, id: OrderId) -> Result<Order, Error> {
        let caller = cx.caller()?;
        let order = self.order(id).await?.ok_or(Error::NotFound)?;
        if order.buyer.as_str() == &*caller.subject { Ok(order) } else { Err(Error::NotFound) }
    }

    /// The order, if this caller may know of it.
    pub(crate) async fn visible(&self, cx: &kit::Context, id: OrderId) -> Result<Order, Error> {
        let caller = cx.caller()?;
        let order = self.order(id).await?.ok_or(Error::NotFound)?;
        if order.buyer.as_str() == &*caller.subject || caller.may(STAFF) {
            Ok(order)
        } else {
            Err(Error::NotFound)
        }
    }
}
