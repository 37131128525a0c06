//! Compiles the contract with protox: messages, clients, servers, and the descriptor set with every option kept. A contract whose
//! routes conflict does not build.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use prost_reflect::{DescriptorPool, Value};

const PACKAGES: [&str; 6] = ["common", "policy", "inventory", "order", "payment", "event"];

fn main() -> anyhow::Result<()> {
    let root = PathBuf::from(std::env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let files = contract_files(&root)?;
    let mut compiler = protox::Compiler::new([root.clone(), root.join("third_party")])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;

    // protox's own encoding keeps the option extensions; through prost-types they would be lost.
    let encoded = compiler.encode_file_descriptor_set();
    #[expect(
        clippy::disallowed_methods,
        reason = "cargo tells a build script where to write by this variable only"
    )]
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    std::fs::write(out.join("descriptors.bin"), &encoded)?;
    let pool = DescriptorPool::decode(encoded.as_slice())?;
    std::fs::write(out.join("reasons.rs"), reasons(&pool)?)?;
    // Two RPCs on one route, or a rule that names no field, stop the build: the gateway could not start.
    if let Err(error) = stampede_transcode::Router::build(&pool) {
        anyhow::bail!("the contract's routes: {error}");
    }

    tonic_prost_build::configure()
        .build_transport(false)
        .bytes(".stampede.payment.v1.ReceiveWebhookRequest")
        .extern_path(".google.rpc.Status", "::tonic_types::Status")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}

fn contract_files(root: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for package in PACKAGES {
        for entry in std::fs::read_dir(root.join("stampede").join(package).join("v1"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "proto") {
                files.push(path);
            }
        }
    }
    files.sort();
    Ok(files)
}

/// One table from `ErrorReason` to its declared outcome, so that no service repeats it.
fn reasons(pool: &DescriptorPool) -> anyhow::Result<String> {
    let missing = |what: &str| anyhow::anyhow!("the contract has no {what}");
    let reasons = pool
        .get_enum_by_name("stampede.common.v1.ErrorReason")
        .ok_or_else(|| missing("stampede.common.v1.ErrorReason"))?;
    let outcome = pool
        .get_extension_by_name("stampede.policy.v1.outcome")
        .ok_or_else(|| missing("stampede.policy.v1.outcome"))?;
    let mut code = String::from("[\n");
    let mut values: Vec<_> = reasons.values().filter(|v| v.number() != 0).collect();
    values.sort_by_key(|value| value.number());
    for value in values {
        let options = value.options();
        let declared = options.get_extension(&outcome);
        let fields = declared.as_message().ok_or_else(|| missing("outcome message"))?;
        let text = |name: &str| match fields.get_field_by_name(name).as_deref() {
            Some(Value::String(s)) if !s.is_empty() => Ok(s.clone()),
            _ => Err(anyhow::anyhow!("{} declares no {name}", value.name())),
        };
        let status = match fields.get_field_by_name("http_status").as_deref() {
            Some(Value::I32(n)) if (400..600).contains(n) => *n,
            _ => anyhow::bail!("{} declares no HTTP status", value.name()),
        };
        let word = value.name().trim_start_matches("ERROR_REASON_");
        writeln!(
            code,
            "    ({}, Declared {{ word: {word:?}, code: tonic::Code::{}, http_status: {status}, en: {:?}, zh_cn: {:?} }}),",
            value.number(),
            variant(&text("grpc_code")?),
            text("text_en")?,
            text("text_zh_cn")?,
        )?;
    }
    code.push_str("]\n");
    Ok(code)
}

/// `NOT_FOUND` to `NotFound`.
fn variant(code: &str) -> String {
    code.split('_').map(|part| part[..1].to_owned() + &part[1..].to_ascii_lowercase()).collect()
}
