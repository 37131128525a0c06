//! Opens the connection of a channel: TCP without delay, then TLS with our certificate, checking the server's for the name of
//! the service that is meant (never for the address, which may be anything that leads there).

use std::io;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::gathered::Gathered;
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

    pub(super) async fn connect(&self) -> io::Result<Gathered<TlsStream<TcpStream>>> {
        let stream = TcpStream::connect(&*self.address).await?;
        stream.set_nodelay(true)?;
        // Asked for at every connection, so that a renewed certificate is used by the next one.
        TlsConnector::from(self.tls.config()).connect(self.name.clone(), stream).await.map(Gathered)
    }
}
