//! Feeds as browsers follow them: server-sent events and gRPC-web through the gateway, message by message.

use std::marker::PhantomData;
use std::pin::Pin;

use futures::{Stream, StreamExt as _};
use prost::Message;
use reqwest::Method;
use serde_json::Value;

use super::buyer::Buyer;

type Pieces = Pin<Box<dyn Stream<Item = reqwest::Result<Vec<u8>>> + Send>>;

fn pieces(response: reqwest::Response) -> Pieces {
    Box::pin(response.bytes_stream().map(|piece| piece.map(Vec::from)))
}

/// Server-sent events, one by one.
pub struct Events {
    pieces: Pieces,
    text: String,
}

impl Events {
    pub async fn open(request: reqwest::RequestBuilder) -> Events {
        let response = request.header("accept", "text/event-stream").send().await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Events { pieces: pieces(response), text: String::new() }
    }

    /// The id and the data of the next event that is not a comment.
    pub async fn next(&mut self) -> (String, Value) {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let (event, rest) = (event.to_owned(), rest.to_owned());
                self.text = rest;
                let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
                if let Some(data) = field("data: ") {
                    return (field("id: ").unwrap_or("").to_owned(), serde_json::from_str(data).unwrap());
                }
                continue;
            }
            let piece = self.pieces.next().await.expect("the feed goes on").unwrap();
            self.text.push_str(std::str::from_utf8(&piece).unwrap());
        }
    }

    /// Whether the feed has come to an end of its own, without another event.
    pub async fn ended(mut self) -> bool {
        while let Some(piece) = self.pieces.next().await {
            self.text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
        }
        !self.text.contains("data: ")
    }

    /// The next event that is no heartbeat.
    pub async fn news(&mut self) -> (String, Value) {
        loop {
            let (id, event) = self.next().await;
            if event.get("heartbeat").is_none() {
                return (id, event);
            }
        }
    }
}

/// Messages of a gRPC-web stream.
pub struct Messages<M> {
    pieces: Pieces,
    bytes: Vec<u8>,
    _message: PhantomData<M>,
}

impl<M: Message + Default> Messages<M> {
    /// Asks the method at this path.
    pub async fn open(buyer: &Buyer, path: &str, ask: &impl Message) -> Messages<M> {
        let message = ask.encode_to_vec();
        let mut body = vec![0];
        body.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend(message);
        let response = buyer
            .request(Method::POST, path)
            .header("content-type", "application/grpc-web+proto")
            .header("x-grpc-web", "1")
            .body(body)
            .send()
            .await
            .unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/grpc-web+proto");
        Messages { pieces: pieces(response), bytes: Vec::new(), _message: PhantomData }
    }

    /// The next message; none where the trailers come.
    pub async fn next(&mut self) -> Option<M> {
        loop {
            let whole = self.bytes.first_chunk::<5>().map(|[flags, length @ ..]| {
                (*flags, 5 + usize::try_from(u32::from_be_bytes(*length)).unwrap())
            });
            if let Some((flags, end)) = whole.filter(|(_, end)| self.bytes.len() >= *end) {
                let piece: Vec<u8> = self.bytes.drain(..end).skip(5).collect();
                if flags == 0 {
                    return Some(M::decode(piece.as_slice()).unwrap());
                }
                let trailers = String::from_utf8(piece).unwrap().to_lowercase();
                assert!(
                    trailers.contains("grpc-status:0") || trailers.contains("grpc-status: 0"),
                    "{trailers}"
                );
                return None;
            }
            self.bytes.extend(self.pieces.next().await.expect("the feed goes on").unwrap());
        }
    }
}
