//! Readers of the stock feed: many streams on few mTLS connections, their messages counted and hardly read. A reader may be told
//! to stop reading without going away.

use std::net::SocketAddr;

use anyhow::{Context as _, bail};
use bytes::{Buf as _, Bytes, BytesMut};
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message as _;
use stampede_kit::{task, tls};
use stampede_proto::inventory::v1::watch_stock_response::Update;
use stampede_proto::inventory::v1::{WatchStockRequest, WatchStockResponse};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::bench::shop::SERVICE;

/// One byte of flags and four of length.
const HEADER_BYTES: usize = 5;

/// One connection, with this much room for what is not read: of a stream, and of them all.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    request: http::request::Parts,
    body: Bytes,
}

impl Connection {
    pub async fn open(
        address: SocketAddr,
        tls: &tls::Client,
        bearer: &str,
        ask: &WatchStockRequest,
        windows: (u32, u32),
    ) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(address).await.with_context(|| format!("{address} is not there"))?;
        stream.set_nodelay(true)?;
        let name = ServerName::try_from(SERVICE).expect("the name of a service is a host name");
        let stream = TlsConnector::from(tls.config()).connect(name, stream).await?;
        let (sender, connection) = Builder::new(TokioExecutor::new())
            .initial_stream_window_size(windows.0)
            .initial_connection_window_size(windows.1)
            .handshake(TokioIo::new(stream))
            .await?;
        // How it ends is seen by its readers.
        task::spawn("watchers", async move { connection.await.ok() });
        let request =
            Request::post(format!("https://{SERVICE}/stampede.inventory.v1.InventoryService/WatchStock"))
                .header("content-type", "application/grpc")
                .header("te", "trailers")
                .header("authorization", format!("Bearer {bearer}"))
                .body(())?;
        let mut body = BytesMut::from(&[0; HEADER_BYTES][..]);
        ask.encode(&mut body)?;
        let length = u32::try_from(body.len() - HEADER_BYTES)?;
        body[1..HEADER_BYTES].copy_from_slice(&length.to_be_bytes());
        Ok(Connection { sender, request: request.into_parts().0, body: body.freeze() })
    }

    /// One more stream; answers when the server has begun it.
    pub fn read(&self) -> impl Future<Output = anyhow::Result<Reader>> + Send + use<> {
        let mut sender = self.sender.clone();
        let request = Request::from_parts(self.request.clone(), Full::new(self.body.clone()));
        async move {
            sender.ready().await?;
            let response = sender.send_request(request).await?;
            if let Some(status) = response.headers().get("grpc-status") {
                bail!("a watcher was refused with status {}", status.to_str().unwrap_or("?"));
            }
            Ok(Reader { body: response.into_body(), buffered: BytesMut::new() })
        }
    }
}

/// One stream.
pub struct Reader {
    body: Incoming,
    buffered: BytesMut,
}

impl Reader {
    /// The next message, not read.
    pub async fn next(&mut self) -> anyhow::Result<Bytes> {
        loop {
            if let Some(header) = self.buffered.first_chunk::<HEADER_BYTES>() {
                let [_, length @ ..] = *header;
                let length = usize::try_from(u32::from_be_bytes(length))?;
                if self.buffered.len() >= HEADER_BYTES + length {
                    self.buffered.advance(HEADER_BYTES);
                    return Ok(self.buffered.split_to(length).freeze());
                }
            }
            let frame = self.body.frame().await.context("the feed ended")??;
            match frame.into_data() {
                Ok(data) => self.buffered.extend_from_slice(&data),
                Err(_) => bail!("the feed ended with a status"),
            }
        }
    }

    /// Reads until the level of this version has come; how many messages that took.
    pub async fn until(&mut self, version: i64) -> anyhow::Result<u64> {
        let mut messages = 0;
        loop {
            let message = WatchStockResponse::decode(self.next().await?)?;
            let levels = match message.update {
                Some(Update::Snapshot(snapshot)) => snapshot.levels,
                Some(Update::Delta(delta)) => delta.levels,
                Some(Update::Heartbeat(_)) | None => continue,
            };
            messages += 1;
            if levels.iter().any(|level| level.version >= version) {
                return Ok(messages);
            }
        }
    }
}
