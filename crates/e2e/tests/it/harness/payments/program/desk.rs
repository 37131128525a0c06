//! The provider's own desk: money moves that nobody here asked for, as far as the provider's books allow it now.

use rand::RngExt as _;
use stampede_proto::payment::v1::{GetPaymentRequest, PaymentEvent, PaymentEventKind};
use uuid::Uuid;

use super::{Asked, Client, PAUSE, TRIES};
use crate::harness::payments::card::Step;

impl Client {
    async fn truth(&self, what: &[&str]) -> Vec<i64> {
        let truth = self.till.truth(self.payment).await;
        what.iter().map(|what| truth[*what].as_i64().unwrap_or(0)).collect()
    }

    pub(super) async fn by_hand(&mut self) -> bool {
        let left = self.left().await.min(7);
        let name = self.name();
        self.happens("refunded_by_hand", &name, left).await
    }

    /// Captured, and neither given back nor in dispute.
    async fn left(&self) -> i64 {
        let minor = self.truth(&["captured_minor", "refunded_minor", "disputed_minor"]).await;
        minor[0] - minor[1] - minor[2]
    }

    /// And how it ends.
    pub(super) async fn dispute(&mut self, end: Option<&str>) -> bool {
        let (left, name) = (self.left().await.min(9), self.name());
        let opened = self.happens("dispute_opened", &name, left).await;
        match end {
            Some(end) => opened && self.happens(end, &name, left).await,
            None => opened,
        }
    }

    pub(super) async fn lapse(&mut self) -> bool {
        let minor = self.truth(&["authorized_minor", "captured_minor", "voided_minor"]).await;
        let name = self.name();
        self.happens("authorization_expired", &name, minor[0] - minor[1] - minor[2]).await
    }

    /// A refund that we know of comes back; one that is under way is waited for a while.
    pub(super) async fn comes_back(&mut self) -> bool {
        let is_given = |asked: &Asked| asked.step == Step::Refund && asked.was_accepted();
        for _ in 0..TRIES {
            if let Some((reference, amount)) = self.refunded().await {
                return self.happens("refund_reversed", &reference, amount).await;
            }
            if !self.asked.iter().any(is_given) {
                return false;
            }
            tokio::time::sleep(PAUSE).await;
        }
        false
    }

    /// The provider's name of a refund that is done, and how much it was.
    async fn refunded(&self) -> Option<(String, i64)> {
        let message = self.request(GetPaymentRequest { payment_id: self.payment.to_string() });
        let known = self.till.payments[0].clone().get_payment(message).await.ok()?.into_inner();
        let of_provider = |event: &&PaymentEvent| {
            event.kind() == PaymentEventKind::Refunded && !event.provider_reference.is_empty()
        };
        let event = known.events.iter().find(of_provider)?;
        Some((event.provider_reference.clone(), event.amount.as_ref()?.amount_minor))
    }

    async fn happens(&mut self, what: &str, reference: &str, amount_minor: i64) -> bool {
        let happened =
            amount_minor > 0 && self.till.happens(self.payment, what, reference, amount_minor).await;
        if happened {
            self.happened.push(format!("evt_{what}_{}_{reference}", self.payment));
        }
        self.told.push(format!("{what} {amount_minor} as {reference}: {happened}"));
        happened
    }

    fn name(&mut self) -> String {
        Uuid::from_u128(self.rng.random()).to_string()
    }
}
