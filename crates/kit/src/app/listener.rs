//! Takes connections up to a limit. One too many is refused at once: a client that is told so can go elsewhere, one that hangs
//! in a queue cannot. It knows nothing of what is spoken on a connection.

use std::future::Future;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use opentelemetry::metrics::{Counter, UpDownCounter};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::workers::Workers;
use crate::{metrics, task};

/// How long to wait when the system has no more descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

static OPEN: LazyLock<UpDownCounter<i64>> =
    LazyLock::new(|| metrics::up_down("connections_open", "Open connections"));
static REFUSED: LazyLock<Counter<u64>> = LazyLock::new(|| {
    metrics::counter("connections_refused", "Connections refused at once because there were too many")
});

/// Where connections live, and by what they are counted.
pub(super) struct Room {
    pub limit: usize,
    pub open: TaskTracker,
    /// Without them connections live where they are accepted.
    pub workers: Option<Arc<Workers>>,
}

/// Accepts until `stop`; then the socket is closed and nobody new gets in. Connections are tracked, not awaited. `refuse` gets those
/// beyond the limit.
pub(super) async fn accept<F, Fut>(
    listener: TcpListener,
    Room { limit, open, workers }: Room,
    stop: CancellationToken,
    (serve, refuse): (F, fn(TcpStream)),
) where
    F: Fn(TcpStream) -> Fut + Clone + Send + 'static,
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
            refuse(stream);
            continue;
        };
        // Without it small answers wait for acknowledgements of earlier ones; a socket that refuses is already dead.
        if stream.set_nodelay(true).is_err() {
            continue;
        }
        // Its readiness is told to whoever takes it over from here.
        let Ok(stream) = stream.into_std() else { continue };
        let serve = serve.clone();
        let connection = open.track_future(async move {
            OPEN.add(1, &[]);
            if let Ok(stream) = TcpStream::from_std(stream) {
                serve(stream).await;
            }
            OPEN.add(-1, &[]);
            drop(slot);
        });
        match &workers {
            Some(workers) => workers.spawn(connection),
            None => drop(task::spawn_unnamed(connection)),
        }
    }
}
