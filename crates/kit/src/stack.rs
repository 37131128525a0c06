//! The one stack every call goes through, outermost first: span, metrics, deadline, concurrency, peer, token, permission,
//! idempotency key, planned, field rules. A handler sees only calls that passed all of it. What a method demands comes
//! from the contract; nothing here names a service or a message.

mod access;
mod admission;
pub(crate) mod deadline;
mod frames;
mod idempotency;
mod observe;
mod request;
mod response;
pub(crate) mod trace;

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, OnceLock};

use futures::FutureExt;
use http::{Request, Response};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::service::Routes;
use tonic::{Code, Status};
use tower::ServiceExt;

use crate::auth::{Peer, Verifier};
use crate::config::Limits;
use crate::contract::{Contract, Method};
use crate::refusal::{Refusal, reason};
use crate::validate::Ruleset;
use admission::{Admission, Permit};
pub use deadline::Deadline;
use observe::Observed;

/// Served to everybody with a certificate, outside the contract: health and reflection.
const OPEN_SERVICES: [&str; 2] = ["/grpc.health.v1.Health/", "/grpc.reflection.v1.ServerReflection/"];
/// What metrics call a path nobody serves: a caller must not be able to invent labels.
const UNKNOWN: &str = "unknown";
const OPEN: &str = "grpc";

/// Cheap to clone: one per connection.
#[derive(Clone)]
pub(crate) struct Stack(Arc<Shared>);

struct Shared {
    routes: Routes,
    /// Only the methods of services this process has.
    methods: HashMap<Arc<str>, Arc<Method>>,
    rules: Arc<Ruleset>,
    verifier: Arc<Verifier>,
    admission: Admission,
    message_bytes: usize,
    stop: CancellationToken,
    unknown: Arc<str>,
    open: Arc<str>,
}

/// What a call turned out to be.
enum Target {
    Declared(Arc<Method>),
    Open,
    Unknown,
}

/// What the way in leaves for the way out.
struct Admitted {
    permit: Permit,
    deadline: Deadline,
    streams: bool,
    /// Both sides stream: the handler answers what it has read before it ends, and hears itself that the process drains.
    pipelined: bool,
}

impl Stack {
    pub(crate) fn new(
        routes: Routes,
        services: &[&'static str],
        contract: &Contract,
        verifier: Arc<Verifier>,
        limits: Limits,
        stop: CancellationToken,
    ) -> Self {
        let served = contract
            .methods()
            .iter()
            .filter(|method| services.contains(&method.descriptor.parent_service().full_name()));
        Stack(Arc::new(Shared {
            routes: routes.prepare(),
            methods: served.map(|method| (method.path.clone(), method.clone())).collect(),
            rules: contract.rules().clone(),
            verifier,
            admission: Admission::new(limits.concurrency),
            message_bytes: limits.message_bytes,
            stop,
            unknown: Arc::from(UNKNOWN),
            open: Arc::from(OPEN),
        }))
    }

    /// Answers one call. A refusal is an answer like any other: a gRPC status, never an HTTP error.
    pub(crate) async fn call(self, request: Request<Body>, peer: Peer) -> Response<Body> {
        let target = self.0.target(request.uri().path());
        let label = match &target {
            Target::Declared(method) => method.path.clone(),
            Target::Open => self.0.open.clone(),
            Target::Unknown => self.0.unknown.clone(),
        };
        let trace = trace::begin(&label, &peer.service, request.headers());
        let observed = Observed::start(label, trace.span.clone());
        let answering = AssertUnwindSafe(self.0.answer(target, request, peer)).catch_unwind();
        let answer = trace.around(answering).await;
        let (answer, admitted) = answer.unwrap_or_else(|_| {
            // The panic hook has logged where and why.
            (Err(Refusal::internal()), None)
        });
        let answer = answer.unwrap_or_else(|refusal| Status::from(refusal).into_http());
        response::watched(answer, admitted, observed, self.0.stop.clone())
    }
}

impl Shared {
    fn target(&self, path: &str) -> Target {
        match self.methods.get(path) {
            Some(method) => Target::Declared(method.clone()),
            None if OPEN_SERVICES.iter().any(|open| path.starts_with(open)) => Target::Open,
            None => Target::Unknown,
        }
    }

    async fn answer(
        &self,
        target: Target,
        request: Request<Body>,
        peer: Peer,
    ) -> (Result<Response<Body>, Refusal>, Option<Admitted>) {
        match target {
            Target::Declared(method) => match self.admit(&method, request.headers()) {
                Ok(admitted) => (self.serve(&method, request, peer, &admitted).await, Some(admitted)),
                Err(refusal) => (Err(refusal), None),
            },
            Target::Open => (self.handle(request).await, None),
            Target::Unknown => {
                let refusal = Refusal::new(
                    Code::Unimplemented,
                    reason::NOT_IMPLEMENTED,
                    "there is no such method here",
                );
                (Err(refusal), None)
            }
        }
    }

    fn admit(&self, method: &Method, headers: &http::HeaderMap) -> Result<Admitted, Refusal> {
        let deadline = deadline::shrunk(headers, method.calling.deadline)?;
        let permit = self.admission.admit(method)?;
        let pipelined = method.client_streaming && method.server_streaming;
        Ok(Admitted { permit, deadline, streams: !method.is_unary(), pipelined })
    }

    /// Everything between admission and the handler's first answer happens before the deadline.
    async fn serve(
        &self,
        method: &Method,
        mut request: Request<Body>,
        peer: Peer,
        admitted: &Admitted,
    ) -> Result<Response<Body>, Refusal> {
        let caller = access::check(method, &peer, &self.verifier, request.headers())?;
        idempotency::check(method, request.headers())?;
        if method.calling.planned {
            return Err(Refusal::new(
                Code::Unimplemented,
                reason::NOT_IMPLEMENTED,
                "this method is planned, not built yet",
            ));
        }
        let extensions = request.extensions_mut();
        extensions.insert(peer);
        extensions.insert(admitted.deadline);
        if let Some(caller) = caller {
            extensions.insert(caller);
        }
        let broken = Arc::new(OnceLock::new());
        let handled = async {
            let request = request::checked(request, method, &self.rules, self.message_bytes, &broken).await?;
            self.handle(request).await
        };
        let answer = tokio::time::timeout_at(admitted.deadline.0.into(), handled)
            .await
            .map_err(|_| Refusal::deadline_exceeded())?;
        // A message of the caller's stream broke a rule: that is the answer, whatever the handler made of it.
        broken.get().cloned().map_or(answer, Err)
    }

    async fn handle(&self, request: Request<Body>) -> Result<Response<Body>, Refusal> {
        match self.routes.clone().oneshot(request).await {
            Ok(response) => Ok(response.map(Body::new)),
            Err(error) => match error {},
        }
    }
}
