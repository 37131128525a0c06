//! TLS of the public port: the house's own certificate for callers who bring none, HTTP/1.1 and HTTP/2 by ALPN, sessions taken up again by
//! tickets. Read anew when the files change, like everything of TLS here.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject as _;
use tokio_util::sync::CancellationToken;

use super::{H2, certificates, follow};
use crate::config;

const HTTP_1: &[u8] = b"http/1.1";

pub(crate) struct Front {
    paths: config::FrontTls,
    files: ArcSwap<Files>,
    server: ArcSwap<ServerConfig>,
}

#[derive(PartialEq)]
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
}

impl Front {
    pub(crate) fn read(paths: &config::FrontTls) -> anyhow::Result<Arc<Front>> {
        let files = Files::read(paths)?;
        let server = files.build()?;
        let (files, server) = (ArcSwap::from_pointee(files), ArcSwap::from_pointee(server));
        Ok(Arc::new(Front { paths: paths.clone(), files, server }))
    }

    /// For the next handshake; connections that are open keep what they began with.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.server.load_full()
    }

    /// Until told to stop.
    pub(crate) async fn follow(&self, stop: CancellationToken) {
        follow("front", stop, || self.reload()).await;
    }

    fn reload(&self) -> anyhow::Result<bool> {
        let files = Files::read(&self.paths)?;
        if files == **self.files.load() {
            return Ok(false);
        }
        self.server.store(Arc::new(files.build()?));
        self.files.store(Arc::new(files));
        Ok(true)
    }
}

impl Files {
    fn read(paths: &config::FrontTls) -> anyhow::Result<Files> {
        let read =
            |key: &str, path: &Path| std::fs::read(path).with_context(|| format!("{key} {}", path.display()));
        Ok(Files { cert: read("front.cert", &paths.cert)?, key: read("front.key", &paths.key)? })
    }

    fn build(&self) -> anyhow::Result<ServerConfig> {
        let chain = certificates(&self.cert).context("front.cert")?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).context("front.key")?;
        let mut server = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
        server.alpn_protocols = vec![H2.to_vec(), HTTP_1.to_vec()];
        server.ticketer = aws_lc_rs::Ticketer::new()?;
        Ok(server)
    }
}
