//! A gateway with its three services, on free ports, for one test; all of it ends with the value.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use kit::clock::Clock;
use kit::config::{Reader, Server};
use kit::contract::Contract;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;
use stampede_gateway::Config;
use stampede_kit as kit;
use stampede_pki::{Claims, Folder, Issuer, Policy, Request};
use tempfile::TempDir;
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::services;

/// Longer than any start takes; a test that needs it has failed.
const READY_TIME: Duration = Duration::from_secs(20);

const ANY_PORT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

pub struct House {
    pub address: SocketAddr,
    pub client: Client,
    issuer: Issuer,
    /// Ends the services one by one.
    pub order: CancellationToken,
    pub gateway: CancellationToken,
    order_address: SocketAddr,
    guards: Vec<DropGuard>,
    contract: Arc<Contract>,
    folder: TempDir,
}

impl House {
    pub async fn start() -> House {
        House::with(&[]).await
    }

    /// With settings of the gateway's own.
    pub async fn with(settings: &[(&str, &str)]) -> House {
        House::of(stampede_proto::DESCRIPTOR_SET, settings, services::order).await
    }

    /// With another contract, and the order service filled by the test.
    pub async fn of(
        descriptors: &[u8],
        settings: &[(&str, &str)],
        order: impl FnOnce(&mut kit::App),
    ) -> House {
        let contract = Contract::parse(descriptors).unwrap();
        let folder = TempDir::new().unwrap();
        let now = Clock::system().now();
        let policy = Policy::development();
        let mut authority = Folder::open(folder.path(), policy.clone(), now).unwrap();
        let names = ["gateway", "order", "inventory", "payment"];
        let requests: Vec<_> = names.iter().map(|name| Request::usual(&policy, name, &[]).unwrap()).collect();
        authority.renew(&requests, "dev", now).unwrap();
        let issuer = Issuer::from_pem(authority.issuer().key_pem()).unwrap();

        let (order, order_stop) = service("order", folder.path(), ANY_PORT, &contract, order).await;
        let (inventory, inventory_stop) =
            service("inventory", folder.path(), ANY_PORT, &contract, services::inventory).await;
        let (payment, payment_stop) = service("payment", folder.path(), ANY_PORT, &contract, |_| {}).await;
        let mut pairs = common("gateway", folder.path(), ANY_PORT);
        for (key, address) in
            [("peers.order", order), ("peers.inventory", inventory), ("peers.payment", payment)]
        {
            pairs.push((key.to_owned(), address.to_string()));
        }
        pairs.extend(settings.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
        let config = Config::read(&mut Reader::from_pairs("gateway", pairs)).unwrap();
        let app = stampede_gateway::app_of(&config, descriptors.to_vec().into()).await.unwrap();
        let address = app.address();
        let gateway = serve(app);

        let guards =
            [&order_stop, &inventory_stop, &payment_stop, &gateway].map(|stop| stop.clone().drop_guard());
        let house = House {
            address,
            client: Client::builder().redirect(reqwest::redirect::Policy::none()).build().unwrap(),
            issuer,
            order: order_stop,
            gateway,
            order_address: order,
            guards: guards.into(),
            contract,
            folder,
        };
        house.wait_until_ready().await;
        house
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// A token of `alice` in a role.
    pub fn token(&self, role: &str) -> String {
        self.issued(&Claims::new("alice", [role]), time::Duration::ZERO)
    }

    /// A token that says what it likes, issued `ago`.
    pub fn issued(&self, claims: &Claims, ago: time::Duration) -> String {
        self.issuer.issue(claims, Clock::system().now() - ago).unwrap()
    }

    /// A request with a buyer's token.
    pub fn buyer(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path)).bearer_auth(self.token("buyer"))
    }

    /// An order with a key of its own.
    pub fn order(&self, body: impl Into<reqwest::Body>) -> RequestBuilder {
        self.buyer(Method::POST, "/v1/orders")
            .header("idempotency-key", "key-1")
            .header("content-type", "application/json")
            .body(body)
    }

    /// A new order service where the old one was; the old one has to be gone.
    pub async fn start_order_again(&mut self) {
        let bound = async {
            while std::net::TcpListener::bind(self.order_address).is_err() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(READY_TIME, bound).await.expect("the old service frees its port");
        let (_, stop) =
            service("order", self.folder.path(), self.order_address, &self.contract, services::order).await;
        self.guards.push(stop.clone().drop_guard());
        self.order = stop;
    }

    async fn wait_until_ready(&self) {
        let ready = async {
            while self.client.get(self.url("/readyz")).send().await.unwrap().status() != 200 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(READY_TIME, ready)
            .await
            .expect("the gateway becomes ready when its services are");
    }
}

/// The status, the reason word and the whole body of a refusal.
pub async fn refused(request: RequestBuilder) -> (u16, String, Value) {
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let text = response.text().await.unwrap();
    let body: Value =
        serde_json::from_str(&text).unwrap_or_else(|_| panic!("{status} without JSON: {text:?}"));
    let reason = detail(&body, "ErrorInfo")["reason"].as_str().unwrap_or_default().to_owned();
    (status, reason, body)
}

/// One detail of a refusal by its type's last part.
pub fn detail<'a>(body: &'a Value, name: &str) -> &'a Value {
    let url = format!("type.googleapis.com/google.rpc.{name}");
    let details = body["details"].as_array().map(Vec::as_slice).unwrap_or_default();
    details.iter().find(|detail| detail["@type"] == url).unwrap_or(&Value::Null)
}

async fn service(
    name: &'static str,
    folder: &Path,
    listen: SocketAddr,
    contract: &Arc<Contract>,
    fill: impl FnOnce(&mut kit::App),
) -> (SocketAddr, CancellationToken) {
    let mut reader = Reader::from_pairs(name, common(name, folder, listen));
    let server = Server::read(&mut reader);
    let config = reader.finish(|| server).unwrap();
    let mut app = kit::App::bind(&config, contract.clone()).await.unwrap();
    fill(&mut app);
    (app.address(), serve(app))
}

fn serve(app: kit::App) -> CancellationToken {
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    kit::task::spawn("served", async move { app.serve(stopped.cancelled_owned()).await.unwrap() });
    stop
}

fn common(name: &str, folder: &Path, listen: SocketAddr) -> Vec<(String, String)> {
    let path = |file: &str| folder.join(file).display().to_string();
    [
        ("listen", listen.to_string()),
        ("admin.listen", ANY_PORT.to_string()),
        ("tls.cert", path(&format!("{name}.pem"))),
        ("tls.key", path(&format!("{name}.key"))),
        ("tls.ca", path("ca.pem")),
        ("jwt.jwks", path("jwks.json")),
        ("drain_ms", "1000".to_owned()),
    ]
    .map(|(key, value)| (key.to_owned(), value))
    .into()
}
