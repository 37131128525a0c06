//! Counts what a connection has sent. A peer that connects and says nothing must not hold a slot: neither TLS nor HTTP/2 has a
//! timer of its own for the time before the first request.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The connection preface of HTTP/2; no useful HTTP/1.1 request is shorter.
const ENOUGH_BYTES: usize = 24;

pub(super) struct FirstBytes<S> {
    stream: S,
    read: Arc<AtomicUsize>,
}

/// Asks whether the peer has begun to speak.
#[derive(Clone)]
pub(super) struct Spoken(Arc<AtomicUsize>);

impl<S> FirstBytes<S> {
    pub(super) fn of(stream: S) -> (Self, Spoken) {
        let read = Arc::new(AtomicUsize::new(0));
        (FirstBytes { stream, read: read.clone() }, Spoken(read))
    }
}

impl Spoken {
    pub(super) fn enough(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= ENOUGH_BYTES
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for FirstBytes<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if self.read.load(Ordering::Relaxed) < ENOUGH_BYTES {
            self.read.fetch_add(buffer.filled().len() - before, Ordering::Relaxed);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for FirstBytes<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
