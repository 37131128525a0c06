//! TLS of every hop: 1.3 only, certificates on both sides, one provider (aws-lc-rs). It reads PEM files and builds the
//! server's and the client's half. It never decides who may call what.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::config;

/// ALPN of gRPC.
const H2: &[u8] = b"h2";
/// A peer that has not finished its handshake by then is not coming.
pub(crate) const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);

/// The client's half, for channels to our own services. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub(crate) config: Arc<ClientConfig>,
}

/// Both halves, from the same certificate, key and CA.
pub(crate) struct Material {
    pub server: Arc<ServerConfig>,
    pub client: Client,
}

impl Client {
    /// Reads PEM files: our certificate chain, its key and the CA that signs the servers we call.
    pub fn read(cert: &Path, key: &Path, ca: &Path) -> anyhow::Result<Client> {
        let files = Files::read(cert, key, ca)?;
        Ok(Client { config: Arc::new(files.client()?) })
    }
}

impl Material {
    /// Reads PEM files: our certificate chain, its key, the CA of everybody in this house and the list of the revoked.
    pub(crate) fn read(config: &config::Tls) -> anyhow::Result<Material> {
        let files = Files::read(&config.cert, &config.key, &config.ca)?;
        let revoked = config.crl.as_deref().map(revocations).transpose()?.unwrap_or_default();
        let client = Client { config: Arc::new(files.client()?) };
        Ok(Material { server: Arc::new(files.server(revoked)?), client })
    }
}

struct Files {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    roots: Arc<RootCertStore>,
}

impl Files {
    fn read(cert: &Path, key: &Path, ca: &Path) -> anyhow::Result<Files> {
        let chain = certificates(cert).with_context(|| format!("tls.cert {}", cert.display()))?;
        let private =
            PrivateKeyDer::from_pem_file(key).with_context(|| format!("tls.key {}", key.display()))?;
        let mut roots = RootCertStore::empty();
        for certificate in certificates(ca).with_context(|| format!("tls.ca {}", ca.display()))? {
            roots.add(certificate).with_context(|| format!("tls.ca {}", ca.display()))?;
        }
        Ok(Files { chain, key: private, roots: Arc::new(roots) })
    }

    fn server(&self, revoked: Vec<CertificateRevocationListDer<'static>>) -> anyhow::Result<ServerConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut verifier = WebPkiClientVerifier::builder_with_provider(self.roots.clone(), provider.clone());
        if !revoked.is_empty() {
            verifier = verifier.with_crls(revoked).enforce_revocation_expiration();
        }
        let verifier = verifier.build()?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(verifier)
            .with_single_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![H2.to_vec()];
        Ok(config)
    }

    fn client(&self) -> anyhow::Result<ClientConfig> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_root_certificates(self.roots.clone())
            .with_client_auth_cert(self.chain.clone(), self.key.clone_key())?;
        config.alpn_protocols = vec![H2.to_vec()];
        Ok(config)
    }
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = CertificateDer::pem_file_iter(path)?.collect::<Result<Vec<_>, _>>()?;
    ensure!(!read.is_empty(), "holds no certificate");
    Ok(read)
}

fn revocations(path: &Path) -> anyhow::Result<Vec<CertificateRevocationListDer<'static>>> {
    let lists = CertificateRevocationListDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .with_context(|| format!("tls.crl {}", path.display()))?;
    ensure!(!lists.is_empty(), "tls.crl {} holds no list", path.display());
    Ok(lists)
}
