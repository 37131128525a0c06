//! The books of all services, the provider's own, and what a consumer has heard, as they are when everything has settled. Only read.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use sqlx::{PgPool, Row as _};
use stampede_proto::order::v1::Promotion;
use uuid::Uuid;

use super::model::till::PROMOTIONS;
use super::talk::Counter;
use crate::harness::history::books as stock;
use crate::harness::stage::Stage;

/// One payment, by payment's account or by the provider's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Money {
    pub authorized: i64,
    pub captured: i64,
    pub voided: i64,
    pub refunded: i64,
}

impl Money {
    /// Held and neither taken nor let go.
    pub fn dangling(&self) -> i64 {
        self.authorized - self.captured - self.voided
    }

    pub fn kept(&self) -> i64 {
        self.captured - self.refunded
    }
}

#[derive(Debug, Clone)]
pub struct Payment {
    pub order: Option<Uuid>,
    pub state: String,
    /// Amounts that are reserved for something that is still to come.
    pub pending: i64,
    pub ours: Money,
    pub providers: Money,
}

/// A use of a promotion.
#[derive(Debug, Clone)]
pub struct Use {
    pub order: Uuid,
    pub promotion: String,
    pub buyer: String,
    pub amount: i64,
    pub state: String,
}

/// An event as it was written, or heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    pub event: Uuid,
    pub key: String,
    pub subject: String,
}

#[derive(Debug, Clone)]
pub struct Books {
    /// The state of every order there is.
    pub orders: BTreeMap<Uuid, String>,
    pub stock: stock::Books,
    pub payments: BTreeMap<Uuid, Payment>,
    /// The provider's sums over all payments, whoever asked for them.
    pub provider: Money,
    pub uses: Vec<Use>,
    pub promotions: BTreeMap<String, Promotion>,
    /// Decisions of a person, by order.
    pub decisions: BTreeMap<Uuid, i64>,
    /// Orders, and payments with late money, of which a person said that it was done by hand.
    pub by_hand: BTreeSet<Uuid>,
    /// Messages of the provider that contradict what is known.
    pub refused_webhooks: Vec<String>,
    /// By position.
    pub written: Vec<Told>,
    /// In the order in which they were handled.
    pub heard: Vec<Told>,
}

/// What the consumer of a stage keeps, in order's database.
pub const HEARD: &str = "CREATE TABLE heard (place bigint GENERATED ALWAYS AS IDENTITY, event_id uuid, event_key text, subject text)";

impl Books {
    pub async fn read(stage: &Stage, counter: &Counter) -> Self {
        let (order, payment) = (stage.database("order").await, stage.database("payment").await);
        let (mut payments, provider) = (payments(&payment).await, Provider::of(stage));
        for (id, payment) in &mut payments {
            payment.providers = provider.truth(&format!("/{id}")).await;
        }
        let mut promotions = BTreeMap::new();
        for known in &PROMOTIONS {
            promotions.insert(known.id.to_owned(), counter.promotion(known.id).await.unwrap());
        }
        let pairs = async |sql: &'static str| sqlx::query_as(sql).fetch_all(&order).await.unwrap();
        Self {
            orders: pairs("SELECT order_id, state FROM orders").await.into_iter().collect(),
            stock: stock::Books::read(&stage.database("inventory").await).await,
            provider: provider.truth("").await,
            uses: uses(&order).await,
            promotions,
            decisions: sqlx::query_as("SELECT order_id, count(*) FROM review_resolution GROUP BY order_id")
                .fetch_all(&order)
                .await
                .unwrap()
                .into_iter()
                .collect(),
            by_hand: sqlx::query_scalar(
                "SELECT coalesce(payment_id, order_id) FROM review_resolution WHERE resolution = 'STEP_DONE'",
            )
            .fetch_all(&order)
            .await
            .unwrap()
            .into_iter()
            .collect(),
            refused_webhooks: sqlx::query_scalar(
                "SELECT concat_ws(' ', webhook.event_id, 'of', webhook.payment_id, 'because', why, '; attempts',
                        (SELECT string_agg(operation || ' ' || state, ', ' ORDER BY created_at) FROM payment_attempt AS one
                         WHERE one.payment_id = webhook.payment_id),
                        '; facts', (SELECT string_agg(kind, ', ' ORDER BY at) FROM payment_event AS one
                                    WHERE one.payment_id = webhook.payment_id))
                 FROM webhook WHERE webhook.state = 'REFUSED'
                   -- A void that is refused is a conflict whoever says so first: the answer, or the webhook when the answer was lost.
                   AND NOT (why = 'a hold that cannot be let go' AND EXISTS (
                       SELECT FROM payment_attempt AS one WHERE one.payment_id = webhook.payment_id
                       AND operation = 'VOID' AND state = 'REFUSED'))
                 LIMIT 10",
            )
                .fetch_all(&payment)
                .await
                .unwrap(),
            written: told(&order, "SELECT event_id, event_key, subject FROM outbox ORDER BY position").await,
            heard: told(&order, "SELECT event_id, event_key, subject FROM heard ORDER BY place").await,
            payments,
        }
    }
}

async fn payments(db: &PgPool) -> BTreeMap<Uuid, Payment> {
    let found = sqlx::query(
        "SELECT payment_id, order_id, state, authorized_minor, captured_minor, voided_minor, refunded_minor,
                capture_pending_minor + refund_pending_minor AS pending FROM payment_intent",
    );
    let payment = |row: sqlx::postgres::PgRow| {
        let ours = Money {
            authorized: row.get("authorized_minor"),
            captured: row.get("captured_minor"),
            voided: row.get("voided_minor"),
            refunded: row.get("refunded_minor"),
        };
        let (order, state, pending) = (row.get("order_id"), row.get("state"), row.get("pending"));
        (row.get("payment_id"), Payment { order, state, pending, ours, providers: Money::default() })
    };
    found.fetch_all(db).await.unwrap().into_iter().map(payment).collect()
}

async fn uses(db: &PgPool) -> Vec<Use> {
    let found: Vec<(Uuid, String, String, i64, String)> =
        sqlx::query_as("SELECT order_id, promotion_id, buyer_id, amount_minor, state FROM order_promotion")
            .fetch_all(db)
            .await
            .unwrap();
    let a_use = |(order, promotion, buyer, amount, state)| Use { order, promotion, buyer, amount, state };
    found.into_iter().map(a_use).collect()
}

async fn told(db: &PgPool, sql: &'static str) -> Vec<Told> {
    let found: Vec<(Uuid, String, String)> = sqlx::query_as(sql).fetch_all(db).await.unwrap();
    found.into_iter().map(|(event, key, subject)| Told { event, key, subject }).collect()
}

/// The provider's own account.
struct Provider {
    http: reqwest::Client,
    url: String,
}

impl Provider {
    fn of(stage: &Stage) -> Self {
        let address = stage.stack.lock().unwrap().address("psp-simulator").unwrap();
        Self { http: reqwest::Client::new(), url: format!("http://{address}/v1/truth") }
    }

    /// One payment with its path, or all of them; nothing was done about one that it does not know.
    async fn truth(&self, path: &str) -> Money {
        let answer = self.http.get(format!("{}{path}", self.url)).send().await.unwrap();
        if answer.status() == reqwest::StatusCode::NOT_FOUND {
            return Money::default();
        }
        let body: Value = answer.json().await.unwrap();
        let one = if path.is_empty() { &body["by_currency"]["EUR"] } else { &body };
        let minor = |key: &str| one[key].as_i64().unwrap_or_else(|| panic!("the truth has no {key}: {body}"));
        Money {
            authorized: minor("authorized_minor"),
            captured: minor("captured_minor"),
            voided: minor("voided_minor"),
            refunded: minor("refunded_minor"),
        }
    }
}
