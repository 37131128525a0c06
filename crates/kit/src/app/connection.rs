//! The life of one HTTP connection, whatever is under it: it has to speak soon, is told to finish when the process drains, and is
//! dropped when the drain is over. The limits of HTTP/2 are here, because both kinds of connection share them.

use std::pin::pin;
use std::time::Duration;

use hyper_util::server::graceful::GracefulConnection;
use tokio_util::sync::CancellationToken;

use super::first_bytes::Spoken;

/// A connection that has said nothing useful by then is closed.
const SPEAK_TIMEOUT: Duration = Duration::from_secs(10);
/// A silent connection is asked after this long, and closed when it does not answer in [`KEEP_ALIVE_TIMEOUT`]. An open header
/// block holds the answer back, so this bounds the headers of HTTP/2 too.
pub(super) const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
pub(super) const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Streams of one connection at once.
pub(super) const MAX_STREAMS: u32 = 4096;
/// The same behind the gateway, whose channels put everything on one connection: more than it lets calls and feeds be open, so that nobody waits
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

/// Drives a connection to its end. How it ended is between the peer and its network: nothing here can act on it.
pub(super) async fn drive<C: GracefulConnection>(connection: C, spoken: Spoken, end: End) {
    let mut connection = pin!(connection);
    let mut silent = pin!(tokio::time::sleep(SPEAK_TIMEOUT));
    let (mut heard, mut draining) = (false, false);
    loop {
        tokio::select! {
            _ = connection.as_mut() => return,
            () = end.kill.cancelled() => return,
            () = end.drain.cancelled(), if !draining => {
                draining = true;
                connection.as_mut().graceful_shutdown();
            }
            () = &mut silent, if !heard => {
                heard = spoken.enough();
                if !heard {
                    return;
                }
            }
        }
    }
}
