//! A service as tonic's generator would write it, small enough to write by hand. What it does is in the question: it echoes,
//! waits to be released, panics, or calls nobody.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::Stream;
use stampede_kit as kit;
use tokio::sync::Semaphore;
use tokio_stream::{StreamExt, wrappers::IntervalStream};
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

#[derive(Clone, PartialEq, prost::Message)]
pub struct Question {
    #[prost(string, tag = "1")]
    pub text: String,
    #[prost(message, repeated, tag = "2")]
    pub lines: Vec<Line>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Line {
    #[prost(uint32, tag = "1")]
    pub quantity: u32,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Answer {
    #[prost(string, tag = "1")]
    pub text: String,
}

pub fn question(text: &str) -> Question {
    Question { text: text.to_owned(), lines: Vec::new() }
}

#[derive(Clone)]
pub struct Desk {
    /// Questions "wait" until one permit is added for each.
    pub release: Arc<Semaphore>,
    /// One permit is added for each question that began to wait.
    pub waiting: Arc<Semaphore>,
}

impl Default for Desk {
    fn default() -> Self {
        Desk { release: Arc::new(Semaphore::new(0)), waiting: Arc::new(Semaphore::new(0)) }
    }
}

impl NamedService for Desk {
    const NAME: &'static str = "test.v1.Desk";
}

type Unary = Pin<Box<dyn Future<Output = Result<Response<Answer>, Status>> + Send>>;
type Feed = Pin<Box<dyn Stream<Item = Result<Answer, Status>> + Send>>;

impl tower::Service<http::Request<Body>> for Desk {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        let desk = self.clone();
        Box::pin(async move {
            let mut grpc = tonic::server::Grpc::new(ProstCodec::<Answer, Question>::default());
            Ok(match request.uri().path() {
                "/test.v1.Desk/Follow" => grpc.server_streaming(Follow, request).await,
                "/test.v1.Desk/Import" | "/test.v1.Desk/Sift" => grpc.client_streaming(Import, request).await,
                "/test.v1.Desk/Talk" => grpc.streaming(Talk(desk), request).await,
                _ => grpc.unary(Ask(desk), request).await,
            })
        })
    }
}

struct Ask(Desk);

impl tonic::server::UnaryService<Question> for Ask {
    type Response = Answer;
    type Future = Unary;

    fn call(&mut self, request: Request<Question>) -> Unary {
        let Desk { release, waiting } = self.0.clone();
        Box::pin(async move {
            let cx = kit::Context::of(&request);
            match request.get_ref().text.as_str() {
                "wait" => {
                    waiting.add_permits(1);
                    release.acquire().await.unwrap().forget();
                }
                "panic" => panic!("the test asked for it"),
                _ => {}
            }
            let who = cx.caller.as_ref().map_or("nobody", |caller| &caller.subject);
            let key = cx.idempotency_key.as_deref().unwrap_or("-");
            let text = format!("{} for {who} key {key} left {}", cx.peer.service, cx.remaining().as_secs());
            Ok(Response::new(Answer { text }))
        })
    }
}

struct Follow;

impl tonic::server::ServerStreamingService<Question> for Follow {
    type Response = Answer;
    type ResponseStream = Feed;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Feed>, Status>> + Send>>;

    fn call(&mut self, _: Request<Question>) -> Self::Future {
        let ticks = IntervalStream::new(tokio::time::interval(Duration::from_millis(20)));
        let feed: Feed = Box::pin(ticks.map(|_| Ok(Answer { text: "tick".to_owned() })));
        Box::pin(async move { Ok(Response::new(feed)) })
    }
}

struct Talk(Desk);

impl tonic::server::StreamingService<Question> for Talk {
    type Response = Answer;
    type ResponseStream = Feed;
    type Future = Pin<Box<dyn Future<Output = Result<Response<Feed>, Status>> + Send>>;

    /// Answers the first question when it is released, and ends.
    fn call(&mut self, request: Request<Streaming<Question>>) -> Self::Future {
        let Desk { release, waiting } = self.0.clone();
        let answers = futures::stream::once(async move {
            let question = request.into_inner().next().await.expect("a question")?;
            waiting.add_permits(1);
            release.acquire().await.unwrap().forget();
            Ok(Answer { text: question.text })
        });
        Box::pin(async move { Ok(Response::new(Box::pin(answers) as Feed)) })
    }
}

struct Import;

impl tonic::server::ClientStreamingService<Question> for Import {
    type Response = Answer;
    type Future = Unary;

    fn call(&mut self, request: Request<Streaming<Question>>) -> Unary {
        Box::pin(async move {
            // A handler that swallows what went wrong: the stack has to say it all the same.
            let taken = request.into_inner().take_while(Result::is_ok).fold(0, |taken, _| taken + 1).await;
            Ok(Response::new(Answer { text: taken.to_string() }))
        })
    }
}
