//! The load that pays: so many payments in flight at once, each authorised and then captured as an order does it, or so many refunds of
//! one payment. It asks the payment service as the order service would, and tells nobody else.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use stampede_kit::client::{Channel, request};
use stampede_proto::common::v1::Money;
use stampede_proto::payment::v1::payment_method::Method;
use stampede_proto::payment::v1::payment_service_client::PaymentServiceClient;
use stampede_proto::payment::v1::{
    AuthorizePaymentRequest, CaptureMode, CapturePaymentRequest, CardToken, PaymentMethod, PaymentState,
    RefundPaymentRequest,
};
use tonic::Status;
use uuid::Uuid;

use super::pace::Pace;
use super::{Counters, Load, Tally};

const ANSWER_WITHIN: Duration = Duration::from_secs(10);
/// What a payment of the load is about, in minor units.
const PRICE: i64 = 1_999;
/// The provider tells nobody: what is measured is the asking.
const CARD: &str = "tok_webhook_never__capture_webhook_never__refund_webhook_never";

/// What a load asks for.
#[derive(Debug, Clone, Copy)]
pub enum Errand {
    /// Authorise, then capture. Both are one request of the load.
    Pay,
    /// Give one minor unit of this payment back.
    Refund(Uuid),
}

/// Somebody who pays, or gives back, one request after the other.
#[derive(Clone)]
pub struct Payer {
    client: PaymentServiceClient<Channel>,
    /// Names the payments and refunds of this run.
    run: Uuid,
}

impl Payer {
    pub fn new(channel: Channel, run: Uuid) -> Payer {
        Payer { client: PaymentServiceClient::new(channel), run }
    }

    /// A load with so many requests in flight, dealt out to these channels in turn.
    ///
    /// # Errors
    /// The load's thread cannot be started.
    pub fn load(
        channels: &[Channel],
        run: Uuid,
        errand: Errand,
        in_flight: usize,
        pace: &Arc<Pace>,
    ) -> anyhow::Result<Load> {
        let payers: Vec<Payer> = channels.iter().map(|channel| Payer::new(channel.clone(), run)).collect();
        let pace = Arc::clone(pace);
        Load::start(move |counters| {
            let dealt = payers.iter().cycle().take(in_flight);
            dealt.map(|payer| payer.clone().run(errand, Arc::clone(&pace), Arc::clone(counters))).collect()
        })
    }

    async fn run(
        mut self,
        errand: Errand,
        pace: Arc<Pace>,
        counters: Arc<Counters>,
    ) -> anyhow::Result<Tally> {
        let mut tally = Tally::new();
        while !counters.stop.load(Ordering::Relaxed) {
            let Some(due) = pace.next(Instant::now()) else { break };
            tokio::time::sleep_until(due.at.into()).await;
            let answer = match errand {
                Errand::Pay => self.pay(due.number, PRICE).await.map(drop),
                Errand::Refund(payment) => self.refund(payment, due.number).await,
            };
            // A gRPC status is one of seventeen.
            let status = answer.map_or_else(|status| status.code() as u8, |()| 0);
            let measured = counters.measuring.load(Ordering::Relaxed);
            tally.record(Some(status), measured.then(|| due.at.elapsed()));
            counters.publish(&mut tally);
        }
        Ok(tally)
    }

    /// A payment of its own, authorised and captured.
    ///
    /// # Errors
    /// The service's; what was not captured in the end counts as aborted.
    pub async fn pay(&mut self, number: u64, price: i64) -> Result<Uuid, Status> {
        let name = |what: &str| Uuid::new_v5(&self.run, format!("{what}/{number}").as_bytes());
        let (payment, order, capture) = (name("payment"), name("order"), name("capture"));
        let amount = Money { amount_minor: price, currency: "EUR".to_owned() };
        let card = CardToken { token: CARD.to_owned() };
        let authorize = AuthorizePaymentRequest {
            payment_id: payment.to_string(),
            order_id: order.to_string(),
            amount: Some(amount.clone()),
            method: Some(PaymentMethod { method: Some(Method::Card(card)) }),
            capture: CaptureMode::Manual.into(),
        };
        self.client.authorize_payment(request(authorize, ANSWER_WITHIN)).await?;
        let capture = CapturePaymentRequest {
            payment_id: payment.to_string(),
            capture_id: capture.to_string(),
            amount: Some(amount),
        };
        let paid = self.client.capture_payment(request(capture, ANSWER_WITHIN)).await?;
        match paid.get_ref().state() == PaymentState::Captured {
            true => Ok(payment),
            false => Err(Status::aborted("it was not captured")),
        }
    }

    async fn refund(&mut self, payment: Uuid, number: u64) -> Result<(), Status> {
        let refund = RefundPaymentRequest {
            payment_id: payment.to_string(),
            refund_id: Uuid::new_v5(&self.run, format!("refund/{number}").as_bytes()).to_string(),
            amount: Some(Money { amount_minor: 1, currency: "EUR".to_owned() }),
        };
        self.client.refund_payment(request(refund, ANSWER_WITHIN)).await.map(drop)
    }
}
