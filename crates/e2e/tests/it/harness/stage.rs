//! Some processes with their three servers in a folder of their own, shared by those who ask them and the one who hurts them. Killed
//! and wiped when it is dropped.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::PgPool;
use stampede_kit::client::Channel;
use stampede_kit::{self as kit, Contract};
use tempfile::TempDir;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::{Request, metadata::MetadataMap};
use xtask::stack::{Layout, Stack};
use xtask::terminal::Step;
use xtask::token::{self, Role};

const READY_WITHIN: Duration = Duration::from_secs(60);
/// Of one process, in a failure.
const LOG_LINES: usize = 20;

/// A token as it stands in a request's metadata.
pub type Bearer = MetadataValue<Ascii>;

pub struct Stage {
    pub stack: Arc<Mutex<Stack>>,
    /// The processes that run, the called before their callers.
    pub names: Vec<String>,
    folder: TempDir,
}

impl Stage {
    /// Starts all processes of these services, so many of some, with settings as (service, key, value).
    pub fn open(
        services: &[&str],
        instances: &[(&'static str, usize)],
        settings: &[(&'static str, &'static str, &str)],
    ) -> Self {
        let folder = tempfile::Builder::new().prefix("stampede-").tempdir().unwrap();
        let settings = settings.iter().map(|(service, key, value)| (*service, *key, (*value).to_owned()));
        let layout = Layout {
            instances: instances.to_vec(),
            settings: settings.collect(),
            ..Layout::private(folder.path())
        };
        let stack = Stack::open(layout, &Step::silent()).unwrap();
        let runs = |name: &String| services.iter().any(|service| is_of(name, service));
        let names: Vec<String> = stack.names().into_iter().filter(runs).collect();
        // A stage from here on, so that its drop ends whatever was started when one process does not start.
        let stage = Self { stack: Arc::new(Mutex::new(stack)), names, folder };
        {
            let mut stack = stage.stack.lock().unwrap();
            stage.names.iter().for_each(|name| stack.start(name).unwrap());
            stage.names.iter().for_each(|name| stack.wait_ready(name, READY_WITHIN).unwrap());
        }
        stage
    }

    /// The processes of one service.
    pub fn names_of(&self, service: &str) -> Vec<String> {
        self.names.iter().filter(|name| is_of(name, service)).cloned().collect()
    }

    /// A way to a process, as the outside client.
    pub fn channel(&self, name: &str) -> Channel {
        channel(&self.stack.lock().unwrap(), name)
    }

    pub fn bearer(&self, user: &str, role: Role) -> Bearer {
        bearer(&self.stack.lock().unwrap(), user, role)
    }

    pub async fn database(&self, service: &str) -> PgPool {
        let url = self.stack.lock().unwrap().servers().database_url(service);
        PgPool::connect(&url).await.unwrap()
    }

    /// The errors of every process, for a failure.
    pub fn logs(&self) -> String {
        let stack = self.stack.lock().unwrap_or_else(PoisonError::into_inner);
        let errors = |name: &String| {
            let log = std::fs::read_to_string(stack.log(name)).unwrap_or_default();
            // A panic is no JSON.
            let is_error = |line: &&str| line.contains(r#""level":"ERROR""#) || !line.starts_with('{');
            let lines: Vec<&str> = log.lines().filter(is_error).take(LOG_LINES).collect();
            format!("---- errors of {name}\n{}\n", lines.join("\n"))
        };
        self.names.iter().map(errors).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
        let mut stack = self.stack.lock().unwrap_or_else(PoisonError::into_inner);
        for name in &self.names {
            stack.kill9(name).ok();
        }
        xtask::stack::wipe(self.folder.path()).ok();
    }
}

/// A way to a process of a stack, as the outside client.
pub fn channel(stack: &Stack, name: &str) -> Channel {
    let folder = stack.folder();
    let (cert, key) = (folder.cert_path("client"), folder.key_path("client"));
    let tls = kit::tls::Client::read(&cert, &key, &folder.ca_path()).unwrap();
    let contract = Contract::parse(stampede_proto::DESCRIPTOR_SET).unwrap();
    let service = ["order", "inventory", "payment"].into_iter().find(|service| is_of(name, service));
    kit::client::connect(&tls, service.unwrap(), &stack.address(name).unwrap().to_string(), contract)
}

pub fn bearer(stack: &Stack, user: &str, role: Role) -> Bearer {
    let token = token::sign(stack.folder(), user, role).unwrap();
    MetadataValue::try_from(format!("Bearer {token}")).unwrap()
}

/// A request of whoever has this token.
pub fn request<M>(bearer: &Bearer, message: M, within: Duration) -> Request<M> {
    let mut request = kit::client::request(message, within);
    request.metadata_mut().insert("authorization", bearer.clone());
    request
}

/// The header by which gRPC clients say that they have tried before (gRFC A6).
pub fn said_before(metadata: &mut MetadataMap) {
    metadata.insert("grpc-previous-rpc-attempts", MetadataValue::from_static("1"));
}

/// `inventory` and `inventory-2` are of inventory.
fn is_of(name: &str, service: &str) -> bool {
    name.strip_prefix(service).is_some_and(|rest| {
        rest.is_empty() || rest.strip_prefix('-').is_some_and(|number| number.parse::<u32>().is_ok())
    })
}
