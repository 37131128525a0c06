//! One HTTP/2 connection of a channel: made on first use, asked now and then whether it still answers, and made again when it
//! has broken or its server says goodbye. It never sends a request twice.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{Ping, PingPong};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::client::TlsStream;

use super::connector::Connector;
use crate::gathered::Gathered;
use crate::task;

/// A service that does not take a connection by then is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// A connection is asked whether it lives so long after it last said so, and given up when it does not in [`KEEP_ALIVE_TIMEOUT`].
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// Flow-control windows of a connection and of one stream on it.
const CONNECTION_WINDOW_BYTES: u32 = 4 * 1024 * 1024;
const STREAM_WINDOW_BYTES: u32 = 1024 * 1024;
/// All headers of one answer; the details of an error travel in them.
const MAX_HEADER_LIST_BYTES: u32 = 64 * 1024;

type Sender = SendRequest<Bytes>;
type Driven = h2::client::Connection<Gathered<TlsStream<TcpStream>>, Bytes>;

pub(super) struct Connection {
    connector: Connector,
    live: ArcSwapOption<Sender>,
    /// Held by whoever opens; when the last try failed.
    opening: Mutex<Option<Instant>>,
}

impl Connection {
    pub(super) fn new(connector: Connector) -> Self {
        Connection { connector, live: ArcSwapOption::empty(), opening: Mutex::new(None) }
    }

    /// A sender that takes a request now.
    pub(super) async fn sender(&self) -> io::Result<Sender> {
        if let Some(sender) = self.usable().await {
            return Ok(sender);
        }
        // Rare, and large: who has a connection should not have to make room for opening one.
        Box::pin(self.opened()).await
    }

    /// The connection somebody opens, this caller or another.
    async fn opened(&self) -> io::Result<Sender> {
        let came_at = Instant::now();
        let mut failed_at = self.opening.lock().await;
        if let Some(sender) = self.usable().await {
            return Ok(sender);
        }
        // Those who waited while a try failed share its failure: they do not queue up for tries of their own.
        if failed_at.is_some_and(|at| at >= came_at) {
            return Err(io::ErrorKind::NotConnected.into());
        }
        let opened = self.open().await;
        *failed_at = opened.is_err().then(Instant::now);
        opened
    }

    /// None when there is no connection, it has broken, or its server takes no more requests on it.
    async fn usable(&self) -> Option<Sender> {
        let sender = Sender::clone(self.live.load().as_ref()?);
        sender.ready().await.ok()
    }

    async fn open(&self) -> io::Result<Sender> {
        let opening = async {
            let stream = self.connector.connect().await?;
            Builder::new()
                .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
                .initial_window_size(STREAM_WINDOW_BYTES)
                .max_header_list_size(MAX_HEADER_LIST_BYTES)
                .enable_push(false)
                .handshake::<_, Bytes>(stream)
                .await
                .map_err(io::Error::other)
        };
        let (sender, mut connection) = timeout(CONNECT_TIMEOUT, opening).await??;
        let pings = connection.ping_pong();
        task::spawn_unnamed(drive(connection, pings));
        self.live.store(Some(Arc::new(sender.clone())));
        Ok(sender)
    }
}

/// Until the connection ends, by either side or because it is silent. It ends by itself when nobody has its sender and its last
/// answer has come.
async fn drive(connection: Driven, pings: Option<PingPong>) {
    let silent = async {
        match pings {
            Some(pings) => silence(pings).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        ended = connection => if let Err(error) = ended {
            tracing::debug!(%error, "a connection broke");
        },
        () = silent => tracing::debug!("a connection fell silent"),
    }
}

/// Ends when a ping is not answered in time.
async fn silence(mut pings: PingPong) {
    loop {
        sleep(KEEP_ALIVE_INTERVAL).await;
        if !matches!(timeout(KEEP_ALIVE_TIMEOUT, pings.ping(Ping::opaque())).await, Ok(Ok(_))) {
            return;
        }
    }
}
