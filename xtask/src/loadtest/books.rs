//! The business, checked after a run straight in the stores: units sold, orders placed, buyers' limits, gate against
//! ledger. It only reads.

use std::time::Duration;

use anyhow::Context as _;
use sqlx::PgPool;

/// What the stores say of one campaign with one SKU.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Units the campaign put on sale.
    pub put_on_sale: i64,
    /// Held and committed units, from the stock row.
    pub ledger_sold: i64,
    pub ledger_free: i64,
    /// Held and committed units, from the reservations.
    pub reserved: i64,
    /// Orders, and their units, from the order service.
    pub orders: i64,
    pub ordered_units: i64,
    /// The most units one buyer has ordered, and the limit.
    pub most_per_buyer: i64,
    pub per_buyer_limit: i64,
    /// Free units at the gate; nothing when the gate holds no such pool.
    pub gate_free: Option<i64>,
}

impl Books {
    /// Units sold beyond what was put on sale.
    pub fn oversold(&self) -> i64 {
        (self.ledger_sold.max(self.ordered_units) - self.put_on_sale).max(0)
    }

    /// Every difference, as a sentence. `ambiguous` answers may or may not have placed an order.
    pub fn differences(&self, accepted: u64, ambiguous: u64) -> Vec<String> {
        let mut said = Vec::new();
        let mut differ = |wrong: bool, sentence: String| {
            if wrong {
                said.push(sentence);
            }
        };
        let Self { put_on_sale, ledger_sold, ledger_free, reserved, orders, ordered_units, .. } = *self;
        differ(self.oversold() > 0, format!("{} units were oversold", self.oversold()));
        differ(
            ledger_sold + ledger_free != put_on_sale,
            format!("{ledger_sold} sold and {ledger_free} free are not {put_on_sale} on sale"),
        );
        differ(
            ledger_sold != reserved,
            format!("the stock row says {ledger_sold} units are gone, the reservations {reserved}"),
        );
        // A hold without an order is legal only behind an answer that was lost; it expires.
        let lost = i64::try_from(ambiguous).unwrap_or(i64::MAX);
        differ(
            !(ordered_units..=ordered_units.saturating_add(lost)).contains(&ledger_sold),
            format!("{ledger_sold} units are gone from the ledger, {ordered_units} are in orders"),
        );
        let accepted = i64::try_from(accepted).unwrap_or(i64::MAX);
        differ(
            !(accepted..=accepted.saturating_add(lost)).contains(&orders),
            format!("{accepted} orders were accepted, {orders} were placed"),
        );
        differ(
            self.most_per_buyer > self.per_buyer_limit,
            format!("a buyer has {} units, the limit is {}", self.most_per_buyer, self.per_buyer_limit),
        );
        differ(
            self.gate_free.is_some_and(|gate| gate != ledger_free),
            format!("the gate has {:?} free, the ledger {ledger_free}", self.gate_free),
        );
        said
    }
}

/// Reads the books, waiting a little for the gate to catch up with what was given back.
pub async fn read(
    inventory: &PgPool,
    order: &PgPool,
    gate: &mut super::gate::Gate,
    campaign: &str,
    sku: &str,
) -> anyhow::Result<Books> {
    const ROUNDS: u32 = 40;
    let mut books = read_once(inventory, order, gate, campaign, sku).await?;
    for _ in 0..ROUNDS {
        if books.gate_free.is_none_or(|free| free == books.ledger_free) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(250)).await;
        books = read_once(inventory, order, gate, campaign, sku).await?;
    }
    Ok(books)
}

async fn read_once(
    inventory: &PgPool,
    order: &PgPool,
    gate: &mut super::gate::Gate,
    campaign: &str,
    sku: &str,
) -> anyhow::Result<Books> {
    let (on_hand, sold): (i64, i64) =
        sqlx::query_as("SELECT on_hand, held + committed FROM stock WHERE pool = $1 AND sku_id = $2")
            .bind(campaign)
            .bind(sku)
            .fetch_one(inventory)
            .await
            .context("the campaign's stock row could not be read")?;
    let (put_on_sale, per_buyer_limit): (i64, i64) = sqlx::query_as(
        "SELECT units, per_buyer_limit::bigint FROM campaign_item WHERE campaign_id = $1 AND sku_id = $2",
    )
    .bind(campaign)
    .bind(sku)
    .fetch_one(inventory)
    .await
    .context("the campaign's item could not be read")?;
    let (reserved,): (i64,) = sqlx::query_as(
        "SELECT coalesce(sum(l.quantity), 0)::bigint FROM reservation_line l JOIN reservation r USING (reservation_id)
         WHERE l.pool = $1 AND l.sku_id = $2 AND r.state IN ('PENDING', 'COMMITTED')",
    )
    .bind(campaign)
    .bind(sku)
    .fetch_one(inventory)
    .await
    .context("the reservations could not be read")?;
    let (orders, ordered_units, most_per_buyer): (i64, i64, i64) = sqlx::query_as(
        "SELECT coalesce(sum(orders), 0)::bigint, coalesce(sum(units), 0)::bigint, coalesce(max(units), 0)::bigint
         FROM (SELECT count(DISTINCT o.order_id) AS orders, sum(l.quantity) AS units
               FROM orders o CROSS JOIN LATERAL jsonb_to_recordset(o.lines) AS l (campaign_id text, quantity integer)
               WHERE l.campaign_id = $1 AND o.state NOT IN ('EXPIRED', 'CANCELLED', 'REJECTED') GROUP BY o.buyer_id) AS by_buyer",
    )
    .bind(campaign)
    .fetch_one(order)
    .await
    .context("the orders could not be read")?;
    let gate_free = gate.free(campaign, sku).await?;
    Ok(Books {
        put_on_sale,
        ledger_sold: sold,
        ledger_free: on_hand - sold,
        reserved,
        orders,
        ordered_units,
        most_per_buyer,
        per_buyer_limit,
        gate_free,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn even() -> Books {
        Books {
            put_on_sale: 10,
            ledger_sold: 4,
            ledger_free: 6,
            reserved: 4,
            orders: 4,
            ordered_units: 4,
            most_per_buyer: 1,
            per_buyer_limit: 1,
            gate_free: Some(6),
        }
    }

    #[test]
    fn even_books_have_nothing_to_say() {
        assert_eq!(even().differences(4, 0), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_named() {
        let wrong = [
            Books { ledger_sold: 11, ..even() },
            Books { ledger_free: 5, ..even() },
            Books { reserved: 3, ..even() },
            Books { ordered_units: 3, ..even() },
            Books { orders: 3, ..even() },
            Books { most_per_buyer: 2, ..even() },
            Books { gate_free: Some(7), ..even() },
        ];
        for books in wrong {
            assert!(!books.differences(4, 0).is_empty(), "{books:?}");
        }
    }

    #[test]
    fn a_lost_answer_may_have_placed_an_order() {
        let books = Books {
            orders: 5,
            ordered_units: 5,
            ledger_sold: 5,
            ledger_free: 5,
            reserved: 5,
            gate_free: Some(5),
            ..even()
        };
        assert_eq!(books.differences(4, 1), Vec::<String>::new());
        assert_eq!(books.differences(4, 0).len(), 1);
    }
}
