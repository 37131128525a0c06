//! GetOrder and ListOrders. A buyer sees his own orders and learns nothing of others, not even that they exist; staff see all.

use stampede_kit as kit;
use stampede_types::OrderId;

use crate::create::buyer;
use crate::domain::order::Order;
use crate::domain::page::{self, After, List};
use crate::domain::state::OrderState;
use crate::error::Error;
use crate::orders::Orders;
use crate::store;

/// Grants sight of everybody's orders.
const STAFF: &str = "PERMISSION_ORDER_ADMIN";

/// One page and the token of the next, empty when this is the last.
#[derive(Debug)]
pub struct Page {
    pub orders: Vec<Order>,
    pub next: String,
}

/// Which page of whose orders.
#[derive(Debug, Default)]
pub struct Query {
    /// Empty means the caller's own.
    pub buyer: String,
    pub state: Option<OrderState>,
    /// 0 means the usual size.
    pub size: u32,
    /// Empty means the first page.
    pub token: String,
}

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

    pub(crate) async fn list(&self, cx: &kit::Context, query: Query) -> Result<Page, Error> {
        let own = buyer(cx)?;
        let whose = if query.buyer.is_empty() { own.clone() } else { parse_buyer(&query.buyer)? };
        if whose != own && !cx.caller()?.may(STAFF) {
            return Err(Error::NotAllowed);
        }
        let list = List { buyer: whose, state: query.state };
        self.page(&list, query.size, &query.token).await
    }

    async fn page(&self, list: &List, size: u32, token: &str) -> Result<Page, Error> {
        let after = match token {
            "" => None,
            token => Some(list.after(token).map_err(|_| Error::PageToken)?),
        };
        let size = if size == 0 { page::DEFAULT_SIZE } else { size.min(page::MAX_SIZE) };
        let mut conn = self.db.acquire().await?;
        // One more than asked for tells whether there is a next page.
        let mut orders = store::orders::page(&mut conn, list, after, i64::from(size) + 1).await?;
        let more = orders.len() > size as usize;
        orders.truncate(size as usize);
        let next = match orders.last() {
            Some(last) if more => list.token(After { created_at: last.created_at, order: last.id }),
            Some(_) | None => String::new(),
        };
        Ok(Page { orders, next })
    }
}

fn parse_buyer(name: &str) -> Result<stampede_types::BuyerId, Error> {
    name.parse().map_err(|_| Error::Invalid { field: "buyer_id".into(), rule: "is no buyer's name" })
}
