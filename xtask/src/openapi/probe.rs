//! `openapi --probe`: Schemathesis makes requests from the document that the running gateway serves, good and bad ones, and holds
//! every answer against it. It writes into what `up` runs, as any client could; feeds are left out, because they do not end.

use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};
use serde_json::{Map, Value, json};

use super::python;
use crate::cli::block_on;
use crate::smoke::rest::Api;
use crate::stack::Stack;
use crate::terminal::say;
use crate::token::{self, Role};
use crate::up;

const REQUIREMENTS: &str = include_str!("../../openapi/schemathesis.txt");
/// No 5xx, no answer with a status, a reason, a type, a header or a body that the document does not have; 405 for other methods, and nobody
/// served without a token or with one that is none.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance,refusal_has_its_reason,unsupported_method,token_is_looked_at";
/// An answer that takes longer is a failure.
const ANSWER_SECONDS: &str = "10";
/// Refusals are few and alike: a third of the time is enough for those who have no token or the least of all.
const REFUSED_SHARE: u32 = 3;
/// Ids of each kind that calls are made about, half of the time.
const KNOWN: [(&str, &str, &str, &str); 4] = [
    ("sku_id", "/v1/skus?pageSize=20", "skus", "skuId"),
    ("campaign_id", "/v1/campaigns?pageSize=20", "campaigns", "campaignId"),
    ("order_id", "/v1/orders?pageSize=20", "orders", "orderId"),
    ("promotion_id", "/v1/promotions?pageSize=20", "promotions", "promotionId"),
];

#[derive(Debug, clap::Args)]
pub struct Bounds {
    /// How many random requests are made for each operation, beside those for the edges of every field.
    #[arg(long, default_value_t = 10, requires = "probe", value_parser = clap::value_parser!(u32).range(1..=1000))]
    examples: u32,
    /// When to stop making requests of callers who may; the others get a third of it.
    #[arg(long, default_value_t = 180, requires = "probe", value_parser = clap::value_parser!(u32).range(10..=3600))]
    seconds: u32,
    /// The same seed makes the same requests.
    #[arg(long, default_value_t = 1, requires = "probe")]
    seed: u32,
}

/// Who calls, and for how long.
struct Round {
    name: &'static str,
    roles: &'static [Role],
    seconds: u32,
}

pub fn run(root: &Path, bounds: &Bounds) -> anyhow::Result<ExitCode> {
    let stack = up::running()?;
    let gateway = stack.gateway()?;
    let bin = python::environment(root, "schemathesis", REQUIREMENTS)?;
    let staff = Api::new(gateway.clone(), token::sign(stack.folder(), "probe", Role::Staff)?)?;
    let document = block_on(staff.get("/openapi.json"))?.map_err(|refused| anyhow::anyhow!("{refused}"))?;
    let config = root.join(".dev/tools/schemathesis/stampede.toml");
    std::fs::write(&config, configuration(&document)).context("cannot write into .dev/tools")?;
    let known = block_on(known(&staff))?.to_string();
    let few = (bounds.seconds / REFUSED_SHARE).max(1);
    let rounds = [
        Round {
            name: "granted",
            roles: &[Role::Buyer, Role::Staff, Role::Auditor, Role::Guest],
            seconds: bounds.seconds,
        },
        Round { name: "guest", roles: &[Role::Guest], seconds: few },
        Round { name: "nobody", roles: &[], seconds: few },
    ];
    let mut found = Vec::new();
    for round in rounds {
        say(format!("== as {}", round.name));
        let mut schemathesis = Command::new(bin.join("schemathesis"));
        schemathesis
            .arg("--config-file")
            .arg(&config)
            .args(["run", &format!("{gateway}/openapi.json"), "--checks", CHECKS, "--workers", "1"])
            .args(["--phases", "examples,coverage,fuzzing", "--max-examples", &bounds.examples.to_string()])
            .args(["--max-time", &round.seconds.to_string(), "--seed", &bounds.seed.to_string()])
            .args(["--request-timeout", ANSWER_SECONDS, "--continue-on-failure", "--no-shrink"])
            .args(["--warnings", "off"])
            .env("SCHEMATHESIS_HOOKS", "hooks")
            .env("PYTHONPATH", root.join("xtask/openapi"))
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("PROBE_TOKENS", tokens(&stack, round.roles)?.to_string())
            .env("PROBE_KNOWN", &known)
            .env("PROBE_REASONS", document["x-error-reasons"].to_string())
            .env("PROBE_SEED", bounds.seed.to_string())
            .env("NO_PROXY", "127.0.0.1")
            .current_dir(root.join(".dev/tools/schemathesis"));
        let status = schemathesis.status().context("Schemathesis could not be started")?;
        if !status.success() {
            found.push(round.name);
        }
    }
    if found.is_empty() {
        say("probe: no 5xx, and no answer that the document does not have");
        return Ok(ExitCode::SUCCESS);
    }
    say(format!("probe: something was found as {}; see above", found.join(", ")));
    Ok(ExitCode::FAILURE)
}

/// A token of one user for each role.
fn tokens(stack: &Stack, roles: &[Role]) -> anyhow::Result<Value> {
    let mut tokens = Map::new();
    for role in roles {
        tokens.insert(role.claim().to_owned(), token::sign(stack.folder(), "probe", *role)?.into());
    }
    Ok(Value::Object(tokens))
}

/// What the shop has, by the name of the variable in a path.
async fn known(staff: &Api) -> anyhow::Result<Value> {
    let mut known = Map::new();
    for (variable, path, list, id) in KNOWN {
        let answer = staff.get(path).await?.map_err(|refused| anyhow::anyhow!("GET {path}: {refused}"))?;
        let items = answer[list].as_array().map(Vec::as_slice).unwrap_or_default();
        known.insert(variable.to_owned(), items.iter().map(|item| item[id].clone()).collect());
    }
    ensure!(known.values().any(|ids| ids.get(0).is_some()), "the shop is empty; `cargo xtask seed` fills it");
    Ok(Value::Object(known))
}

/// Feeds are left out; 501 is no failure where it is documented.
fn configuration(document: &Value) -> String {
    let mut text = String::new();
    let items = document["paths"].as_object().into_iter().flat_map(Map::values);
    for (method, operation) in items.filter_map(Value::as_object).flatten() {
        let id = &operation["operationId"];
        let answers = &operation["responses"];
        // A stream that answers a command ends by itself.
        if method == "get" && answers["200"]["content"].get("text/event-stream").is_some() {
            text += &format!("[[operations]]\ninclude-operation-id = {id}\nenabled = false\n\n");
        } else if answers.get("501").is_some() {
            let expected = json!(["2xx", "3xx", "4xx", "501"]);
            text += &format!(
                "[[operations]]\ninclude-operation-id = {id}\nchecks.not_a_server_error.expected-statuses = {expected}\n\n"
            );
        }
    }
    text
}
