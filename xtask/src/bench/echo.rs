//! The bare unary echo: a process with inventory's certificate, listener, contract and kit, whose `DeductStock` answers at once
//! with what it was asked. What a deduction costs beyond this is the gate and the ledger. It is this program itself, started with
//! a hidden command, so that nothing of it ships with a service; it keeps no stock.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::process::{Command, ExitCode};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use stampede_kit::config::Server;
use stampede_kit::{App, Contract};
use stampede_proto::inventory::v1::{DeductStockRequest, DeductStockResponse};
use tonic::body::Body;
use tonic::server::{Grpc, NamedService, UnaryService};
use tonic::{Request, Response, Status};
use tonic_prost::ProstCodec;

use super::shop::{self, SERVICE};
use crate::measure::CLIENT;
use crate::pids::{self, Pid, Signal};
use crate::processes::Measured;
use crate::stack::{self, Stack};
use crate::{certs, ports};

/// The hidden command.
pub const COMMAND: &str = "echo";
const READY_WITHIN: Duration = Duration::from_secs(20);
const STOPPED_WITHIN: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(25);

/// A running echo; it ends with this value.
pub struct Echo {
    pid: Pid,
    pub address: SocketAddr,
}

impl Echo {
    /// Starts it beside the shop and waits until it listens.
    pub fn start(stack: &Stack) -> anyhow::Result<Echo> {
        let port = |admin| anyhow::Ok(ports::loopback(ports::keep_or_draw(None, admin)?));
        let (address, admin) = (port(None)?, port(None)?);
        let folder = stack.folder();
        let path = |path: std::path::PathBuf| path.display().to_string();
        let settings = [
            ("listen", address.to_string()),
            ("admin.listen", admin.to_string()),
            ("environment", certs::ENVIRONMENT.to_owned()),
            ("tls.cert", path(folder.cert_path(SERVICE))),
            ("tls.key", path(folder.key_path(SERVICE))),
            ("tls.ca", path(folder.ca_path())),
            ("tls.crl", path(folder.crl_path())),
            ("jwt.jwks", path(folder.jwks_path())),
        ];
        let mut command = Command::new(std::env::current_exe().context("this program has no path")?);
        command
            .args(["bench", COMMAND])
            .env_clear()
            .envs(settings.map(|(key, value)| (stack::variable(SERVICE, key), value)))
            .current_dir(shop::folder());
        let child = pids::launch(&mut command, &stack.log(COMMAND))?;
        let pid = Pid::of(&child, COMMAND);
        pids::reap(child);
        let echo = Echo { pid: pid?, address };
        let deadline = Instant::now() + READY_WITHIN;
        while std::net::TcpStream::connect(address).is_err() {
            if !echo.pid.is_alive() || Instant::now() >= deadline {
                let log = stack.log(COMMAND);
                bail!("the echo does not listen; its last lines were:\n{}", pids::last_lines(&log, 5));
            }
            std::thread::sleep(POLL);
        }
        Ok(echo)
    }

    /// The processes of a measurement against it.
    pub fn measured(&self) -> Vec<Measured> {
        vec![Measured::new(COMMAND, self.pid.pid), Measured::own(CLIENT)]
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        // It keeps nothing; what cannot be ended here ends with the terminal.
        self.pid.stop(Signal::Term, STOPPED_WITHIN).ok();
    }
}

/// The process itself.
pub fn serve() -> ExitCode {
    stampede_kit::run(
        SERVICE,
        |reader| {
            let server = Server::read(reader);
            reader.finish(|| server)
        },
        async |server: Server| {
            let mut app = App::bind(&server, Contract::parse(stampede_proto::DESCRIPTOR_SET)?).await?;
            app.grpc(Deducts);
            Ok(app)
        },
    )
}

/// `InventoryService` as far as the load calls it, wired as tonic's generated code wires it.
#[derive(Clone)]
struct Deducts;

impl NamedService for Deducts {
    const NAME: &'static str = "stampede.inventory.v1.InventoryService";
}

type Answer<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl tonic::codegen::Service<http::Request<Body>> for Deducts {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Answer<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(async move { Ok(Grpc::new(ProstCodec::default()).unary(Deducts, request).await) })
    }
}

impl UnaryService<DeductStockRequest> for Deducts {
    type Response = DeductStockResponse;
    type Future = Answer<Result<Response<DeductStockResponse>, Status>>;

    fn call(&mut self, request: Request<DeductStockRequest>) -> Self::Future {
        Box::pin(async move {
            let DeductStockRequest { deduction_id, quantity, .. } = request.into_inner();
            // As long as a real answer in a sale that has run for a while.
            let (remaining, version) = (900_000_000 - i64::from(quantity), 1_000_000);
            Ok(Response::new(DeductStockResponse { deduction_id, remaining, version }))
        })
    }
}
