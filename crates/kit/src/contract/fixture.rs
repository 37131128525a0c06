//! For unit tests: a contract from inline proto text, compiled with the house's own policy options and `buf.validate`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{Contract, ContractError};

const HEADER: &str = r#"
    syntax = "proto3";
    package test.v1;
    import "buf/validate/validate.proto";
    import "google/protobuf/duration.proto";
    import "google/protobuf/timestamp.proto";
    import "stampede/policy/v1/policy.proto";
"#;

/// Compiles `body` as the package `test.v1`.
pub(crate) fn parse(body: &str) -> Result<Arc<Contract>, ContractError> {
    Contract::parse(&compile(&format!("{HEADER}{body}")))
}

/// A contract whose one method takes the message `Ask`.
pub(crate) fn with_ask(messages: &str) -> Result<Arc<Contract>, ContractError> {
    let service = r#"
        service Desk {
          rpc Ask(Ask) returns (Ask) {
            option (stampede.policy.v1.access) = { permission: PERMISSION_ORDER_READ peers: ["gateway"] };
            option (stampede.policy.v1.calling) = {
              deadline: { seconds: 1 } idempotency: IDEMPOTENCY_READ rate_class: RATE_CLASS_READ
            };
          }
        }
    "#;
    parse(&format!("{service}{messages}"))
}

/// The contract of this house, from the files themselves.
pub(crate) fn house() -> Result<Arc<Contract>, ContractError> {
    let proto = proto_folder();
    let mut folders = vec![proto.join("stampede")];
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.extension() {
                Some(extension) if extension == "proto" => files.push(path),
                Some(_) => {}
                None => folders.push(path),
            }
        }
    }
    let mut compiler = protox::Compiler::new([proto.clone(), proto.join("third_party")]).unwrap();
    compiler.include_imports(true).open_files(files).unwrap_or_else(|error| panic!("{error:?}"));
    Contract::parse(&compiler.encode_file_descriptor_set())
}

fn compile(text: &str) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("test.proto"), text).unwrap();
    let proto = proto_folder();
    let third_party = proto.join("third_party");
    let mut compiler = protox::Compiler::new([folder.path(), &proto, &third_party]).unwrap();
    compiler.include_imports(true).open_file("test.proto").unwrap_or_else(|error| panic!("{error:?}"));
    compiler.encode_file_descriptor_set()
}

fn proto_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../proto")
}
