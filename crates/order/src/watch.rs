//! WatchOrder: the order as it is, then as it becomes. A watcher keeps the version it has been told and nothing else. It never
//! tells a version twice, or an older one after a newer.

use std::sync::Arc;
use std::time::Duration;

use futures::Stream;
use stampede_kit as kit;
use stampede_proto::order::v1::{OrderHeartbeat, WatchOrderResponse};
use stampede_proto::timestamp;
use stampede_types::OrderId;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::domain::resume;
use crate::error::Error;
use crate::orders::Orders;
use crate::watching::Member;
use crate::wire;

const HEARTBEAT: Duration = Duration::from_secs(5);
/// When a watcher of a process that stops may come back, to another one.
const COME_BACK: Duration = Duration::from_secs(1);

impl Orders {
    /// Follows an order until it has come to its end, the watcher goes or the process drains. An empty token begins with the
    /// present state; with one, only what has changed since is told. An order that has ended is told in any case.
    pub(crate) async fn watch(
        self: &Arc<Self>,
        cx: &kit::Context,
        id: OrderId,
        token: &str,
        stop: CancellationToken,
    ) -> Result<impl Stream<Item = Result<WatchOrderResponse, Status>> + Send + use<>, Error> {
        // First the place, then the reading: what changes in between is seen.
        let member = self.watching.join(id);
        let order = self.visible(cx, id).await?;
        let told = match token {
            "" => 0,
            token => resume::told(id, token).map_err(|_| Error::ResumeToken)?,
        };
        if told > order.version {
            // The order has not got there: the token is from another history.
            return Err(Error::ResumeToken);
        }
        let told = if order.state.is_final() { 0 } else { told };
        member.show(order);
        let watch = Watch { id, member, told, ended: false, orders: self.clone(), stop };
        self.metrics.watchers.add(1, &[]);
        Ok(futures::stream::unfold(watch, |mut watch| async move {
            let message = watch.next().await?;
            Some((message.map_err(Status::from), watch))
        }))
    }
}

/// One watcher's place.
struct Watch {
    id: OrderId,
    member: Member,
    /// The version it was told.
    told: i64,
    ended: bool,
    orders: Arc<Orders>,
    stop: CancellationToken,
}

impl Watch {
    /// The next message; none when the order's end has been told.
    async fn next(&mut self) -> Option<Result<WatchOrderResponse, Error>> {
        if self.ended {
            return None;
        }
        let heartbeat = Instant::now() + HEARTBEAT;
        loop {
            if let Some(order) = self.member.newer_than(self.told) {
                self.told = order.version;
                self.ended = order.state.is_final();
                return Some(Ok(self.message(Some(wire::order(&order)), None)));
            }
            if Instant::now() >= heartbeat {
                let at = timestamp(self.orders.clock.now());
                return Some(Ok(self.message(None, Some(OrderHeartbeat { at: Some(at) }))));
            }
            tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    // A stream that simply ends would say that the order has.
                    self.ended = true;
                    let stopping = kit::Refusal::unavailable("this process is stopping; resume elsewhere");
                    return Some(Err(stopping.retry_after(COME_BACK).into()));
                }
                () = self.member.changed() => {}
                () = tokio::time::sleep_until(heartbeat) => {}
            }
        }
    }

    fn message(
        &self,
        order: Option<stampede_proto::order::v1::Order>,
        heartbeat: Option<OrderHeartbeat>,
    ) -> WatchOrderResponse {
        WatchOrderResponse { order, resume_token: resume::token(self.id, self.told), heartbeat }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.orders.metrics.watchers.add(-1, &[]);
    }
}
