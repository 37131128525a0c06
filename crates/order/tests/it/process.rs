//! The order service as a process of its own, which can die and be started again at the same place.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::process::ExitStatusExt as _;

use stampede_kit::testing;
use tokio::process::{Child, Command};

use crate::shop::{LEASE, QUOTE_KEY, Shop, Town};

/// The signal of a process that aborted.
const ABORTED: i32 = 6;

pub struct Process {
    variables: Vec<(&'static str, String)>,
    child: Option<Child>,
}

impl Process {
    /// A shop whose order service is not running yet.
    pub async fn beside(payment_window_ms: u32) -> (Shop, Process) {
        let town = Town::new().await;
        let (listen, admin) = (free_port(), free_port());
        let tls = &town.order.tls;
        let variables = vec![
            ("ORDER_LISTEN", listen.to_string()),
            ("ORDER_ADMIN_LISTEN", admin.to_string()),
            ("ORDER_ENVIRONMENT", town.order.environment.clone()),
            ("ORDER_TLS_CERT", tls.cert.display().to_string()),
            ("ORDER_TLS_KEY", tls.key.display().to_string()),
            ("ORDER_TLS_CA", tls.ca.display().to_string()),
            ("ORDER_JWT_JWKS", town.order.jwt.jwks.clone()),
            ("ORDER_DATABASE_URL", town.database.url.expose().to_owned()),
            ("ORDER_DATABASE_CONNECTIONS", "6".to_owned()),
            ("ORDER_NATS_URL", testing::nats_url()),
            ("ORDER_NATS_STREAM", town.stream.name.clone()),
            ("ORDER_NATS_PREFIX", town.stream.prefix.clone()),
            ("ORDER_PEERS_INVENTORY", town.inventory.to_string()),
            ("ORDER_PEERS_PAYMENT", town.payment.to_string()),
            ("ORDER_PAYMENT_WINDOW_MS", payment_window_ms.to_string()),
            ("ORDER_SAGA_LEASE_MS", LEASE.as_millis().to_string()),
            ("ORDER_QUOTE_KEYS", QUOTE_KEY.to_owned()),
            ("ORDER_LOG", "warn".to_owned()),
        ];
        (town.shop(listen), Process { variables, child: None })
    }

    /// Kills what runs, as kill -9 does, and starts again; it will die at that point.
    pub async fn start(&mut self, crash_at: Option<&str>) {
        self.kill().await;
        let mut command = Command::new(env!("CARGO_BIN_EXE_order"));
        command.env_clear().envs(self.variables.iter().cloned()).kill_on_drop(true);
        if let Some(point) = crash_at {
            command.env("ORDER_CRASH_AT", point);
        }
        self.child = Some(command.spawn().unwrap());
    }

    pub async fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().await.unwrap();
        }
    }

    /// Waits until it has died where it was told to, and starts it again as it should be.
    pub async fn dies_and_comes_back(&mut self) {
        let status = self.child.as_mut().unwrap().wait().await.unwrap();
        assert_eq!(status.signal(), Some(ABORTED), "{status}");
        self.start(None).await;
    }
}

fn free_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}
