//! Opens the connection of a channel: TCP without delay, then TLS with our certificate, checking the server's for the name of
//! the service that is meant (never for the address, which may be anything that leads there).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls;

#[derive(Clone)]
pub(super) struct Connector {
    tls: tls::Client,
    name: ServerName<'static>,
    address: Arc<str>,
}

impl Connector {
    pub(super) fn new(tls: &tls::Client, service: &'static str, address: &str) -> Self {
        Connector {
            tls: tls.clone(),
            name: ServerName::try_from(service).expect("the name of a service is a host name"),
            address: Arc::from(address),
        }
    }
}

impl tower::Service<Uri> for Connector {
    type Response = TokioIo<TlsStream<TcpStream>>;
    type Error = std::io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let Connector { tls, name, address } = self.clone();
        Box::pin(async move {
            let stream = TcpStream::connect(&*address).await?;
            stream.set_nodelay(true)?;
            // Asked for at every connection, so that a renewed certificate is used by the next one.
            Ok(TokioIo::new(TlsConnector::from(tls.config()).connect(name, stream).await?))
        })
    }
}
