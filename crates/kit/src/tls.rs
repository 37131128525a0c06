//! TLS of every hop: 1.3 only, certificates on both sides, one provider (aws-lc-rs). It reads PEM files, builds the server's and
//! the client's half, and builds both anew when a file changes: the whole configuration is swapped, because a session store
//! that survived would let a revoked client resume. It never decides who may call what.

mod front;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use arc_swap::ArcSwap;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_util::sync::CancellationToken;

use crate::config;

pub(crate) use front::Front;

/// ALPN of gRPC.
const H2: &[u8] = b"h2";
/// A peer that has not finished its handshake by then is not coming.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// How soon a renewed certificate, key, CA or revocation list is noticed.
const INTERVAL: Duration = Duration::from_secs(2);

/// The client's half, for channels to our own services. Cheap to clone; every clone sees a renewal.
#[derive(Clone)]
pub struct Client {
    config: Arc<ArcSwap<ClientConfig>>,
}

/// Both halves, from the same files.
pub(crate) struct Material {
    paths: config::Tls,
    files: ArcSwap<Files>,
    server: ArcSwap<ServerConfig>,
    client: Client,
}

/// What the files hold, read together.
#[derive(PartialEq)]
struct Files {
    cert: Vec<u8>,
    key: Vec<u8>,
    ca: Vec<u8>,
    crl: Option<Vec<u8>>,
}

impl Client {
    /// Reads PEM files once: our certificate chain, its key and the CA that signs the servers we call.
    pub fn read(cert: &Path, key: &Path, ca: &Path) -> anyhow::Result<Client> {
        let paths = config::Tls { cert: cert.to_owned(), key: key.to_owned(), ca: ca.to_owned(), crl: None };
        let (_, client) = Files::read(&paths)?.build()?;
        Ok(Client { config: Arc::new(ArcSwap::from_pointee(client)) })
    }

    /// For one handshake: a renewed certificate is in the next one asked for.
    pub fn config(&self) -> Arc<ClientConfig> {
        self.config.load_full()
    }
}

impl Material {
    pub(crate) fn read(paths: &config::Tls) -> anyhow::Result<Arc<Material>> {
        let files = Files::read(paths)?;
        let (server, client) = files.build()?;
        Ok(Arc::new(Material {
            paths: paths.clone(),
            files: ArcSwap::from_pointee(files),
            server: ArcSwap::from_pointee(server),
            client: Client { config: Arc::new(ArcSwap::from_pointee(client)) },
        }))
    }

    /// For the next handshake; connections that are open keep what they began with.
    pub(crate) fn server(&self) -> Arc<ServerConfig> {
        self.server.load_full()
    }

    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// Reads the files again and again until told to stop. Files that make no sense together, as between the writing of a
    /// certificate and of its key, change nothing.
    pub(crate) async fn follow(&self, stop: CancellationToken) {
        follow("tls", stop, || self.reload()).await;
    }

    fn reload(&self) -> anyhow::Result<bool> {
        let files = Files::read(&self.paths)?;
        if files == **self.files.load() {
            return Ok(false);
        }
        let (server, client) = files.build()?;
        self.server.store(Arc::new(server));
        self.client.config.store(Arc::new(client));
        self.files.store(Arc::new(files));
        Ok(true)
    }
}

impl Files {
    /// A few kilobytes of local files, so reading blocks nobody for long.
    fn read(paths: &config::Tls) -> anyhow::Result<Files> {
        let read =
            |key: &str, path: &Path| std::fs::read(path).with_context(|| format!("{key} {}", path.display()));
        Ok(Files {
            cert: read("tls.cert", &paths.cert)?,
            key: read("tls.key", &paths.key)?,
            ca: read("tls.ca", &paths.ca)?,
            crl: paths.crl.as_deref().map(|path| read("tls.crl", path)).transpose()?,
        })
    }

    fn build(&self) -> anyhow::Result<(ServerConfig, ClientConfig)> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = [&rustls::version::TLS13];
        let chain = certificates(&self.cert).context("tls.cert")?;
        let key = PrivateKeyDer::from_pem_slice(&self.key).context("tls.key")?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&self.ca).context("tls.ca")? {
            roots.add(certificate).context("tls.ca")?;
        }
        let roots = Arc::new(roots);
        let mut verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), provider.clone());
        if let Some(crl) = &self.crl {
            verifier =
                verifier.with_crls(revocations(crl).context("tls.crl")?).enforce_revocation_expiration();
        }
        let mut server = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)?
            .with_client_cert_verifier(verifier.build()?)
            .with_single_cert(chain.clone(), key.clone_key())?;
        let mut client = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        server.alpn_protocols = vec![H2.to_vec()];
        client.alpn_protocols = vec![H2.to_vec()];
        Ok((server, client))
    }
}

async fn follow(what: &'static str, stop: CancellationToken, reload: impl Fn() -> anyhow::Result<bool>) {
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            () = tokio::time::sleep(INTERVAL) => {}
        }
        match reload() {
            Ok(false) => {}
            Ok(true) => tracing::info!(what, "the TLS files have changed; new handshakes use them"),
            Err(error) => {
                tracing::warn!(what, error = format!("{error:#}"), "the TLS files stay as they were");
            }
        }
    }
}

fn certificates(pem: &[u8]) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
    ensure!(!read.is_empty(), "holds no certificate");
    Ok(read)
}

fn revocations(pem: &[u8]) -> anyhow::Result<Vec<CertificateRevocationListDer<'static>>> {
    let lists = CertificateRevocationListDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>()?;
    ensure!(!lists.is_empty(), "holds no revocation list");
    Ok(lists)
}
