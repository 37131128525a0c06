//! One HTTP/2 connection to a backend that speaks plain gRPC: bytes out, bytes in. It never looks into a message.

use std::net::SocketAddr;

use anyhow::{Context as _, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderMap, HeaderValue, Request, Uri};
use stampede_kit::task;
use tokio::net::TcpStream;

const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// A flag and a length stand before a message.
pub const FRAME_HEADER: usize = 5;

/// Cheap to clone; all clones share the connection.
#[derive(Clone)]
pub struct Link(SendRequest<Bytes>);

impl Link {
    pub async fn open(address: SocketAddr) -> anyhow::Result<Link> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("{address} is not there"))?;
        stream.set_nodelay(true)?;
        let (sender, connection) = h2::client::Builder::new()
            .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .enable_push(false)
            .handshake::<_, Bytes>(stream)
            .await?;
        task::spawn_unnamed(async move {
            // Whoever calls next is told.
            connection.await.ok();
        });
        Ok(Link(sender))
    }

    /// Sends one framed message to `http://host/package.Service/Method` and gives the answer's, without its frame.
    pub async fn call(&self, uri: Uri, frame: Bytes) -> anyhow::Result<Bytes> {
        let mut request = Request::post(uri).body(())?;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        request.headers_mut().insert(TE, HeaderValue::from_static("trailers"));
        let mut sender = self.0.clone().ready().await?;
        let (response, mut body) = sender.send_request(request, false)?;
        body.send_data(frame, true)?;
        let (head, mut body) = response.await?.into_parts();
        let mut message = Bytes::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            message = if message.is_empty() { data } else { [message, data].concat().into() };
        }
        let status = body.trailers().await?.as_ref().and_then(status).or_else(|| status(&head.headers));
        ensure!(status.as_deref() == Some("0"), "the backend answered {status:?}");
        ensure!(message.len() >= FRAME_HEADER, "the backend answered no message");
        Ok(message.slice(FRAME_HEADER..))
    }
}

fn status(headers: &HeaderMap) -> Option<String> {
    Some(headers.get("grpc-status")?.to_str().ok()?.to_owned())
}

/// Writes the length of a message into the bytes kept free before it.
pub fn seal(mut frame: Vec<u8>) -> Bytes {
    let length = u32::try_from(frame.len().saturating_sub(FRAME_HEADER)).unwrap_or(u32::MAX);
    if let Some(place) = frame.get_mut(1..FRAME_HEADER) {
        place.copy_from_slice(&length.to_be_bytes());
    }
    Bytes::from(frame)
}
