//! GetOrder, and who may see an order. A buyer sees his own orders and learns nothing of others, not even that they exist; staff
//! see all.

use stampede_kit as kit;
use stampede_types::OrderId;

use crate::domain::order::Order;
use crate::error::Error;
use crate::orders::Orders;

/// Grants sight of everybody's orders.
pub(crate) const STAFF: &str = "PERMISSION_ORDER_ADMIN";

impl Orders {
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
