//! Every place in which something that came in may be found again: logs, tables of every database, published events, keys and values of
//! Redis, metrics, and what is sent to a receiver of traces. It changes none of them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use prost::Message as _;
use sqlx::{Connection as _, PgConnection};
use tokio::net::TcpListener;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

use super::Shop;

/// Every database of a shop.
const DATABASES: [&str; 3] = ["order", "inventory", "payment"];
/// Bytes before and behind what is found that are shown.
const AROUND: usize = 120;
/// Takes the traces and metrics that are sent to it, as they come.
pub struct Receiver {
    address: std::net::SocketAddr,
    taken: Taken,
}

#[derive(Clone, Default)]
struct Taken(Arc<Mutex<Vec<u8>>>);

/// The places of one shop.
pub struct Places {
    databases: Vec<(&'static str, String)>,
    folder: PathBuf,
    redis: String,
    metrics: Vec<String>,
    taken: Taken,
}

impl Receiver {
    pub async fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let taken = Taken::default();
        let serving = Server::builder()
            .add_service(TraceServiceServer::new(taken.clone()))
            .add_service(MetricsServiceServer::new(taken.clone()))
            .serve_with_incoming(TcpIncoming::from(listener));
        tokio::spawn(serving);
        Self { address, taken }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Taken {
    fn all(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[tonic::async_trait]
impl TraceService for Taken {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        self.all().extend(request.into_inner().encode_to_vec());
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl MetricsService for Taken {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        self.all().extend(request.into_inner().encode_to_vec());
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

impl Places {
    pub fn of(shop: &Shop, receiver: &Receiver) -> Self {
        let (names, servers) = (shop.stack.names(), shop.stack.servers());
        let admin = |name: &String| shop.stack.admin_address(name).ok();
        Self {
            databases: DATABASES.map(|name| (name, servers.database_url(name))).to_vec(),
            folder: shop.folder().to_owned(),
            redis: servers.redis_url(),
            metrics: names.iter().filter_map(admin).map(|at| format!("http://{at}/metrics")).collect(),
            taken: receiver.taken.clone(),
        }
    }

    /// Where the text is found, in words; in hexadecimal too, as bytes are shown.
    pub async fn search(&self, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        found.extend(files(&self.folder, "logs", text).map(|name| format!("logs: {name}")));
        found.extend(files(&self.folder, "jetstream", text).map(|name| format!("events: {name}")));
        for (name, url) in &self.databases {
            found
                .extend(tables(url, text).await.into_iter().map(|table| format!("database {name}: {table}")));
        }
        found.extend(keys(&self.redis, text).into_iter().map(|key| format!("redis: {key}")));
        for url in &self.metrics {
            let Ok(answer) = reqwest::get(url).await else { continue };
            let metrics = answer.text().await.unwrap_or_default();
            found.extend(metrics.contains(text).then(|| format!("metrics: {url}")));
        }
        found.extend(around(&self.taken.all(), text).map(|around| format!("telemetry: {around}")));
        found
    }
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

/// What stands around its first place, as far as it can be read.
fn around(bytes: &[u8], text: &str) -> Option<String> {
    let at = bytes.windows(text.len()).position(|window| window == text.as_bytes())?;
    let (from, to) = (at.saturating_sub(AROUND), (at + text.len() + AROUND).min(bytes.len()));
    Some(String::from_utf8_lossy(&bytes[from..to]).replace(|letter: char| letter.is_control(), " "))
}

/// The tables of which a row, written out, has it.
async fn tables(url: &str, text: &str) -> Vec<String> {
    let mut conn = PgConnection::connect(url).await.unwrap();
    let names: Vec<String> = sqlx::query_scalar(
        "SELECT format('%I.%I', schemaname, tablename) FROM pg_tables
                            WHERE schemaname NOT IN ('pg_catalog', 'information_schema')",
    )
    .fetch_all(&mut conn)
    .await
    .unwrap();
    let mut found = Vec::new();
    for name in names {
        let question = format!(
            "SELECT count(*) FROM {name} t WHERE t::text LIKE '%' || $1 || '%' OR t::text LIKE '%' || $2 || '%'"
        );
        let rows: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(question))
            .bind(text)
            .bind(hex::encode(text))
            .fetch_one(&mut conn)
            .await
            .unwrap();
        found.extend((rows > 0).then_some(name));
    }
    found
}

/// The files below folders of this name that have it: processes and servers log there, and the event server keeps its messages.
fn files(folder: &Path, below: &str, text: &str) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    let mut left = vec![folder.to_owned()];
    while let Some(folder) = left.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                left.push(path);
            } else if path.components().any(|part| part.as_os_str() == below)
                && std::fs::read(&path).is_ok_and(|bytes| holds(&bytes, text))
            {
                found.push(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    found.into_iter()
}

/// The keys that have it, in their name or in what they hold.
fn keys(url: &str, text: &str) -> Vec<String> {
    let mut redis = redis::Client::open(url).unwrap().get_connection().unwrap();
    let keys: Vec<Vec<u8>> = redis::cmd("KEYS").arg("*").query(&mut redis).unwrap();
    let mut found = Vec::new();
    for key in keys {
        let kind: String = redis::cmd("TYPE").arg(&key).query(&mut redis).unwrap();
        let mut read = match kind.as_str() {
            "string" => redis::cmd("GET"),
            "hash" => redis::cmd("HGETALL"),
            "set" => redis::cmd("SMEMBERS"),
            _ => redis::cmd("DUMP"),
        };
        if kind == "zset" {
            read = redis::cmd("ZRANGE");
        }
        let read = read.arg(&key);
        let read = if kind == "zset" { read.arg(0).arg(-1) } else { read };
        let held: redis::Value = read.query(&mut redis).unwrap();
        let written = format!("{held:?}");
        let name = String::from_utf8_lossy(&key).into_owned();
        if name.contains(text) || written.contains(text) {
            found.push(name);
        }
    }
    found
}
