//! One test's world: a database of its own, a provider process of its own, and the service between them.

use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use stampede_kit::clock::Clock;
use stampede_kit::task;
use stampede_kit::testing::{self, TestDatabase};
use stampede_payment::{
    Authorize, CaptureMode, Crash, Error, MIGRATIONS, Method, MethodKind, Payment, Payments, Simulator,
    State, Terms, Token,
};
use stampede_types::{Money, OrderId, PaymentId};
use tokio_util::sync::{CancellationToken, DropGuard};
use uuid::Uuid;

/// After this long an answer counts as lost: short, so that lost answers are quick to test, and long enough for a busy machine.
pub const TIMEOUT: Duration = Duration::from_millis(1_000);
/// What has not come true by then never will.
const PATIENCE: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub struct Bench {
    pub payments: Payments,
    pub psp: Psp,
    pub database: TestDatabase,
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
        let psp = Psp::start().await;
        let payments = service(&database, &psp, TIMEOUT);
        Self { payments, psp, database, _resolver: None }
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

    pub async fn until_state(&self, id: PaymentId, state: State) -> Payment {
        self.until(id, |payment| payment.standing().state == state).await
    }

    /// One number of the provider's truth about a payment.
    pub async fn truth(&self, id: PaymentId, what: &str) -> i64 {
        self.psp.truth(id).await.map_or(0, |truth| truth[what].as_i64().unwrap())
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
            amounts.captured_minor - amounts.refunded_minor
        );
        assert_eq!(self.balance(id, "%").await, 0, "the books of {id} do not balance");
    }

    /// Debits less credits of one account (or `%`, all of them) over the payment's transfers.
    async fn balance(&self, id: PaymentId, account: &str) -> i64 {
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
    let provider = Simulator::new(&psp.url(), timeout).unwrap();
    Payments::new(database.pool.clone(), Arc::new(provider), Clock::system(), timeout, Crash::default())
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
            capture: CaptureMode::Manual,
        },
    }
}

/// The provider's process. It dies with this value.
pub struct Psp {
    child: Child,
    address: SocketAddr,
    folder: tempfile::TempDir,
}

impl Psp {
    async fn start() -> Self {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let psp = Self { child: spawn(address, &folder), address, folder };
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
        self.child = spawn(self.address, &self.folder);
        self.wait().await;
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
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

fn spawn(address: SocketAddr, folder: &tempfile::TempDir) -> Child {
    Command::new(binary())
        .env("PSP_SIMULATOR_LISTEN", address.to_string())
        .env("PSP_SIMULATOR_STATE", folder.path().join("journal.jsonl"))
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
