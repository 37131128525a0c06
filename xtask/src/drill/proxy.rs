//! A TCP proxy on loopback between a client and its server: it delays each way, stalls, cuts, and may be pointed at another
//! server. It looks into no byte, and loses none until one end closes or it is cut.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use stampede_kit::task;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::ports;

const CHUNK_BYTES: usize = 16 * 1024;
/// Chunks under way in one direction of one connection; then its sender waits.
const CHUNKS: usize = 4_096;

/// How it treats what passes.
#[derive(Debug, Clone)]
struct Way {
    target: SocketAddr,
    /// Each way.
    delay: Duration,
    stalled: bool,
    /// Grows with every cut: connections of an earlier number end.
    cuts: u64,
}

/// A running proxy; gone with the value.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    way: watch::Sender<Way>,
}

impl Proxy {
    /// Listens on a free port and leads to `target`.
    pub fn open(runtime: &Handle, target: SocketAddr) -> anyhow::Result<Proxy> {
        let address = ports::loopback(ports::keep_or_draw(None, None)?);
        let listener = runtime.block_on(TcpListener::bind(address)).context("the proxy cannot listen")?;
        let (way, seen) = watch::channel(Way { target, delay: Duration::ZERO, stalled: false, cuts: 0 });
        let _entered = runtime.enter();
        task::spawn("proxy", accept(listener, seen));
        Ok(Proxy { address, way })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What passes from now on takes so much longer, each way.
    pub fn delay(&self, delay: Duration) {
        self.way.send_modify(|way| way.delay = delay);
    }

    /// Nothing passes any more; connections stay open.
    pub fn stall(&self) {
        self.way.send_modify(|way| way.stalled = true);
    }

    /// Ends every connection, and loses what was under way.
    pub fn cut(&self) {
        self.way.send_modify(|way| way.cuts += 1);
    }

    /// New connections lead elsewhere.
    pub fn lead_to(&self, target: SocketAddr) {
        self.way.send_modify(|way| way.target = target);
    }
}

/// Ends when the proxy's value is gone.
async fn accept(listener: TcpListener, mut way: watch::Receiver<Way>) {
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                if let Ok((client, _)) = accepted {
                    task::spawn("proxied", carry(client, way.clone()));
                }
            }
            changed = way.changed() => if changed.is_err() { return },
        }
    }
}

/// One connection, both ways, until either end closes it or it is cut.
async fn carry(client: TcpStream, mut way: watch::Receiver<Way>) {
    let (target, cuts) = (way.borrow().target, way.borrow().cuts);
    // A server that is not there refuses; its client sees a connection that closes at once.
    let Ok(server) = TcpStream::connect(target).await else { return };
    if client.set_nodelay(true).and_then(|()| server.set_nodelay(true)).is_err() {
        return;
    }
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pass(from_client, to_server, way.clone()) => {}
        () = pass(from_server, to_client, way.clone()) => {}
        // An error says that the proxy is gone, which is a cut as well.
        _ = way.wait_for(|way| way.cuts != cuts) => {}
    }
}

async fn pass(from: OwnedReadHalf, to: OwnedWriteHalf, way: watch::Receiver<Way>) {
    let (chunks, queue) = mpsc::channel(CHUNKS);
    // When no more comes in, what is under way still goes out.
    let reading = async {
        read(from, chunks, way.clone()).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = reading => {}
        () = write(to, queue, way.clone()) => {}
    }
}

/// Gives every chunk the time at which it is due.
async fn read(mut from: OwnedReadHalf, chunks: mpsc::Sender<(Instant, Vec<u8>)>, way: watch::Receiver<Way>) {
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let Ok(count @ 1..) = from.read(&mut chunk).await else { return };
        chunk.truncate(count);
        let due = Instant::now() + way.borrow().delay;
        if chunks.send((due, chunk)).await.is_err() {
            return;
        }
    }
}

async fn write(
    mut to: OwnedWriteHalf,
    mut queue: mpsc::Receiver<(Instant, Vec<u8>)>,
    mut way: watch::Receiver<Way>,
) {
    while let Some((due, chunk)) = queue.recv().await {
        tokio::time::sleep_until(due).await;
        if way.wait_for(|way| !way.stalled).await.is_err() || to.write_all(&chunk).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that answers with what it was sent.
    async fn echo() -> SocketAddr {
        let listener = TcpListener::bind(ports::loopback(0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        task::spawn("echo", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                task::spawn("echoed", async move {
                    let (mut from, mut to) = stream.split();
                    tokio::io::copy(&mut from, &mut to).await.ok();
                });
            }
        });
        address
    }

    #[test]
    fn it_delays_each_way_stalls_and_cuts() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let target = runtime.block_on(echo());
        let proxy = Proxy::open(runtime.handle(), target).unwrap();
        runtime.block_on(async {
            let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
            let mut back = [0; 4];
            stream.write_all(b"fast").await.unwrap();
            stream.read_exact(&mut back).await.unwrap();
            assert_eq!(&back, b"fast");

            proxy.delay(Duration::from_millis(60));
            let asked = Instant::now();
            stream.write_all(b"slow").await.unwrap();
            stream.read_exact(&mut back).await.unwrap();
            assert!(asked.elapsed() >= Duration::from_millis(120), "{:?}", asked.elapsed());

            proxy.delay(Duration::ZERO);
            proxy.stall();
            stream.write_all(b"lost").await.unwrap();
            let nothing = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut back)).await;
            assert!(nothing.is_err(), "a stalled proxy lets nothing pass");
            proxy.cut();
            assert!(matches!(stream.read(&mut back).await, Ok(0) | Err(_)), "a cut connection ends");
        });
    }

    #[test]
    fn it_leads_where_it_is_pointed() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let proxy = Proxy::open(runtime.handle(), ports::loopback(1)).unwrap();
        let target = runtime.block_on(echo());
        proxy.lead_to(target);
        runtime.block_on(async {
            let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
            let mut back = [0; 2];
            stream.write_all(b"hi").await.unwrap();
            stream.read_exact(&mut back).await.unwrap();
            assert_eq!(&back, b"hi");
        });
    }
}
