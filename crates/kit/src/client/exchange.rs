//! One request and its answer on a connection. A message that is there goes out with its end in one step; messages that come one by one
//! are carried by a task of their own, which ends with the answer. It never holds more of a request than one message.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures::FutureExt as _;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt as _;
use tokio_util::task::AbortOnDropHandle;
use tonic::Status;

use crate::refusal::Refusal;
use crate::task;

/// The body of an answer: its messages as they come, then its trailers. Dropped before its end it cancels the call.
pub struct Incoming {
    stream: RecvStream,
    messages_ended: bool,
    /// Carries the messages of the request.
    _outgoing: Option<AbortOnDropHandle<()>>,
}

/// Sends a request whose message is all of its body.
pub(super) async fn unary(
    mut sender: SendRequest<Bytes>,
    head: Request<()>,
    message: Bytes,
) -> Result<Response<Incoming>, h2::Error> {
    let (answer, mut body) = sender.send_request(head, false)?;
    // Whoever refuses by the headers alone may have answered, and closed the stream, before the message could follow.
    let sent = body.send_data(message, true);
    match answer.await {
        Ok(answer) => Ok(answer.map(|stream| Incoming { stream, messages_ended: false, _outgoing: None })),
        Err(error) => Err(sent.err().unwrap_or(error)),
    }
}

/// Sends a request whose messages come one by one.
pub(super) async fn stream<B>(
    mut sender: SendRequest<Bytes>,
    head: Request<()>,
    mut messages: B,
) -> Result<Response<Incoming>, h2::Error>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
{
    // Nearly every request has one message, which is there.
    let (first, second) = (next(&mut messages), next(&mut messages));
    if let (Poll::Ready(Next::Message(only)), Poll::Ready(Next::End)) = (&first, &second) {
        return unary(sender, head, only.clone()).await;
    }
    let (answer, body) = sender.send_request(head, false)?;
    let carried = carry(body, [first, second], messages);
    let outgoing = Some(AbortOnDropHandle::new(task::spawn("outgoing", carried)));
    Ok(answer.await?.map(|stream| Incoming { stream, messages_ended: false, _outgoing: outgoing }))
}

/// What comes next of a request.
enum Next {
    Message(Bytes),
    End,
    /// Its maker failed: the call is cancelled.
    Broken,
}

impl Next {
    /// Trailers of a request mean nothing in gRPC.
    fn of<E>(frame: Option<Result<Frame<Bytes>, E>>) -> Self {
        match frame.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(message))) => Next::Message(message),
            Some(Ok(Err(_))) | None => Next::End,
            Some(Err(_)) => Next::Broken,
        }
    }
}

/// What comes next, when it is there.
fn next<B>(messages: &mut B) -> Poll<Next>
where
    B: Body<Data = Bytes> + Unpin,
{
    messages.frame().now_or_never().map_or(Poll::Pending, |frame| Poll::Ready(Next::of(frame)))
}

/// Sends what was there, then what comes, each when the server has room for more; until the end, or until the server wants no more.
async fn carry<B>(mut body: SendStream<Bytes>, there: [Poll<Next>; 2], mut messages: B)
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut there = there.into_iter();
    loop {
        let next = match there.next() {
            Some(Poll::Ready(next)) => next,
            Some(Poll::Pending) => continue,
            None => tokio::select! {
                frame = messages.frame() => Next::of(frame),
                _ = poll_fn(|cx| body.poll_reset(cx)) => return,
            },
        };
        // A call that is over takes no more: its answer says why.
        let sent = match next {
            Next::Message(message) if has_room(&mut body, message.len()).await => {
                body.send_data(message, false)
            }
            Next::Message(_) => return,
            Next::End => return drop(body.send_data(Bytes::new(), true)),
            Next::Broken => return body.send_reset(Reason::CANCEL),
        };
        if sent.is_err() {
            return;
        }
    }
}

/// Waits until the server takes some of a message; the rest of it waits in the connection. False when the call is over.
async fn has_room(body: &mut SendStream<Bytes>, length: usize) -> bool {
    body.reserve_capacity(length);
    while length > 0 && body.capacity() == 0 {
        if !matches!(poll_fn(|cx| body.poll_capacity(cx)).await, Some(Ok(_))) {
            return false;
        }
    }
    true
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Status>>> {
        if !self.messages_ended {
            match ready!(self.stream.poll_data(cx)) {
                Some(Ok(data)) => {
                    // Taken out of the window for as long as it is not read; what is read makes room. An end needs none.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(cut(&error)))),
                None => self.messages_ended = true,
            }
        }
        Poll::Ready(match ready!(self.stream.poll_trailers(cx)) {
            Ok(trailers) => trailers.map(|trailers| Ok(Frame::trailers(trailers))),
            Err(error) => Some(Err(cut(&error))),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::default()
    }
}

/// What the transport says is for the log.
fn cut(error: &h2::Error) -> Status {
    tracing::debug!(%error, "an answer was cut off");
    Refusal::unavailable("the answer of a service was cut off").into()
}
