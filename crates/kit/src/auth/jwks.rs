//! The public keys that verify tokens, by key id. Read from a file or an http(s) URL and read again in the background; a
//! reload that fails keeps what was there. Only EdDSA keys are taken: the algorithm is a property of the key.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use arc_swap::{ArcSwap, Guard};
use futures::StreamExt;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet};
use jsonwebtoken::{Algorithm, DecodingKey};
use tokio::io::AsyncReadExt;
use tokio_util::sync::CancellationToken;

/// The one algorithm of this house's tokens.
pub(super) const ALGORITHM: Algorithm = Algorithm::EdDSA;
/// More is not a key set of ours.
const MAX_JWKS_BYTES: usize = 256 * 1024;
/// How soon a changed file is noticed.
const FILE_INTERVAL: Duration = Duration::from_secs(2);
/// How soon a rotated key is noticed at a URL, and how soon an absent one is asked again.
const URL_INTERVAL: Duration = Duration::from_secs(60);
const URL_RETRY: Duration = Duration::from_secs(2);
const URL_TIMEOUT: Duration = Duration::from_secs(5);

/// The keys as they are now, and where they come from.
pub(crate) struct Jwks {
    source: Source,
    loaded: ArcSwap<Keys>,
}

enum Source {
    File(PathBuf),
    Url { url: reqwest::Url, client: reqwest::Client },
}

/// One load of the key set.
#[derive(Default)]
pub(crate) struct Keys {
    /// Grows with every change; 0 is "nothing was loaded yet".
    pub(super) generation: u64,
    bytes: Vec<u8>,
    by_id: HashMap<String, DecodingKey>,
}

impl Keys {
    pub(super) fn get(&self, kid: &str) -> Option<&DecodingKey> {
        self.by_id.get(kid)
    }

    pub(super) fn is_ready(&self) -> bool {
        self.generation > 0
    }
}

impl Jwks {
    pub(super) async fn open(location: &str) -> anyhow::Result<Arc<Self>> {
        let source = Source::parse(location)?;
        let jwks = Arc::new(Jwks { source, loaded: ArcSwap::default() });
        match (&jwks.source, jwks.reload().await) {
            (Source::File(_), loaded) => loaded?,
            (Source::Url { .. }, Err(error)) => tracing::warn!(error = %error, "the JWKS is not there yet"),
            (Source::Url { .. }, Ok(())) => {}
        }
        Ok(jwks)
    }

    pub(super) fn loaded(&self) -> Guard<Arc<Keys>> {
        self.loaded.load()
    }

    /// Reads the source again and again until told to stop.
    pub(crate) async fn follow(&self, stop: CancellationToken) {
        loop {
            let pause = match self.source {
                Source::File(_) => FILE_INTERVAL,
                Source::Url { .. } if self.loaded().is_ready() => URL_INTERVAL,
                Source::Url { .. } => URL_RETRY,
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            if let Err(error) = self.reload().await {
                tracing::warn!(
                    error = format!("{error:#}"),
                    "the JWKS was not reloaded; the keys stay as they were"
                );
            }
        }
    }

    async fn reload(&self) -> anyhow::Result<()> {
        let bytes = self.source.read().await.with_context(|| format!("jwt.jwks {}", self.source))?;
        let current = self.loaded.load();
        if current.is_ready() && current.bytes == bytes {
            return Ok(());
        }
        let by_id = parse(&bytes).with_context(|| format!("jwt.jwks {}", self.source))?;
        let generation = current.generation + 1;
        tracing::info!(keys = by_id.len(), generation, "the JWKS is loaded");
        self.loaded.store(Arc::new(Keys { generation, bytes, by_id }));
        Ok(())
    }
}

impl Source {
    fn parse(location: &str) -> anyhow::Result<Source> {
        if !location.starts_with("http://") && !location.starts_with("https://") {
            return Ok(Source::File(PathBuf::from(location)));
        }
        let url = reqwest::Url::parse(location).with_context(|| format!("jwt.jwks {location}"))?;
        let client = reqwest::Client::builder().timeout(URL_TIMEOUT).build()?;
        Ok(Source::Url { url, client })
    }

    async fn read(&self) -> anyhow::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        match self {
            Source::File(path) => {
                let file = tokio::fs::File::open(path).await?;
                file.take(MAX_JWKS_BYTES as u64 + 1).read_to_end(&mut bytes).await?;
                ensure!(bytes.len() <= MAX_JWKS_BYTES, "is larger than {MAX_JWKS_BYTES} bytes");
            }
            Source::Url { url, client } => {
                let answer = client.get(url.clone()).send().await?.error_for_status()?;
                let mut body = answer.bytes_stream();
                while let Some(chunk) = body.next().await {
                    bytes.extend_from_slice(&chunk?);
                    ensure!(bytes.len() <= MAX_JWKS_BYTES, "is larger than {MAX_JWKS_BYTES} bytes");
                }
            }
        }
        Ok(bytes)
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Source::File(path) => path.display().fmt(f),
            Source::Url { url, .. } => url.fmt(f),
        }
    }
}

fn parse(bytes: &[u8]) -> anyhow::Result<HashMap<String, DecodingKey>> {
    let set: JwkSet = serde_json::from_slice(bytes).context("is not a JWK set")?;
    let mut keys = HashMap::new();
    for jwk in &set.keys {
        let AlgorithmParameters::OctetKeyPair(parameters) = &jwk.algorithm else { continue };
        let (EllipticCurve::Ed25519, Some(kid)) = (&parameters.curve, &jwk.common.key_id) else { continue };
        keys.insert(kid.clone(), DecodingKey::from_jwk(jwk).with_context(|| format!("key {kid}"))?);
    }
    ensure!(!keys.is_empty(), "holds no Ed25519 key with a key id");
    Ok(keys)
}
