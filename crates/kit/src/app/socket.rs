//! The stream under a connection: whether its peer has begun to speak, whether it waits for an answer, and the stream itself again when the
//! connection is over. A peer that connects and says nothing must not hold a slot: neither TLS nor HTTP/2 has a timer of its own for
//! the time before the first request.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The connection preface of HTTP/2; no useful HTTP/1.1 request is shorter.
const ENOUGH_BYTES: usize = 24;

/// What the connection reads and writes.
pub(super) struct Socket<S> {
    /// There until this is dropped.
    stream: Option<S>,
    heard: Arc<Heard<S>>,
}

/// What is known about a socket beside its connection.
pub(super) struct Heard<S> {
    read: AtomicUsize,
    /// The last that happened was that the peer said something.
    unanswered: AtomicBool,
    /// The peer has not taken all that was written to it.
    blocked: AtomicBool,
    left: Mutex<Option<S>>,
}

impl<S> Socket<S> {
    pub(super) fn of(stream: S) -> (Self, Arc<Heard<S>>) {
        let heard = Arc::new(Heard {
            read: AtomicUsize::new(0),
            unanswered: AtomicBool::new(false),
            blocked: AtomicBool::new(false),
            left: Mutex::new(None),
        });
        (Socket { stream: Some(stream), heard: heard.clone() }, heard)
    }
}

impl<S> Heard<S> {
    /// Whether the peer has begun to speak.
    pub(super) fn enough(&self) -> bool {
        self.read.load(Ordering::Relaxed) >= ENOUGH_BYTES
    }

    /// Takes the stream of a connection that is over although its peer has said something since it was last answered, and nothing of an
    /// answer is on its way.
    pub(super) fn take_unanswered(&self) -> Option<S> {
        let left = self.left.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        left.filter(|_| self.unanswered.load(Ordering::Relaxed) && !self.blocked.load(Ordering::Relaxed))
    }

    fn wrote(&self, written: &Poll<io::Result<usize>>, wanted: usize) {
        self.unanswered.store(false, Ordering::Relaxed);
        let whole = matches!(written, Poll::Ready(Ok(written)) if *written == wanted);
        self.blocked.store(!whole, Ordering::Relaxed);
    }

    fn read(&self, bytes: usize) {
        if self.read.load(Ordering::Relaxed) < ENOUGH_BYTES {
            self.read.fetch_add(bytes, Ordering::Relaxed);
        }
        if bytes > 0 {
            self.unanswered.store(true, Ordering::Relaxed);
        }
    }
}

impl<S> Drop for Socket<S> {
    fn drop(&mut self) {
        *self.heard.left.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = self.stream.take();
    }
}

impl<S: Unpin> Socket<S> {
    fn stream(&mut self) -> io::Result<Pin<&mut S>> {
        self.stream.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::NotConnected.into())
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Socket<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = self.stream()?.poll_read(cx, buffer);
        if polled.is_ready() {
            self.heard.read(buffer.filled().len() - before);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Socket<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write(cx, bytes);
        self.heard.wrote(&written, bytes.len());
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.stream()?.poll_write_vectored(cx, slices);
        self.heard.wrote(&written, slices.iter().map(|slice| slice.len()).sum());
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.as_ref().is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}
