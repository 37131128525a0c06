//! Makes what pbjson needs: types of its own for the order's messages, and their serde code.

use std::path::PathBuf;

/// What the order is made of.
const PACKAGES: [&str; 3] = ["stampede.common.v1", "stampede.payment.v1", "stampede.order.v1"];

fn main() -> anyhow::Result<()> {
    let root = PathBuf::from(std::env!("CARGO_MANIFEST_DIR")).join("../../proto");
    println!("cargo::rerun-if-changed={}", root.display());
    let mut compiler = protox::Compiler::new([root.clone(), root.join("third_party")])?;
    compiler.include_imports(true).open_file("stampede/order/v1/order.proto")?;
    pbjson_build::Builder::new()
        .register_descriptors(&compiler.encode_file_descriptor_set())?
        .emit_fields()
        .build(&PACKAGES.map(|package| format!(".{package}")))?;
    prost_build::Config::new()
        .compile_well_known_types()
        .extern_path(".google.protobuf", "::pbjson_types")
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
