//! The crowd over gRPC, straight to the order service: few mTLS connections with many streams.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stampede_kit as kit;
use stampede_proto::order::v1::CreateOrderRequest;
use stampede_proto::order::v1::order_service_client::OrderServiceClient;

use super::outcome::{Outcome, Tally};
use crate::generator::Crowd;
use crate::generator::pace::Pace;

/// An answer that takes longer is counted as broken.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Sends what is due until the run is over.
pub async fn stream(
    channel: kit::client::Channel,
    body: CreateOrderRequest,
    crowd: Arc<Crowd>,
    pace: Arc<Pace>,
) -> anyhow::Result<Tally> {
    let mut client = OrderServiceClient::new(channel);
    let mut tally = Tally::new();
    while let Some(due) = pace.next(Instant::now()) {
        tokio::time::sleep_until(due.at.into()).await;
        let mut request = kit::client::request(body.clone(), ANSWER_WITHIN);
        request.metadata_mut().insert("authorization", crowd.bearer(due.number).parse()?);
        request.metadata_mut().insert("idempotency-key", crowd.key(due.number).parse()?);
        let outcome = match client.create_order(request).await {
            Ok(_) => Outcome::Accepted,
            Err(status) => kit::refusal::reason_of(&status)
                .map_or_else(|| Outcome::Broken(format!("gRPC {:?}", status.code())), Outcome::Refused),
        };
        tally.record(due, outcome);
    }
    Ok(tally)
}
