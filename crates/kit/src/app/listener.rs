//! Takes connections up to a limit. One too many is closed at once: a client that is told so can go elsewhere, one that hangs
//! in a queue cannot. It knows nothing of what is spoken on a connection.

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use opentelemetry::metrics::{Counter, UpDownCounter};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::{metrics, task};

/// How long to wait when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

static OPEN: LazyLock<UpDownCounter<i64>> =
    LazyLock::new(|| metrics::up_down("connections_open", "Open connections"));
static REFUSED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    metrics::counter("connections_refused", "Connections closed at once because there were too many")
});

/// Accepts until `stop`; then the socket is closed and nobody new gets in. Connections are tracked, not awaited.
pub(super) async fn accept<F, Fut>(
    listener: TcpListener,
    limit: usize,
    stop: CancellationToken,
    open: TaskTracker,
    serve: F,
) where
    F: Fn(TcpStream) -> Fut,
    Fut: Future<Output = ()> + Send + 'static,
{
    let slots = Arc::new(Semaphore::new(limit.clamp(1, Semaphore::MAX_PERMITS)));
    loop {
        let accepted = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(slot) = slots.clone().try_acquire_owned() else {
            REFUSED.add(1, &[]);
            continue;
        };
        // Without it small answers wait for acknowledgements of earlier ones; a socket that refuses is already dead.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        let connection = serve(stream);
        task::spawn(
            "connection",
            open.track_future(async move {
                OPEN.add(1, &[]);
                connection.await;
                OPEN.add(-1, &[]);
                drop(slot);
            }),
        );
    }
}
