//! `buf curl`: it asks the gateway for the contract by reflection, then calls by gRPC over plain HTTP/2 and by gRPC-web. The
//! protocol is always named: its own default, Connect, is not spoken here.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, bail, ensure};
use serde_json::Value;

use super::{Called, output};
use crate::ci::tools;
use crate::terminal::say;

const GET_STOCK: &str = "stampede.inventory.v1.InventoryService/GetStock";
const GET_ORDER: &str = "stampede.order.v1.OrderService/GetOrder";
/// Plain HTTP/2 from the first byte: reflection and gRPC need it.
const H2C: &str = "--http2-prior-knowledge";

pub(super) fn run(root: &Path, called: &Called) -> anyhow::Result<()> {
    let buf = tools::buf(root)?;
    let listed = output(
        Command::new(&buf).args(["curl", H2C, "--protocol", "grpc", "--list-services"]).arg(&called.gateway),
        "buf curl",
    )?;
    ensure!(
        listed.contains("stampede.order.v1.OrderService"),
        "reflection does not list the order service: {listed}"
    );
    say(format!("  reflection: {} services", listed.lines().count()));
    for protocol in ["grpc", "grpcweb"] {
        let stock = format!("{{\"skuId\":\"{}\"}}", called.sku);
        let answer = output(&mut curl(&buf, called, protocol, GET_STOCK, &stock), "buf curl")?;
        let answer: Value = serde_json::from_str(&answer).context("buf curl printed no JSON")?;
        let levels = answer["levels"].as_array().context("the answer has no levels")?.len();
        say(format!("  {protocol}: GetStock {}: {levels} levels", called.sku));
    }
    let refused = curl(&buf, called, "grpc", GET_ORDER, r#"{"orderId":"no-uuid"}"#).output()?;
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    if refused.status.success()
        || !told.contains("invalid_argument")
        || !told.contains("google.rpc.BadRequest")
    {
        bail!("buf curl was to be refused with a readable reason: {told}");
    }
    say("  refused: GetOrder: invalid_argument, with its details");
    Ok(())
}

fn curl(buf: &Path, called: &Called, protocol: &str, method: &str, body: &str) -> Command {
    let mut curl = Command::new(buf);
    curl.args(["curl", H2C, "--protocol", protocol, "--header"])
        .arg(format!("Authorization: Bearer {}", called.token))
        .args(["--data", body])
        .arg(format!("{}/{method}", called.gateway));
    curl
}
