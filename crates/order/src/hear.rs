//! What payment tells: an outcome moves the saga that waits for it at once, and money on a payment that was given up is found at once. An
//! event only says that it is time to ask: payment's answer decides, so that an event that comes twice, late or out of order does
//! nothing. While NATS is away the asking goes on at its own pace.

use std::sync::Arc;

use anyhow::Context as _;
use futures::future::BoxFuture;
use prost::Message as _;
use sqlx::PgConnection;
use stampede_kit as kit;
use stampede_kit::inbox::{ConsumerConfig, Message, Poison};
use stampede_proto::event::v1::Event;
use stampede_proto::event::v1::event::Fact;
use stampede_proto::payment::v1::PaymentEventKind;
use stampede_types::{OrderId, PaymentId};
use tokio_util::sync::CancellationToken;

use crate::orders::Orders;
use crate::store;
use crate::store::late::Brings;

/// The consumer's name at NATS and in the inbox.
const NAME: &str = "order-payments";
const SUBJECT: &str = "payment.*";

/// Hears until it is stopped.
///
/// # Errors
/// None: the type is that of a background task.
pub async fn run(
    orders: Arc<Orders>,
    nats: async_nats::Client,
    stream: kit::nats::Stream,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let config = ConsumerConfig::new(NAME, [SUBJECT]).stream(stream).clock(orders.clock.clone());
    kit::inbox::consume(orders.db.clone(), nats, config, hear, stop).await
}

fn hear<'a>(conn: &'a mut PgConnection, message: &'a Message) -> BoxFuture<'a, anyhow::Result<()>> {
    Box::pin(async move {
        let event = Event::decode(message.payload.clone()).map_err(|error| Poison(error.to_string()))?;
        let Some(Fact::PaymentChanged(changed)) = event.fact else {
            return Err(Poison("no payment changed".to_owned()).into());
        };
        // A payment that was let go before it was asked for belongs to no order yet.
        if changed.order_id.is_empty() {
            return Ok(());
        }
        let order: OrderId =
            changed.order_id.parse().map_err(|_| Poison("the order is no UUID".to_owned()))?;
        let payment: PaymentId =
            changed.payment_id.parse().map_err(|_| Poison("the payment is no UUID".to_owned()))?;
        let kind = changed.event.as_ref().map_or(PaymentEventKind::Unspecified, |event| event.kind());
        store::late::heard(conn, payment, order, brings(kind)).await.context("writing what was heard")
    })
}

fn brings(kind: PaymentEventKind) -> Brings {
    match kind {
        PaymentEventKind::RefundReversed => Brings::MoneyAgain,
        PaymentEventKind::Conflicted | PaymentEventKind::Resolved => Brings::Doubt,
        PaymentEventKind::Authorized
        | PaymentEventKind::Captured
        | PaymentEventKind::RefundFailed
        | PaymentEventKind::DisputeClosed => Brings::Money,
        PaymentEventKind::Unspecified
        | PaymentEventKind::Declined
        | PaymentEventKind::Voided
        | PaymentEventKind::RefundPending
        | PaymentEventKind::Refunded
        | PaymentEventKind::DisputeOpened
        | PaymentEventKind::DisputeLost
        | PaymentEventKind::CaptureCorrected
        | PaymentEventKind::Expired => Brings::NoMoney,
    }
}
