//! ListOrders: a page of one buyer's orders, his own or, for staff, anybody's or everybody's. A page costs the same however many orders there are
//! and however deep it lies: it is one stretch of an index, of bounded length.

use sqlx::PgConnection;
use stampede_kit as kit;
use stampede_types::BuyerId;
use time::OffsetDateTime;

use crate::create::buyer;
use crate::domain::order::Order;
use crate::domain::page::{self, After, List, Sort, Stretch};
use crate::domain::state::{OrderState, PaymentState};
use crate::error::Error;
use crate::orders::Orders;
use crate::read::STAFF;
use crate::store;

/// Orders that are looked at for one page. A filter that finds few of them gives a short page and a token to go on with.
const LOOKED_AT: i64 = 2_000;

/// One page and the token of the next, empty when this is the last.
#[derive(Debug)]
pub struct Page {
    pub orders: Vec<Order>,
    pub next: String,
}

/// Which page of whose orders.
#[derive(Debug, Default)]
pub struct Query {
    /// Empty means the caller's own, or everybody's.
    pub buyer: String,
    pub everybody: bool,
    pub state: Option<OrderState>,
    pub payment: Option<PaymentState>,
    /// Placed then or later.
    pub from: Option<OffsetDateTime>,
    /// Placed before then.
    pub to: Option<OffsetDateTime>,
    pub sort: Sort,
    /// 0 means the usual size.
    pub size: u32,
    /// Empty means the first page.
    pub token: String,
}

impl Orders {
    pub(crate) async fn list(&self, cx: &kit::Context, query: Query) -> Result<Page, Error> {
        let whose = whose(&query, cx)?;
        let Query { state, payment, from, to, sort, size, token, .. } = query;
        let list = List { buyer: whose, state, payment, from, to, sort };
        self.page(&list, size, &token).await
    }

    async fn page(&self, list: &List, size: u32, token: &str) -> Result<Page, Error> {
        let after = match token {
            "" => None,
            token => Some(list.after(token).map_err(|_| Error::PageToken)?),
        };
        let size = if size == 0 { page::DEFAULT_SIZE } else { size.min(page::MAX_SIZE) };
        let stretch = list.stretch(after);
        if list.is_filtered() {
            // Two statements, and orders that were placed between them would be looked at again.
            let mut tx = store::list::at_one_instant(&self.db).await?;
            let page = read(&mut tx, list, stretch, size).await?;
            tx.commit().await?;
            return Ok(page);
        }
        read(&mut *self.db.acquire().await?, list, stretch, size).await
    }
}

async fn read(conn: &mut PgConnection, list: &List, stretch: Stretch, size: u32) -> Result<Page, Error> {
    // One more than asked for tells whether there is a next page.
    let limits = store::list::Limits { found: i64::from(size) + 1, looked_at: LOOKED_AT };
    let mut orders = store::list::page(&mut *conn, list, stretch, limits).await?;
    let more = orders.len() > size as usize;
    orders.truncate(size as usize);
    let end = match orders.last() {
        Some(last) if more => Some(After { created_at: last.created_at, order: last.id }),
        // Few were found: there may be more behind what was looked at.
        Some(_) | None if list.is_filtered() => {
            store::list::last_looked_at(&mut *conn, list, stretch, limits).await?
        }
        Some(_) | None => None,
    };
    Ok(Page { orders, next: end.map_or_else(String::new, |end| list.token(end)) })
}

/// Whose orders are asked for, by somebody who may see them; `None` for everybody's.
fn whose(query: &Query, cx: &kit::Context) -> Result<Option<BuyerId>, Error> {
    let staff = cx.caller()?.may(STAFF);
    if query.everybody {
        return match (staff, query.buyer.is_empty()) {
            (true, true) => Ok(None),
            (true, false) => Err(Error::Invalid {
                field: "buyer_id".into(),
                rule: "must be empty when everybody's are asked for",
            }),
            (false, _) => Err(Error::NotAllowed),
        };
    }
    let own = buyer(cx)?;
    let whose = if query.buyer.is_empty() { own.clone() } else { parse_buyer(&query.buyer)? };
    if whose == own || staff { Ok(Some(whose)) } else { Err(Error::NotAllowed) }
}

fn parse_buyer(name: &str) -> Result<BuyerId, Error> {
    name.parse().map_err(|_| Error::Invalid { field: "buyer_id".into(), rule: "is no buyer's name" })
}
