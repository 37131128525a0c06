//! The backend that says which bytes it got: it keeps the last call and answers with the message it was given for it. It never looks
//! into a message.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tonic::body::Body;

use crate::bench::gateway::link::FRAME_HEADER;
use crate::bench::gateway::serve;

/// A call as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    pub path: String,
    /// Without its frame.
    pub message: Bytes,
}

/// Cheap to clone; one exchange at a time.
#[derive(Clone, Default)]
pub struct Recorder(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    call: Option<Call>,
    reply: Vec<u8>,
}

impl Recorder {
    /// Forgets what came before; the next call is answered so.
    pub fn expect(&self, reply: &[u8]) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *state = State { call: None, reply: reply.to_owned() };
    }

    /// The call since then.
    pub fn call(&self) -> Option<Call> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).call.clone()
    }

    /// A path that is no method means that nobody transcoded it.
    pub async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let is_grpc = path.starts_with("/stampede.");
        let Ok(body) = request.into_body().collect().await.map(|body| body.to_bytes()) else {
            // Begun and taken back: Envoy opens a call before it has read the JSON. No service would have acted on it.
            return serve::message(&[]);
        };
        let message = body.slice(FRAME_HEADER.min(body.len())..);
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.call = Some(Call { path, message });
        if is_grpc {
            return serve::message(&state.reply);
        }
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_IMPLEMENTED;
        response
    }
}
