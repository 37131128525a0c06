//! The buyers' banks, by way of the provider's desk: what was given back is sent back, each refund once. It asks nobody of ours, and hears
//! nothing: payment is told by webhook.

use std::collections::BTreeSet;

use serde_json::json;
use sqlx::PgPool;
use tokio::sync::Mutex;
use uuid::Uuid;

use super::record::Answer;
use crate::harness::stage::Stage;

pub struct Bank {
    payments: PgPool,
    http: reqwest::Client,
    desk: String,
    /// The provider's names of refunds that were sent back.
    sent_back: Mutex<BTreeSet<String>>,
}

impl Bank {
    pub async fn of(stage: &Stage) -> Self {
        let address = stage.stack.lock().unwrap().address("psp-simulator").unwrap();
        Self {
            payments: stage.database("payment").await,
            http: reqwest::Client::new(),
            desk: format!("http://{address}/v1/desk"),
            sent_back: Mutex::default(),
        }
    }

    /// How many refunds were sent back.
    pub async fn sent_back(&self) -> usize {
        self.sent_back.lock().await.len()
    }

    /// Sends back what was given back last of what this order was paid with.
    pub async fn comes_back(&self, order: Option<Uuid>) -> Answer {
        let mut sent_back = self.sent_back.lock().await;
        let names: Vec<&String> = sent_back.iter().collect();
        let refund = sqlx::query_as(
            "SELECT e.payment_id, e.provider_reference, e.amount_minor
             FROM payment_event e JOIN payment_intent i USING (payment_id)
             WHERE i.order_id = $1 AND e.kind = 'REFUNDED' AND NOT e.provider_reference = ANY($2)
             ORDER BY e.position DESC LIMIT 1",
        )
        .bind(order)
        .bind(names);
        let found: Option<(Uuid, String, i64)> = match refund.fetch_optional(&self.payments).await {
            Ok(found) => found,
            Err(error) => return Answer::Unknown(error.to_string()),
        };
        let Some((payment, reference, amount)) = found else {
            return Answer::Refused { reason: "NOTHING_GIVEN_BACK".to_owned(), facts: [].into() };
        };
        let happening = json!({
            "payment": payment, "what": "refund_reversed", "reference": reference, "amount_minor": amount,
        });
        // The provider is never hurt: what it is asked for it does.
        let done = self.http.post(&self.desk).json(&happening).send().await.unwrap();
        done.error_for_status().unwrap();
        sent_back.insert(reference);
        Answer::CameBack { payment, amount }
    }
}
