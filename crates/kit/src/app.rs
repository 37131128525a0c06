//! The process: listeners, trust, routes, readiness and background tasks of one service, from bind to drain. It binds first,
//! so that a port in use is the first thing said, and stops under a deadline. It never knows what the service does.

mod abandoned;
mod admin;
mod connection;
mod farewell;
mod front;
mod handshake;
mod health;
mod life;
mod listener;
mod mutual;
mod readiness;
mod socket;
mod tasks;

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use http::Request;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::service::RoutesBuilder;

use crate::auth::{Settings, Verifier};
use crate::clock::Clock;
use crate::config;
use crate::contract::Contract;
use crate::tls;
pub use front::Front;
use readiness::Readiness;
use tasks::Tasks;

/// A service about to serve. Made by [`App::bind`], filled by the service, run by `kit::run`.
pub struct App {
    config: config::Server,
    contract: Arc<Contract>,
    clock: Clock,
    verifier: Arc<Verifier>,
    tls: Arc<tls::Material>,
    listener: TcpListener,
    admin: TcpListener,
    routes: RoutesBuilder,
    services: Vec<&'static str>,
    front: Option<front::Door>,
    readiness: Arc<Readiness>,
    tasks: Tasks,
    stop: CancellationToken,
}

impl App {
    /// Binds both listeners, then loads certificates and token keys. Nothing is served before [`App::serve`].
    pub async fn bind(config: &config::Server, contract: Arc<Contract>) -> anyhow::Result<App> {
        let listener = bind("listen", config.listen).await?;
        let admin = bind("admin.listen", config.admin).await?;
        let clock = Clock::system();
        let tls = tls::Material::read(&config.tls)?;
        let settings = Settings {
            jwks: config.jwt.jwks.clone(),
            issuer: config.jwt.issuer.clone(),
            audience: config.jwt.audience.clone(),
        };
        let verifier = Verifier::start(settings, contract.permissions().clone(), clock.clone()).await?;
        let mut app = App {
            config: config.clone(),
            contract,
            clock,
            verifier: verifier.clone(),
            tls,
            listener,
            admin,
            routes: RoutesBuilder::default(),
            services: Vec::new(),
            front: None,
            readiness: Arc::default(),
            tasks: Tasks::default(),
            stop: CancellationToken::new(),
        };
        app.follow_token_keys(verifier);
        app.follow_certificates();
        Ok(app)
    }

    /// Adds a tonic service behind the stack.
    pub fn grpc<S>(&mut self, service: S) -> &mut Self
    where
        S: tower::Service<Request<Body>, Error = Infallible> + NamedService + Clone + Send + Sync + 'static,
        S::Response: axum::response::IntoResponse,
        S::Future: Send + 'static,
    {
        self.services.push(S::NAME);
        self.routes.add_service(service);
        self
    }

    /// Serves HTTP/1.1 and HTTP/2 on `listen` instead of gRPC over mTLS: for the gateway, whose front is its own. In plain text unless there is
    /// a certificate for it. Connections live on [`crate::workers`].
    ///
    /// # Errors
    /// The certificate and its key cannot be read, or do not belong together.
    pub fn http(&mut self, front: impl Front, tls: Option<&config::FrontTls>) -> anyhow::Result<&mut Self> {
        let tls = tls.map(tls::Front::read).transpose()?;
        if let Some(tls) = tls.clone() {
            self.task("front tls", |stop| async move {
                tls.follow(stop).await;
                Ok(())
            });
        }
        self.front = Some(front::door(front, tls));
        Ok(self)
    }

    /// A part the service cannot work without. It is asked every second; /readyz and grpc.health follow the answers.
    pub fn ready<F, Fut>(&mut self, name: &'static str, check: F) -> &mut Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.readiness.add(name, check);
        self
    }

    /// A background task. It runs from [`App::serve`] until its token is cancelled, which happens when the last call has been
    /// answered. A task that ends with an error, or panics, takes the process down: the next one starts from what is durable.
    pub fn task<F, Fut>(&mut self, name: &'static str, run: F) -> &mut Self
    where
        F: FnOnce(CancellationToken) -> Fut + Send + 'static,
        Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        self.tasks.add(name, run);
        self
    }

    pub fn clock(&self) -> Clock {
        self.clock.clone()
    }

    pub fn contract(&self) -> Arc<Contract> {
        self.contract.clone()
    }

    /// Cancelled when the process begins to drain: whoever holds a stream open ends it then.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Our certificate and CA, for [`crate::client::connect`].
    pub fn tls(&self) -> &tls::Client {
        self.tls.client()
    }

    /// Verifies tokens: the gateway does it at its own front too.
    pub fn verifier(&self) -> Arc<Verifier> {
        self.verifier.clone()
    }

    /// /healthz, /readyz and /metrics. Served on `admin.listen` anyway; the gateway merges it into its front.
    pub fn admin_router(&self) -> axum::Router {
        admin::router(self.readiness.clone())
    }

    /// Where the main listener really is (a test binds port 0).
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().expect("a bound listener has an address")
    }

    /// Where the admin listener really is.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin.local_addr().expect("a bound listener has an address")
    }

    /// Serves until `signal`, then drains under the configuration's deadline: no new connections, GOAWAY on the open ones, streams
    /// ended, calls in flight finished, tasks stopped. An error when a task failed; whatever runs then is drained too.
    pub async fn serve(self, signal: impl Future<Output = ()> + Send) -> anyhow::Result<()> {
        life::run(self, signal).await
    }

    fn follow_certificates(&mut self) {
        let material = self.tls.clone();
        self.task("tls", |stop| async move {
            material.follow(stop).await;
            Ok(())
        });
    }

    fn follow_token_keys(&mut self, verifier: Arc<Verifier>) {
        let ready = verifier.clone();
        self.ready("jwks", move || {
            let loaded = ready.is_ready();
            async move {
                anyhow::ensure!(loaded, "no key is loaded");
                Ok(())
            }
        });
        self.task("jwks", |stop| async move {
            verifier.keys().follow(stop).await;
            Ok(())
        });
    }
}

async fn bind(key: &str, address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| format!("{key}: cannot listen on {address}"))
}
