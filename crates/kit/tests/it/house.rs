//! One running process with an authority, a token issuer and clients of every kind.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use kit::config::{Jwt, Limits, Server, Tls};
use stampede_kit as kit;
use stampede_pki::{Authority, Claims, Issuer, Policy};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use crate::desk::{Answer, Desk, Question};

pub const ASK: &str = "/test.v1.Desk/Ask";
pub const DRAIN: Duration = Duration::from_secs(3);
const CRL: &str = "crl.pem";
const ENVIRONMENT: &str = "test";

pub struct House {
    pub address: SocketAddr,
    pub admin: SocketAddr,
    pub contract: Arc<kit::Contract>,
    pub desk: Desk,
    pub issuer: Issuer,
    /// Cancelling it is the SIGTERM of the test.
    pub signal: CancellationToken,
    pub ended: JoinHandle<anyhow::Result<()>>,
    authority: Authority,
    folder: TempDir,
}

pub fn limits() -> Limits {
    Limits { concurrency: 64, connections: 64, message_bytes: 64 * 1024 }
}

pub fn now() -> OffsetDateTime {
    kit::clock::Clock::system().now()
}

impl House {
    pub async fn open() -> House {
        House::with(limits(), |_| {}).await
    }

    pub async fn with(limits: Limits, fill: impl FnOnce(&mut kit::App)) -> House {
        House::build(limits, false, fill).await
    }

    /// A house that reads a revocation list, empty at first.
    pub async fn with_revocations() -> House {
        House::build(limits(), true, |_| {}).await
    }

    async fn build(limits: Limits, revocations: bool, fill: impl FnOnce(&mut kit::App)) -> House {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = Authority::create(Policy::development(), now()).unwrap();
        let issuer = Issuer::generate().unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.cert_pem()).unwrap();
        std::fs::write(folder.path().join("jwks.json"), issuer.jwks()).unwrap();
        let (cert, key) = write_leaf(&mut authority, folder.path(), "order", ENVIRONMENT);
        let mut config = config(folder.path(), cert, key, limits);
        if revocations {
            let path = folder.path().join(CRL);
            std::fs::write(&path, authority.crl_pem(now()).unwrap()).unwrap();
            config.tls.crl = Some(path);
        }
        let contract = contract();
        let mut app = kit::App::bind(&config, contract.clone()).await.unwrap();
        let desk = Desk::default();
        app.grpc(desk.clone());
        fill(&mut app);
        let (address, admin) = (app.address(), app.admin_address());
        let signal = CancellationToken::new();
        let stopped = signal.clone().cancelled_owned();
        let ended = tokio::spawn(app.serve(stopped));
        House { address, admin, contract, desk, issuer, signal, ended, authority, folder }
    }

    /// A channel that shows a certificate of our CA for `service`.
    pub fn channel(&mut self, service: &str) -> kit::client::Channel {
        self.channel_of(service, ENVIRONMENT)
    }

    pub fn channel_of(&mut self, service: &str, environment: &str) -> kit::client::Channel {
        let (cert, key) = write_leaf(&mut self.authority, self.folder.path(), service, environment);
        self.connect(&cert, &key)
    }

    /// A channel whose certificate another CA signed; it trusts ours all the same. The other CA's certificate comes with it.
    pub fn foreign_channel(&self) -> (kit::client::Channel, String) {
        let mut foreign = Authority::create(Policy::development(), now()).unwrap();
        let (cert, key) = write_leaf(&mut foreign, self.folder.path(), "client", ENVIRONMENT);
        (self.connect(&cert, &key), foreign.cert_pem().to_owned())
    }

    /// Takes back every certificate of `service` and publishes the list.
    pub fn revoke(&mut self, service: &str) {
        let of_service = self.authority.issued().iter().filter(|issued| issued.service == service);
        for serial in of_service.map(|issued| issued.serial.clone()).collect::<Vec<_>>() {
            self.authority.revoke(&serial, now()).unwrap();
        }
        std::fs::write(self.folder.path().join(CRL), self.authority.crl_pem(now()).unwrap()).unwrap();
    }

    /// The same certificate on a connection of its own.
    pub fn again(&self, tls: &kit::tls::Client) -> kit::client::Channel {
        kit::client::connect(tls, "order", &self.address.to_string(), self.contract.clone())
    }

    pub fn client_tls(&mut self, service: &str) -> kit::tls::Client {
        let (cert, key) = write_leaf(&mut self.authority, self.folder.path(), service, ENVIRONMENT);
        kit::tls::Client::read(&cert, &key, &self.ca()).unwrap()
    }

    pub fn ca(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    pub fn alice(&self) -> String {
        self.token(&Claims::new("alice", ["buyer"]))
    }

    pub fn token(&self, claims: &Claims) -> String {
        self.issuer.issue(claims, now()).unwrap()
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.signal.cancel();
        self.ended.await.unwrap()
    }

    fn connect(&self, cert: &Path, key: &Path) -> kit::client::Channel {
        let tls = kit::tls::Client::read(cert, key, &self.ca()).unwrap();
        kit::client::connect(&tls, "order", &self.address.to_string(), self.contract.clone())
    }
}

/// A question with a token.
pub fn asked(token: &str, question: Question) -> Request<Question> {
    let mut request = Request::new(question);
    request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
    request
}

pub async fn call(
    channel: &kit::client::Channel,
    path: &'static str,
    request: Request<Question>,
) -> Result<Response<Answer>, Status> {
    let mut grpc = tonic::client::Grpc::new(channel.clone());
    grpc.ready().await.unwrap();
    let codec = ProstCodec::<Question, Answer>::default();
    grpc.unary(request, http::uri::PathAndQuery::from_static(path), codec).await
}

/// The reason a call was refused with.
pub fn reason(answer: Result<Response<Answer>, Status>) -> String {
    let status = answer.expect_err("the call had to be refused");
    kit::refusal::reason_of(&status).unwrap_or_else(|| format!("no reason: {status:?}"))
}

pub fn contract() -> Arc<kit::Contract> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let proto = here.join("../../proto");
    let mut compiler =
        protox::Compiler::new([here.join("tests/it"), proto.clone(), proto.join("third_party")]).unwrap();
    compiler.include_imports(true).open_file("desk.proto").unwrap();
    kit::Contract::parse(&compiler.encode_file_descriptor_set()).unwrap()
}

fn write_leaf(
    authority: &mut Authority,
    folder: &Path,
    service: &str,
    environment: &str,
) -> (PathBuf, PathBuf) {
    let leaf = authority.issue(service, environment, &[], now()).unwrap();
    let (cert, key) =
        (folder.join(format!("{}.pem", leaf.serial)), folder.join(format!("{}.key", leaf.serial)));
    std::fs::write(&cert, &leaf.cert_pem).unwrap();
    std::fs::write(&key, &leaf.key_pem).unwrap();
    (cert, key)
}

fn config(folder: &Path, cert: PathBuf, key: PathBuf, limits: Limits) -> Server {
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    Server {
        service: "order",
        listen: any,
        admin: any,
        environment: ENVIRONMENT.to_owned(),
        tls: Tls { cert, key, ca: folder.join("ca.pem"), crl: None },
        jwt: Jwt {
            jwks: folder.join("jwks.json").display().to_string(),
            issuer: "https://stampede.local".to_owned(),
            audience: "stampede".to_owned(),
        },
        telemetry: kit::telemetry::Settings { log: "info".to_owned(), endpoint: None, sample: 0.0 },
        drain: DRAIN,
        limits,
    }
}
