//! The way out: an answer keeps its slot and its measurement until its last byte has left, and a stream ends at its deadline or
//! when the process drains, with a status that says which.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;

use super::Admitted;
use super::admission::Permit;
use super::observe::Observed;
use crate::refusal::Refusal;

type End = Pin<Box<dyn Future<Output = Refusal> + Send>>;

struct Watched {
    inner: Body,
    observed: Observed,
    end: Option<End>,
    /// Held, never read: dropping it frees the slot.
    _permit: Option<Permit>,
    over: bool,
}

pub(super) fn watched(
    answer: Response<Body>,
    admitted: Option<Admitted>,
    mut observed: Observed,
    stop: CancellationToken,
) -> Response<Body> {
    let (head, inner) = answer.into_parts();
    observed.read(&head.headers);
    let (permit, end) = match admitted {
        Some(Admitted { permit, deadline, streams: true, pipelined }) => {
            let stop = if pipelined { CancellationToken::new() } else { stop };
            let end: End = Box::pin(async move {
                tokio::select! {
                    () = tokio::time::sleep_until(deadline.0.into()) => Refusal::deadline_exceeded(),
                    () = stop.cancelled_owned() => Refusal::unavailable("this server is stopping; call again"),
                }
            });
            (Some(permit), Some(end))
        }
        Some(Admitted { permit, streams: false, .. }) => (Some(permit), None),
        None => (None, None),
    };
    Response::from_parts(head, Body::new(Watched { inner, observed, end, _permit: permit, over: false }))
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if self.over {
            return Poll::Ready(None);
        }
        if let Some(end) = &mut self.end
            && let Poll::Ready(refusal) = end.as_mut().poll(cx)
        {
            return Poll::Ready(Some(Ok(self.finish(refusal))));
        }
        let frame = std::task::ready!(Pin::new(&mut self.inner).poll_frame(cx));
        match &frame {
            Some(Ok(frame)) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.observed.read(trailers);
                }
            }
            Some(Err(status)) => self.observed.end(status.code()),
            None => {}
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.over || self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Watched {
    /// Lets go of the handler's stream and says why in trailers.
    fn finish(&mut self, refusal: Refusal) -> Frame<Bytes> {
        self.over = true;
        self.inner = Body::empty();
        self.observed.end(refusal.code());
        let mut trailers = HeaderMap::new();
        Status::from(refusal).add_header(&mut trailers).expect("the text of a refusal fits a header");
        Frame::trailers(trailers)
    }
}
