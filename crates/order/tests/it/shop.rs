//! One order service with its two peers, a database and a stream of its own, and callers with tokens.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kit::client::Channel;
use kit::config::{Jwt, Limits, Server, Tls};
use kit::testing::{self, TestDatabase};
use stampede_kit as kit;
use stampede_order::domain::order::CaptureAt;
use stampede_order::domain::quote::Keys;
use stampede_order::{Config, MIGRATIONS};
use stampede_pki::{Authority, Claims, Issuer, Policy};
use stampede_proto::inventory::v1::campaign_service_server::CampaignServiceServer;
use stampede_proto::inventory::v1::catalog_service_server::CatalogServiceServer;
use stampede_proto::inventory::v1::inventory_service_server::InventoryServiceServer;
use stampede_proto::order::v1::cart_service_client::CartServiceClient;
use stampede_proto::order::v1::order_service_client::OrderServiceClient;
use stampede_proto::order::v1::promotion_service_client::PromotionServiceClient;
use stampede_proto::order::v1::review_service_client::ReviewServiceClient;
use stampede_proto::order::v1::*;
use stampede_proto::payment::v1::payment_service_server::PaymentServiceServer;
use stampede_proto::payment::v1::{CardToken, PaymentMethod, payment_method};
use tempfile::TempDir;
use time::OffsetDateTime;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Status};

use crate::bank::Bank;
use crate::warehouse::Warehouse;

const ENVIRONMENT: &str = "test";
/// Long enough for a loaded machine; a test that works never waits for it.
const PATIENCE: Duration = Duration::from_secs(30);
/// Short, so that what a dead worker left is taken up soon.
pub const LEASE: Duration = Duration::from_millis(600);

/// Signs quotes in tests.
pub const QUOTE_KEY: &str = "t1:00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";

pub struct Shop {
    pub warehouse: Warehouse,
    pub bank: Bank,
    pub database: TestDatabase,
    pub stream: kit::nats::Stream,
    pub orders: OrderServiceClient<Channel>,
    pub reviews: ReviewServiceClient<Channel>,
    pub promotions: PromotionServiceClient<Channel>,
    pub carts: CartServiceClient<Channel>,
    issuer: Issuer,
    client: Server,
    /// None where the service is a process of its own.
    config: Option<Config>,
    stop: CancellationToken,
    _running: DropGuard,
    _folder: TempDir,
}

/// Everything around the order service: peers that serve, certificates, tokens, a database.
pub struct Town {
    pub warehouse: Warehouse,
    pub bank: Bank,
    pub database: TestDatabase,
    pub stream: kit::nats::Stream,
    pub stop: CancellationToken,
    pub folder: TempDir,
    pub order: Server,
    pub inventory: SocketAddr,
    pub payment: SocketAddr,
    client: Server,
    issuer: Issuer,
}

impl Town {
    /// With a TEE and a MUG on the shelf and the TEE cheaper in the campaign FLASH.
    pub async fn new() -> Town {
        let folder = tempfile::tempdir().unwrap();
        let mut authority = Authority::create(Policy::development(), now()).unwrap();
        let issuer = Issuer::generate().unwrap();
        std::fs::write(folder.path().join("ca.pem"), authority.cert_pem()).unwrap();
        std::fs::write(folder.path().join("jwks.json"), issuer.jwks()).unwrap();
        let mut server = |service| server(&mut authority, folder.path(), service);
        let (warehouse, bank, stop) = (Warehouse::default(), Bank::default(), CancellationToken::new());
        warehouse.sells("TEE", 1_999, "EUR");
        warehouse.sells("MUG", 500, "EUR");
        warehouse.sells("HAT", 500, "USD");
        warehouse.flash("FLASH", "TEE", 999);
        let inventory = peer(server("inventory"), &stop, |app| {
            app.grpc(CatalogServiceServer::new(warehouse.clone()))
                .grpc(CampaignServiceServer::new(warehouse.clone()))
                .grpc(InventoryServiceServer::new(warehouse.clone()));
        })
        .await;
        let payment = peer(server("payment"), &stop, |app| {
            app.grpc(PaymentServiceServer::new(bank.clone()));
        })
        .await;
        let (order, client) = (server("order"), server("client"));
        Town {
            warehouse,
            bank,
            database: testing::database(&MIGRATIONS).await,
            stream: testing::stream(),
            stop,
            folder,
            order,
            inventory,
            payment,
            client,
            issuer,
        }
    }

    /// The shop whose order service serves at this address.
    pub fn shop(self, address: SocketAddr) -> Shop {
        let channel = client(&self.client, address);
        Shop {
            warehouse: self.warehouse,
            bank: self.bank,
            database: self.database,
            stream: self.stream,
            orders: OrderServiceClient::new(channel.clone()),
            reviews: ReviewServiceClient::new(channel.clone()),
            promotions: PromotionServiceClient::new(channel.clone()),
            carts: CartServiceClient::new(channel),
            issuer: self.issuer,
            client: self.client,
            config: None,
            stop: self.stop.clone(),
            _running: self.stop.drop_guard(),
            _folder: self.folder,
        }
    }
}

impl Shop {
    pub async fn open() -> Shop {
        Shop::with(|_| ()).await
    }

    /// A shop whose buyers have this long to pay.
    pub async fn with_window(payment_window: Duration) -> Shop {
        Shop::with(|config| config.payment_window = payment_window).await
    }

    /// The same, with no NATS anywhere.
    pub async fn without_nats(payment_window: Duration) -> Shop {
        Shop::with(|config| {
            config.payment_window = payment_window;
            config.nats_url = kit::Secret::new("nats://127.0.0.1:9".to_owned());
        })
        .await
    }

    /// A shop whose buyers have this long to send back what has arrived.
    pub async fn with_return_period(period: Duration) -> Shop {
        Shop::with(|config| config.return_period = period).await
    }

    /// A shop with other settings than the usual.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Shop {
        let town = Town::new().await;
        let mut config = Config {
            server: town.order.clone(),
            database_url: town.database.url.clone(),
            database_connections: 6,
            nats_url: kit::Secret::new(testing::nats_url()),
            stream: town.stream.clone(),
            inventory: town.inventory.to_string(),
            payment: town.payment.to_string(),
            payment_window: Duration::from_mins(15),
            session_grace: Duration::from_mins(1),
            hold_grace: Duration::from_mins(2),
            late_hold: Duration::from_mins(10),
            saga_lease: LEASE,
            return_period: Duration::from_hours(24),
            quote_keys: Keys::parse([QUOTE_KEY]).unwrap(),
            quote_valid: Duration::from_mins(5),
            shipping_fee: None,
            capture_at: CaptureAt::Payment,
            crash_at: stampede_order::crash::CrashAt::default(),
        };
        change(&mut config);
        let address = serve(&config, &town.stop).await;
        Shop { config: Some(config), ..town.shop(address) }
    }

    /// One more instance of the order service, on the same database and stream.
    pub async fn neighbour(&self) -> OrderServiceClient<Channel> {
        let config = self.config.as_ref().expect("a shop whose service runs in this process");
        OrderServiceClient::new(client(&self.client, serve(config, &self.stop).await))
    }

    /// Has everything drain.
    pub fn stop(&self) {
        self.stop.cancel();
    }

    /// Roles are parted by blanks.
    pub fn request<M>(&self, who: &str, roles: &str, message: M) -> Request<M> {
        let token = self.issuer.issue(&Claims::new(who, roles.split(' ')), now()).unwrap();
        let mut request = Request::new(message);
        request.metadata_mut().insert("authorization", format!("Bearer {token}").parse().unwrap());
        request
    }

    pub async fn create(&self, who: &str, key: &str, message: CreateOrderRequest) -> Result<Order, Status> {
        let mut request = self.request(who, "buyer", message);
        request.metadata_mut().insert("idempotency-key", key.parse().unwrap());
        self.orders.clone().create_order(request).await.map(tonic::Response::into_inner)
    }

    /// Alice's order of one TEE from the shelf.
    pub async fn tee(&self, key: &str) -> Order {
        self.create("alice", key, want(&[("TEE", "", 1)])).await.unwrap()
    }

    pub async fn pay(&self, who: &str, order: &Order, token: &str) -> Result<Order, Status> {
        self.pay_by(who, order, payment_method::Method::Card(CardToken { token: token.into() })).await
    }

    pub async fn pay_by(
        &self,
        who: &str,
        order: &Order,
        method: payment_method::Method,
    ) -> Result<Order, Status> {
        let message = PayOrderRequest {
            order_id: order.order_id.clone(),
            method: Some(PaymentMethod { method: Some(method) }),
        };
        let request = self.request(who, "buyer", message);
        self.orders.clone().pay_order(request).await.map(tonic::Response::into_inner)
    }

    pub async fn cancel(&self, who: &str, order: &Order) -> Result<Order, Status> {
        self.cancel_because(who, order, "changed my mind").await
    }

    pub async fn cancel_because(&self, who: &str, order: &Order, reason: &str) -> Result<Order, Status> {
        let message = CancelOrderRequest { order_id: order.order_id.clone(), reason: reason.into() };
        let request = self.request(who, "buyer", message);
        self.orders.clone().cancel_order(request).await.map(tonic::Response::into_inner)
    }

    pub async fn get(&self, who: &str, role: &str, order: &Order) -> Result<Order, Status> {
        let request = self.request(who, role, GetOrderRequest { order_id: order.order_id.clone() });
        self.orders.clone().get_order(request).await.map(tonic::Response::into_inner)
    }

    pub async fn list(
        &self,
        who: &str,
        role: &str,
        message: ListOrdersRequest,
    ) -> Result<ListOrdersResponse, Status> {
        let request = self.request(who, role, message);
        self.orders.clone().list_orders(request).await.map(tonic::Response::into_inner)
    }

    /// The order once it has come to this state.
    pub async fn reaches(&self, order: &Order, state: OrderState) -> Order {
        eventually(state.as_str_name(), async || {
            let order = self.get(&order.buyer_id, "buyer", order).await.unwrap();
            (order.state() == state).then_some(order)
        })
        .await
    }

    /// Its time to pay ends now.
    pub async fn time_is_over(&self, order: &Order) {
        sqlx::query("UPDATE orders SET expires_at = now() WHERE order_id = $1::uuid")
            .bind(&order.order_id)
            .execute(&self.database.pool)
            .await
            .unwrap();
    }

    /// Subjects of what others were told, oldest first.
    pub async fn told(&self, order: &Order) -> Vec<String> {
        sqlx::query_scalar("SELECT subject FROM outbox WHERE event_key = $1 ORDER BY position")
            .bind(&order.order_id)
            .fetch_all(&self.database.pool)
            .await
            .unwrap()
    }

    pub async fn count(&self, table: &'static str) -> i64 {
        let statement = format!("SELECT count(*) FROM {table}");
        sqlx::query_scalar(sqlx::AssertSqlSafe(statement)).fetch_one(&self.database.pool).await.unwrap()
    }
}

/// Lines as (SKU, campaign or nothing, quantity).
pub fn want(lines: &[(&str, &str, u32)]) -> CreateOrderRequest {
    let lines = lines
        .iter()
        .map(|(sku, campaign, quantity)| LineItem {
            sku_id: (*sku).into(),
            campaign_id: (*campaign).into(),
            quantity: *quantity,
        })
        .collect();
    CreateOrderRequest { lines, ..CreateOrderRequest::default() }
}

pub fn reason<T: std::fmt::Debug>(answer: Result<T, Status>) -> String {
    let status = answer.expect_err("the call had to be refused");
    kit::refusal::reason_of(&status).unwrap_or_else(|| format!("no reason: {status:?}"))
}

/// A fact of a refusal.
pub fn fact<T: std::fmt::Debug>(answer: &Result<T, Status>, key: &str) -> String {
    let status = answer.as_ref().expect_err("the call had to be refused");
    let info = tonic_types::StatusExt::get_details_error_info(status).unwrap();
    info.metadata.get(key).cloned().unwrap_or_default()
}

/// Asks again until there is an answer.
pub async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let asking = async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(PATIENCE, asking).await.unwrap_or_else(|_| panic!("waited in vain: {what}"))
}

fn now() -> OffsetDateTime {
    kit::clock::Clock::system().now()
}

async fn serve(config: &Config, stop: &CancellationToken) -> SocketAddr {
    let app = stampede_order::app(config).await.unwrap();
    let address = app.address();
    kit::task::spawn("order", app.serve(stop.clone().cancelled_owned()));
    address
}

async fn peer(server: Server, stop: &CancellationToken, fill: impl FnOnce(&mut kit::App)) -> SocketAddr {
    let contract = kit::Contract::parse(stampede_proto::DESCRIPTOR_SET).unwrap();
    let mut app = kit::App::bind(&server, contract).await.unwrap();
    fill(&mut app);
    let address = app.address();
    kit::task::spawn("peer", app.serve(stop.clone().cancelled_owned()));
    address
}

fn client(server: &Server, address: SocketAddr) -> Channel {
    let contract = kit::Contract::parse(stampede_proto::DESCRIPTOR_SET).unwrap();
    let tls = kit::tls::Client::read(&server.tls.cert, &server.tls.key, &server.tls.ca).unwrap();
    kit::client::connect(&tls, "order", &address.to_string(), contract)
}

fn write(folder: &Path, name: &str, text: &str) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, text).unwrap();
    path
}

fn server(authority: &mut Authority, folder: &Path, service: &'static str) -> Server {
    let leaf = authority.issue(service, ENVIRONMENT, &[], now()).unwrap();
    let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
    Server {
        service,
        listen: any,
        admin: any,
        environment: ENVIRONMENT.to_owned(),
        tls: Tls {
            cert: write(folder, &format!("{service}.pem"), &leaf.cert_pem),
            key: write(folder, &format!("{service}.key"), &leaf.key_pem),
            ca: folder.join("ca.pem"),
            crl: None,
        },
        jwt: Jwt {
            jwks: folder.join("jwks.json").display().to_string(),
            issuer: "https://stampede.local".to_owned(),
            audience: "stampede".to_owned(),
        },
        telemetry: kit::telemetry::Settings { log: "info".to_owned(), endpoint: None, sample: 0.0 },
        drain: Duration::from_secs(1),
        limits: Limits { concurrency: 1024, connections: 64, message_bytes: 1024 * 1024 },
    }
}
