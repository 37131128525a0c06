//! A way to a server that can be cut, made deaf and mended: the server itself goes on serving the other tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use stampede_kit::task;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Open,
    /// What the server says is lost.
    Deaf,
    Cut,
}

pub struct Proxy {
    pub address: SocketAddr,
    way: watch::Sender<Way>,
    refused: Arc<AtomicU32>,
}

impl Proxy {
    /// Forwards to the server of `url`; `open` says whether at once.
    pub async fn to(url: &str, open: bool) -> Self {
        let server = host_of(url).to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (way, watched) = watch::channel(if open { Way::Open } else { Way::Cut });
        let refused = Arc::new(AtomicU32::new(0));
        let counted = refused.clone();
        task::spawn("test", async move {
            while let Ok((near, _)) = listener.accept().await {
                if *watched.borrow() == Way::Cut {
                    counted.fetch_add(1, Ordering::SeqCst);
                    continue;
                }
                task::spawn("test", forward(near, server.clone(), watched.clone()));
            }
        });
        Self { address, way, refused }
    }

    /// Cuts every connection and refuses new ones.
    pub fn cut(&self) {
        self.way.send_replace(Way::Cut);
    }

    /// Loses what the server says; what is said to it arrives.
    pub fn deafen(&self) {
        self.way.send_replace(Way::Deaf);
    }

    /// Lets everything through again. Connections that have lost something end first.
    pub fn mend(&self) {
        self.way.send_replace(Way::Open);
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

async fn forward(near: TcpStream, server: String, mut way: watch::Receiver<Way>) {
    let Ok(far) = TcpStream::connect(server).await else { return };
    let ((mut from_near, to_near), (from_far, mut to_far)) = (near.into_split(), far.into_split());
    let back = answers(from_far, to_near, way.clone());
    let ended = async {
        let _ = way.wait_for(|way| *way != Way::Open).await;
        let _ = way.wait_for(|way| *way != Way::Deaf).await;
    };
    tokio::select! {
        _ = tokio::io::copy(&mut from_near, &mut to_far) => {}
        () = back => {}
        () = ended => {}
    }
}

/// What the server says, as far as somebody listens.
async fn answers(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, way: watch::Receiver<Way>) {
    let mut piece = vec![0; 16 * 1024];
    while let Ok(count @ 1..) = from.read(&mut piece).await {
        if *way.borrow() == Way::Open && to.write_all(&piece[..count]).await.is_err() {
            return;
        }
    }
}

/// `host:port` of `scheme://user@host:port/path`.
fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split('/').next().unwrap();
    authority.rsplit('@').next().unwrap()
}
