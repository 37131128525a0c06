//! The TLS handshake of a connection, under a deadline and never beyond the beginning of the drain. It does not know who may come in.

use std::sync::{Arc, LazyLock};

use opentelemetry::metrics::Counter;
use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::connection::End;
use crate::metrics::{self, KeyValue};
use crate::tls;

static HANDSHAKES: LazyLock<Counter<u64>> =
    LazyLock::new(|| metrics::counter("tls_handshakes", "TLS handshakes of clients, by how they ended"));

/// The connection in TLS, or nothing when there is none.
pub(super) async fn accept(
    config: Arc<ServerConfig>,
    stream: TcpStream,
    end: &End,
) -> Option<TlsStream<TcpStream>> {
    let handshake = tokio::time::timeout(tls::HANDSHAKE_TIMEOUT, TlsAcceptor::from(config).accept(stream));
    let (outcome, stream) = tokio::select! {
        () = end.drain.cancelled() => return None,
        handshake = handshake => match handshake {
            Ok(Ok(stream)) => ("ok", Some(stream)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "a TLS handshake failed");
                ("refused", None)
            }
            Err(_) => ("timeout", None),
        },
    };
    HANDSHAKES.add(1, &[KeyValue::new("outcome", outcome)]);
    stream
}
