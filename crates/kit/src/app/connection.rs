//! The life of one HTTP connection, whatever is under it: it has to speak soon, is told to finish when the process drains, and is
//! dropped when the drain is over. The limits of HTTP/2 are here, because both kinds of connection share them.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use hyper_util::server::graceful::GracefulConnection;
use tokio_util::sync::CancellationToken;

use super::socket::Heard;

/// A connection that has said nothing useful by then is closed.
const SPEAK_TIMEOUT: Duration = Duration::from_secs(10);
/// A silent connection is asked after this long, and closed when it does not answer in [`KEEP_ALIVE_TIMEOUT`]. An open header
/// block holds the answer back, so this bounds the headers of HTTP/2 too.
pub(super) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
pub(super) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams of one connection at once.
pub(super) const MAX_STREAMS: u32 = 4096;
/// The same behind the gateway, whose channels put everything on a connection a core: more than it lets calls and feeds be open, so that nobody waits
/// for a stream unanswered. What is too much there is refused with its reason.
pub(super) const MAX_INNER_STREAMS: u32 = 32_768;
pub(super) const MAX_HEADER_LIST_BYTES: u32 = 16 * 1024;
/// The same behind the gateway: whatever its front takes by HTTP/1.1 has to fit, with what HTTP/2 counts a header beside its
/// bytes, or a header that is too long would look like a service that is gone.
pub(super) const MAX_INNER_HEADER_LIST_BYTES: u32 = 128 * 1024;
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
pub(super) const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;

/// When connections are told to finish, and when they are dropped.
#[derive(Clone, Default)]
pub(super) struct End {
    pub drain: CancellationToken,
    pub kill: CancellationToken,
}

/// What may happen to a connection beside what is said on it.
enum Event {
    Drain,
    Kill,
    /// It has had its time to speak.
    Heard,
}

/// Each is polled when it has happened, not whenever the connection is.
type Events = FuturesUnordered<Pin<Box<dyn Future<Output = Event> + Send>>>;

fn events(end: End) -> Events {
    let events = Events::new();
    let End { drain, kill } = end;
    events.push(Box::pin(async move {
        drain.cancelled().await;
        Event::Drain
    }));
    events.push(Box::pin(async move {
        kill.cancelled().await;
        Event::Kill
    }));
    events.push(Box::pin(async {
        tokio::time::sleep(SPEAK_TIMEOUT).await;
        Event::Heard
    }));
    events
}

/// Drives a connection to its end, and says how it ended when it ended by itself.
pub(super) async fn drive<C, S>(connection: C, heard: &Heard<S>, end: End) -> Option<Result<(), C::Error>>
where
    C: GracefulConnection,
{
    let mut connection = pin!(connection);
    let mut events = events(end);
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => return Some(ended),
            Some(event) = events.next() => match event {
                Event::Drain => connection.as_mut().graceful_shutdown(),
                Event::Heard if heard.enough() => {}
                Event::Heard | Event::Kill => return None,
            }
        }
    }
}
