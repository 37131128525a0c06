//! A way to a server that can be cut and mended: the server itself goes on serving the other tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use stampede_kit::task;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

pub struct Proxy {
    pub address: SocketAddr,
    open: watch::Sender<bool>,
    refused: Arc<AtomicU32>,
}

impl Proxy {
    /// Forwards to the server of `url`; `open` says whether at once.
    pub async fn to(url: &str, open: bool) -> Self {
        let server = host_of(url).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, watched) = watch::channel(open);
        let refused = Arc::new(AtomicU32::new(0));
        let counted = refused.clone();
        task::spawn("test", async move {
            while let Ok((near, _)) = listener.accept().await {
                if !*watched.borrow() {
                    counted.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                task::spawn("test", forward(near, server.clone(), watched.clone()));
            }
        });
        Self { address, open, refused }
    }

    /// Cuts every connection and refuses new ones.
    pub fn cut(&self) {
        self.open.send_replace(false);
    }

    pub fn mend(&self) {
        self.open.send_replace(true);
    }

    /// Connections refused so far.
    pub fn refused(&self) -> u32 {
        self.refused.load(Ordering::SeqCst)
    }

    /// `url` by way of this proxy.
    pub fn url(&self, url: &str) -> String {
        url.replacen(host_of(url), &self.address.to_string(), 1)
    }
}

async fn forward(mut near: TcpStream, server: String, mut open: watch::Receiver<bool>) {
    let Ok(mut far) = TcpStream::connect(server).await else { return };
    tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => {}
        _ = open.wait_for(|open| !open) => {}
    }
}

/// `host:port` of `scheme://user@host:port/path`.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap();
    authority.rsplit('@').next().unwrap()
}
