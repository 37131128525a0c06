//! The channel to a service: what it carries, what a lost connection costs, and what nobody reads any more.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::join_all;
use stampede_kit as kit;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_stream::StreamExt as _;
use tonic::Code;
use tonic_prost::ProstCodec;

use crate::desk::{Answer, Question, question};
use crate::house::{ASK, House, asked, call};

type Codec = ProstCodec<Question, Answer>;

#[tokio::test]
async fn messages_beyond_every_window_arrive_and_all_of_them() {
    const MESSAGES: usize = 200;
    let mut house = House::open().await;
    let mut grpc = tonic::client::Grpc::new(house.channel("client"));
    let large = question(&"x".repeat(60_000));
    let mut request = tonic::Request::new(tokio_stream::iter(vec![large; MESSAGES]));
    request.metadata_mut().insert("authorization", format!("Bearer {}", house.alice()).parse().unwrap());
    let path = http::uri::PathAndQuery::from_static("/test.v1.Desk/Import");
    let answer = grpc.client_streaming(request, path, Codec::default()).await.unwrap().into_inner();
    assert_eq!(answer.text, MESSAGES.to_string());
}

#[tokio::test]
async fn a_connection_that_broke_is_made_again_and_only_then() {
    let mut house = House::open().await;
    let (relay, connections) = Relay::before(house.address).await;
    let channel =
        kit::client::connect(&house.client_tls("client"), "order", &relay.address, house.contract.clone());
    let ask = async || call(&channel, ASK, asked(&house.alice(), question("x"))).await;
    join_all((0..20).map(|_| ask())).await.into_iter().for_each(|answer| drop(answer.unwrap()));
    assert_eq!(connections.load(Ordering::SeqCst), 1, "all share one");

    relay.cut().await;
    while let Err(status) = ask().await {
        assert_eq!(status.code(), Code::Unavailable);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(connections.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn callers_of_a_service_that_shakes_no_hands_share_a_failure() {
    let mut house = House::open().await;
    let deaf = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = deaf.local_addr().unwrap().to_string();
    let channel =
        kit::client::connect(&house.client_tls("client"), "order", &address, house.contract.clone());
    let answers = join_all((0..20).map(|_| call(&channel, ASK, asked(&house.alice(), question("x"))))).await;
    for answer in answers {
        assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
    }
    let knocks = async || tokio::time::timeout(Duration::from_millis(100), deaf.accept()).await;
    knocks().await.unwrap().unwrap();
    knocks().await.expect_err("nobody knocked a second time");
}

#[tokio::test]
async fn answers_that_nobody_reads_any_more_end_the_call_at_the_server() {
    let mut house = House::open().await;
    let mut grpc = tonic::client::Grpc::new(house.channel("client"));
    let questions = tokio_stream::iter([question("read")]).chain(tokio_stream::pending());
    let mut request = tonic::Request::new(questions);
    request.metadata_mut().insert("authorization", format!("Bearer {}", house.alice()).parse().unwrap());
    let path = http::uri::PathAndQuery::from_static("/test.v1.Desk/Talk");
    let answers = grpc.streaming(request, path, Codec::default()).await.unwrap();
    house.desk.waiting.acquire().await.unwrap().forget();
    let while_it_waits = Arc::strong_count(&house.desk.release);

    drop(answers);
    while Arc::strong_count(&house.desk.release) >= while_it_waits {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Passes bytes on until it is cut.
struct Relay {
    address: String,
    passing: Arc<tokio::sync::Mutex<JoinSet<()>>>,
}

impl Relay {
    /// With the number of connections it has taken.
    async fn before(server: std::net::SocketAddr) -> (Relay, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (connections, passing) = (Arc::new(AtomicUsize::new(0)), Arc::default());
        let relay = Relay { address, passing: Arc::clone(&passing) };
        let taken = Arc::clone(&connections);
        tokio::spawn(async move {
            loop {
                let (mut caller, _) = listener.accept().await.unwrap();
                taken.fetch_add(1, Ordering::SeqCst);
                passing.lock().await.spawn(async move {
                    let mut server = TcpStream::connect(server).await.unwrap();
                    // Broken by either side or by the test.
                    let _ = tokio::io::copy_bidirectional(&mut caller, &mut server).await;
                });
            }
        });
        (relay, connections)
    }

    /// Breaks what is open; the next connection is taken.
    async fn cut(&self) {
        self.passing.lock().await.shutdown().await;
    }
}
