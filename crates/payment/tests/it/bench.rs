//! One test's world: a database of its own, a provider process of its own, and the service between them.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use serde_json::Value;
use stampede_kit::clock::Clock;
use stampede_kit::task;
use stampede_kit::testing::{self, TestDatabase};
use stampede_payment::{
    Authorize, CaptureMode, Crash, Desk, Error, Keys, MIGRATIONS, Method, MethodKind, Payment, Payments,
    Providers, Routes, Simulator, State as Standing, Terms, Token,
};
use stampede_types::{Money, OrderId, PaymentId};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

/// After this long an answer counts as lost: short, so that lost answers are quick to test, and long enough for a busy machine.
pub const TIMEOUT: Duration = Duration::from_millis(1_000);
/// What has not come true by then never will.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What the provider signs with.
pub const WEBHOOK_KEY: &str = "test:000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

pub struct Bench {
    pub payments: Payments,
    pub psp: Psp,
    pub database: TestDatabase,
    /// Webhooks that were answered with 2xx.
    taken: Arc<AtomicUsize>,
    _resolver: Option<DropGuard>,
}

impl Bench {
    /// With the resolver running.
    pub async fn start() -> Self {
        let mut bench = Self::without_resolver().await;
        let (stop, resolving) = (CancellationToken::new(), bench.payments.clone());
        let until = stop.clone();
        drop(task::spawn("resolver", async move { resolving.resolve_until(until).await }));
        bench._resolver = Some(stop.drop_guard());
        bench
    }

    /// What is left open stays open.
    pub async fn without_resolver() -> Self {
        let database = testing::database(&MIGRATIONS).await;
        let psp = Psp::start("simulator", None).await;
        let payments = service(&database, &psp, TIMEOUT);
        Self { payments, psp, database, taken: Arc::default(), _resolver: None }
    }

    /// The provider tells what happens, to the door of this service; what is parked is heard again.
    pub async fn told() -> Self {
        let database = testing::database(&MIGRATIONS).await;
        let door = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let psp = Psp::start("simulator", Some(format!("http://{}", door.local_addr().unwrap()))).await;
        let payments = service(&database, &psp, TIMEOUT);
        let taken = Arc::<AtomicUsize>::default();
        let stop = open(&payments, door, taken.clone());
        Self { payments, psp, database, taken, _resolver: Some(stop.drop_guard()) }
    }

    /// Waits until that many webhooks were answered with 2xx, repetitions too.
    pub async fn until_taken(&self, count: usize) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.taken.load(Ordering::SeqCst) < count {
            assert!(tokio::time::Instant::now() < deadline, "fewer than {count} were taken");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Two providers that tell what happens, `simulator` and `simulator-b`, and these routes; with the resolver running.
    pub async fn pair(routes: &[&str]) -> (Self, Psp) {
        let database = testing::database(&MIGRATIONS).await;
        let door = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", door.local_addr().unwrap());
        let (psp, b) = (Psp::start(NAMES[0], Some(url.clone())).await, Psp::start(NAMES[1], Some(url)).await);
        let desk = |name, psp: &Psp| Desk {
            provider: Arc::new(Simulator::new(name, &psp.url(), TIMEOUT).unwrap()),
            keys: Keys::parse([WEBHOOK_KEY]).unwrap(),
        };
        let desks = vec![desk(NAMES[0], &psp), desk(NAMES[1], &b)];
        let providers = Providers::new(desks, Routes::parse(routes.iter().copied(), &NAMES).unwrap());
        let payments =
            Payments::new(database.pool.clone(), providers, Clock::system(), TIMEOUT, Crash::default());
        let taken = Arc::<AtomicUsize>::default();
        let (stop, resolving) = (open(&payments, door, taken.clone()), payments.clone());
        let until = stop.clone();
        drop(task::spawn("resolver", async move { resolving.resolve_until(until).await }));
        (Self { payments, psp, database, taken, _resolver: Some(stop.drop_guard()) }, b)
    }

    /// How many webhooks stand like this.
    pub async fn webhooks(&self, state: &str) -> i64 {
        sqlx::query_scalar("SELECT count(*) FROM webhook WHERE state = $1")
            .bind(state.to_owned())
            .fetch_one(&self.database.pool)
            .await
            .unwrap()
    }

    /// Waits until that many webhooks stand like this.
    pub async fn until_webhooks(&self, state: &str, count: i64) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.webhooks(state).await < count {
            assert!(tokio::time::Instant::now() < deadline, "fewer than {count} are {state}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub async fn authorize(&self, id: PaymentId, amount_minor: i64, token: &str) -> Result<Payment, Error> {
        self.payments.authorize(card(id, amount_minor, token)).await
    }

    /// A payment of 100.00 EUR, captured whole.
    pub async fn captured(&self, token: &str) -> PaymentId {
        let id = new_id();
        self.authorize(id, 10_000, token).await.unwrap();
        self.payments.capture(id, Uuid::now_v7(), None).await.unwrap();
        id
    }

    /// Waits until the payment is as asked.
    pub async fn until(&self, id: PaymentId, what: impl Fn(&Payment) -> bool) -> Payment {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let payment = self.payments.get(id).await.unwrap();
            if what(&payment) {
                return payment;
            }
            assert!(tokio::time::Instant::now() < deadline, "it never came true: {payment:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Carries a call on until its payment has this many attempts, and drops it while its provider hangs: what a killed process leaves.
    pub async fn left_in_the_middle(&self, authorize: Authorize, attempts: usize) {
        let id = authorize.payment;
        let call = self.payments.authorize(authorize);
        tokio::pin!(call);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.payments.get(id).await.is_ok_and(|payment| payment.attempts.len() == attempts) {
            assert!(tokio::time::Instant::now() < deadline, "it was never begun");
            assert!(tokio::time::timeout(LOOK_EVERY, &mut call).await.is_err(), "nobody hangs");
        }
        assert!(tokio::time::timeout(TIMEOUT / 2, call).await.is_err(), "nobody hangs");
    }

    pub async fn until_state(&self, id: PaymentId, state: Standing) -> Payment {
        self.until(id, |payment| payment.standing().state == state).await
    }

    /// One number of the provider's truth about a payment.
    pub async fn truth(&self, id: PaymentId, what: &str) -> i64 {
        self.psp.number(id, what).await
    }

    /// Our amounts, the provider's and the books' are the same.
    pub async fn assert_agreed(&self, id: PaymentId) {
        let payment = self.payments.get(id).await.unwrap();
        let amounts = payment.amounts();
        for (what, ours) in [
            ("authorized_minor", amounts.authorized_minor),
            ("captured_minor", amounts.captured_minor),
            ("voided_minor", amounts.voided_minor),
            ("refunded_minor", amounts.refunded_minor),
            ("disputed_minor", amounts.disputed_minor),
            ("lost_minor", amounts.lost_minor),
        ] {
            assert_eq!(self.truth(id, what).await, ours, "{what} of {payment:?}");
        }
        assert!(self.truth(id, "authorizations").await <= 1, "held twice");
        assert_eq!(
            self.balance(id, "provider_holds").await,
            amounts.authorized_minor - amounts.captured_minor - amounts.voided_minor
        );
        assert_eq!(
            self.balance(id, "provider_receivable").await,
            amounts.captured_minor - amounts.refunded_minor - amounts.disputed_minor
        );
        assert_eq!(self.balance(id, "%").await, 0, "the books of {id} do not balance");
    }

    /// The books of the payment balance, and this much of it is held and owed to us.
    pub async fn assert_booked(&self, id: PaymentId, held_minor: i64, receivable_minor: i64) {
        assert_eq!(self.balance(id, "provider_holds").await, held_minor);
        assert_eq!(self.balance(id, "provider_receivable").await, receivable_minor);
        assert_eq!(self.balance(id, "%").await, 0, "the books of {id} do not balance");
    }

    /// Debits less credits of one account (or `%`, all of them) over the payment's transfers.
    pub async fn balance(&self, id: PaymentId, account: &str) -> i64 {
        sqlx::query_scalar(
            "SELECT coalesce(sum(CASE side WHEN 'DEBIT' THEN e.amount_minor ELSE -e.amount_minor END), 0)::bigint
             FROM ledger_entry e JOIN payment_event v ON v.event_id = e.transfer_id
             WHERE v.payment_id = $1 AND e.account LIKE $2",
        )
        .bind(id.uuid())
        .bind(account)
        .fetch_one(&self.database.pool)
        .await
        .unwrap()
    }
}

pub fn service(database: &TestDatabase, psp: &Psp, timeout: Duration) -> Payments {
    service_with(database, psp, timeout, [WEBHOOK_KEY])
}

/// With these keys for webhooks.
pub fn service_with<const N: usize>(
    database: &TestDatabase,
    psp: &Psp,
    timeout: Duration,
    keys: [&str; N],
) -> Payments {
    let provider = Simulator::new("simulator", &psp.url(), timeout).unwrap();
    let providers = Providers::one(provider, Keys::parse(keys).unwrap());
    Payments::new(database.pool.clone(), providers, Clock::system(), timeout, Crash::default())
}

const NAMES: [&str; 2] = ["simulator", "simulator-b"];

/// Opens the door for webhooks and hears parked ones, until it is stopped.
fn open(payments: &Payments, door: tokio::net::TcpListener, taken: Arc<AtomicUsize>) -> CancellationToken {
    let stop = CancellationToken::new();
    let (hearing, until, opened) = (payments.clone(), stop.clone(), payments.clone());
    drop(task::spawn("webhooks", async move { hearing.hear_parked_until(until).await }));
    drop(task::spawn("door", async move { axum::serve(door, front(opened, taken)).await }));
    stop
}

/// What the gateway does with a webhook: its bytes and its signature, and 2xx only when they are taken.
fn front(payments: Payments, taken: Arc<AtomicUsize>) -> axum::Router {
    axum::Router::new().route("/webhooks/{provider}", post(take)).with_state((payments, taken))
}

async fn take(
    State((payments, taken)): State<(Payments, Arc<AtomicUsize>)>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let signature = headers[&format!("{provider}-signature")].to_str().unwrap();
    match payments.receive(&provider, &body, signature).await {
        Ok(()) => {
            taken.fetch_add(1, Ordering::SeqCst);
            StatusCode::OK
        }
        Err(_) => StatusCode::SERVICE_UNAVAILABLE,
    }
}

pub fn new_id() -> PaymentId {
    PaymentId::new(Uuid::now_v7())
}

pub fn eur(amount_minor: i64) -> Money {
    Money::new(amount_minor, "EUR".parse().unwrap())
}

/// The order is the payment's own: the same id gives the same terms.
pub fn card(id: PaymentId, amount_minor: i64, token: &str) -> Authorize {
    let method = Method { kind: MethodKind::Card, token: Token::new(token) };
    Authorize {
        payment: id,
        terms: Terms {
            order: OrderId::new(id.derive("order")),
            amount: eur(amount_minor),
            method,
            tenders: Vec::new(),
            capture: CaptureMode::Manual,
        },
    }
}

/// The provider's process. It dies with this value.
pub struct Psp {
    name: &'static str,
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
    webhooks: Option<String>,
}

impl Psp {
    /// `door` is where it tells what happens.
    async fn start(name: &'static str, door: Option<String>) -> Self {
        let webhooks = door.map(|door| format!("{door}/webhooks/{name}"));
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let child = spawn(name, address, &folder, webhooks.as_deref());
        let psp = Self { name, child, address, folder, webhooks };
        psp.wait().await;
        psp
    }

    /// `kill -9`.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The same address and journal.
    pub async fn restart(&mut self) {
        self.child = spawn(self.name, self.address, &self.folder, self.webhooks.as_deref());
        self.wait().await;
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Something happens there that nobody here asked for.
    pub async fn happens(&self, id: PaymentId, what: &str, reference: &str, amount_minor: i64) {
        let body = serde_json::json!({
            "payment": id.to_string(), "what": what, "reference": reference, "amount_minor": amount_minor,
        });
        let request = reqwest::Client::new().post(format!("{}/v1/desk", self.url())).json(&body);
        assert_eq!(request.send().await.unwrap().status(), 200, "{body}");
    }

    /// One number of its truth about a payment.
    pub async fn number(&self, id: PaymentId, what: &str) -> i64 {
        self.truth(id).await.map_or(0, |truth| truth[what].as_i64().unwrap())
    }

    /// What the payer does there with what he was asked for; the status of the answer.
    pub async fn acts(&self, payment: &Payment, outcome: &str) -> u16 {
        let key = payment.attempts.iter().find(|attempt| attempt.action.is_some()).unwrap().id;
        let url = payment.action().unwrap().url.expose();
        assert_eq!(url, format!("{}/v1/actions/{key}", self.url()));
        let body = serde_json::json!({ "outcome": outcome });
        reqwest::Client::new().post(url).json(&body).send().await.unwrap().status().as_u16()
    }

    async fn truth(&self, id: PaymentId) -> Option<Value> {
        let response = reqwest::get(format!("{}/v1/truth/{id}", self.url())).await.unwrap();
        if response.status() == 404 { None } else { Some(response.json().await.unwrap()) }
    }

    async fn wait(&self) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while reqwest::get(format!("{}/healthz", self.url())).await.is_err() {
            assert!(tokio::time::Instant::now() < deadline, "psp-simulator does not answer");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Psp {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(name: &str, address: SocketAddr, folder: &tempfile::TempDir, webhooks: Option<&str>) -> Child {
    let mut command = Command::new(binary());
    if let Some(url) = webhooks {
        command.env("PSP_SIMULATOR_WEBHOOK_URL", url).env("PSP_SIMULATOR_WEBHOOK_KEY", WEBHOOK_KEY);
    }
    command
        .env("PSP_SIMULATOR_NAME", name)
        .env("PSP_SIMULATOR_LISTEN", address.to_string())
        .env("PSP_SIMULATOR_STATE", folder.path().join("journal.jsonl"))
        .env("PSP_SIMULATOR_SETTLEMENT_FEE_BPS", "150")
        .env("PSP_SIMULATOR_SETTLEMENT_DISPUTE_FEE_MINOR", "1500")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Beside this test's own binary: `cargo xtask test` builds every program first.
fn binary() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let path = test.ancestors().nth(2).unwrap().join("psp-simulator");
    assert!(path.exists(), "{} is missing: run the tests with `cargo xtask test`", path.display());
    path
}
