//! The facades our gateway is compared with: HTTP/1.1 in, one HTTP/2 connection a core out, on the same workers. The null facade passes a message on as it came;
//! the bare one transcodes both ways by the contract's routes. Neither has anything else: no token, no limit, no metric, no TLS.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use stampede_kit::Contract;
use stampede_kit::workers::{self, Workers};
use stampede_transcode::{Found, RequestOptions, ResponseOptions, Router};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::OnceCell;

use super::link::{self, FRAME_HEADER, Link};
use super::{order, part};

/// As the gateway reads and writes.
const REQUEST: RequestOptions = RequestOptions { unknown_fields: stampede_transcode::UnknownFields::Refuse };
const RESPONSE: ResponseOptions = ResponseOptions { emit_defaults: true };
const JSON_GROWTH: usize = 4;
const SPARE_BYTES: usize = 64;

/// A facade as a process.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    #[arg(long)]
    listen: SocketAddr,
    /// Where the backend listens in plain.
    #[arg(long)]
    backend: SocketAddr,
    /// Transcode.
    #[arg(long)]
    transcode: bool,
}

/// What every connection shares.
struct Facade {
    backend: SocketAddr,
    /// One for each worker, as the gateway has them.
    links: Vec<OnceCell<Link>>,
    /// The null facade has none, and one place to send everything to.
    routes: Option<Routes>,
    only: Uri,
}

struct Routes {
    router: Router,
    /// Where each route leads, at its index.
    uris: Vec<Uri>,
}

/// A status and a sentence.
type Refused = (StatusCode, String);

/// The process itself.
pub fn run(args: &Args) -> anyhow::Result<ExitCode> {
    part::run(async {
        let listener = TcpListener::bind(args.listen).await?;
        let facade = Arc::new(Facade {
            backend: args.backend,
            links: (0..workers::places()).map(|_| OnceCell::new()).collect(),
            routes: if args.transcode { Some(Routes::read()?) } else { None },
            only: uri(order::CREATE)?,
        });
        let workers = Workers::start()?;
        loop {
            let (stream, _) = listener.accept().await.context("no more connections")?;
            stream.set_nodelay(true)?;
            let stream = stream.into_std()?;
            let facade = Arc::clone(&facade);
            let service = service_fn(move |request| {
                let facade = Arc::clone(&facade);
                async move { Ok::<_, Infallible>(facade.answer(request).await) }
            });
            workers.spawn(async move {
                let Ok(stream) = TcpStream::from_std(stream) else { return };
                // It ends when its caller goes.
                http1::Builder::new().serve_connection(TokioIo::new(stream), service).await.ok();
            });
        }
    })
}

impl Routes {
    fn read() -> anyhow::Result<Routes> {
        let contract = Contract::parse(stampede_proto::DESCRIPTOR_SET)?;
        let router = Router::build(contract.pool())?;
        let uris =
            router.routes().iter().map(|route| uri(route.grpc_path())).collect::<anyhow::Result<_>>()?;
        Ok(Routes { router, uris })
    }
}

fn uri(path: &str) -> anyhow::Result<Uri> {
    format!("http://backend{path}").parse().with_context(|| format!("{path} is no path"))
}

impl Facade {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let answered = match &self.routes {
            Some(routes) => self.transcoded(routes, request).await,
            None => self.passed(request).await,
        };
        let (status, body) = match answered {
            Ok(body) => (StatusCode::OK, body),
            Err((status, text)) => (status, Bytes::from(serde_json::json!({ "message": text }).to_string())),
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        let json = HeaderValue::from_static("application/json");
        response.headers_mut().insert(http::header::CONTENT_TYPE, json);
        response
    }

    async fn call(&self, uri: Uri, frame: Bytes) -> Result<Bytes, Refused> {
        let link = self.links[workers::place()].get_or_try_init(|| Link::open(self.backend)).await;
        link.map_err(|error| bad_gateway(&error))?.call(uri, frame).await.map_err(|error| bad_gateway(&error))
    }

    /// The body is a framed message already, and so is what comes back but for its frame.
    async fn passed(&self, request: Request<Incoming>) -> Result<Bytes, Refused> {
        let frame = read(request.into_body()).await?;
        self.call(self.only.clone(), frame).await
    }

    async fn transcoded(&self, routes: &Routes, request: Request<Incoming>) -> Result<Bytes, Refused> {
        let (parts, body) = request.into_parts();
        let matched = match routes.router.find(&parts.method, parts.uri.path()) {
            Found::Match(matched) => matched,
            Found::NotFound => return Err((StatusCode::NOT_FOUND, "no such route".into())),
            Found::MethodNotAllowed { allow } => return Err((StatusCode::METHOD_NOT_ALLOWED, allow)),
        };
        let body = read(body).await?;
        let mut frame = Vec::with_capacity(FRAME_HEADER + body.len() + SPARE_BYTES);
        frame.resize(FRAME_HEADER, 0);
        matched
            .request(parts.uri.query(), &body, &REQUEST, &mut frame)
            .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
        let uri = routes.uris[matched.route.index()].clone();
        let message = self.call(uri, link::seal(frame)).await?;
        let mut json = Vec::with_capacity(message.len() * JSON_GROWTH + SPARE_BYTES);
        matched
            .route
            .response(&message, &RESPONSE, &mut json)
            .map_err(|error| (StatusCode::BAD_GATEWAY, error.to_string()))?;
        Ok(json.into())
    }
}

async fn read(body: Incoming) -> Result<Bytes, Refused> {
    let read = body.collect().await.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok(read.to_bytes())
}

fn bad_gateway(error: &anyhow::Error) -> Refused {
    (StatusCode::BAD_GATEWAY, format!("{error:#}"))
}
