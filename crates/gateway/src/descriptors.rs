//! The contract's descriptors together with google.rpc.Status and its details, which the contract need not import and every
//! error needs.

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use kit::Contract;
use prost::Message as _;
use prost::encoding::{DecodeContext, decode_key, skip_field};
use prost_types::FileDescriptorSet;
use stampede_kit as kit;

/// Reads a contract, with what errors are made of beside it. What it already has stays as it is.
pub(crate) fn read(contract: &[u8]) -> anyhow::Result<Arc<Contract>> {
    let theirs = FileDescriptorSet::decode(contract).context("the contract is no descriptor set")?;
    let mut errors = FileDescriptorSet::decode(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .context("google.rpc.Status has no readable descriptors")?;
    // By what they define: the same messages come from files of other names.
    errors.file.retain(|file| {
        !theirs.file.iter().any(|known| {
            let defines = |name: &str| known.message_type.iter().any(|message| message.name() == name);
            known.name() == file.name()
                || (known.package() == file.package()
                    && file.message_type.iter().any(|message| defines(message.name())))
        })
    });
    // One set after the other is the set of both, and what this reader does not know of the first stays in it.
    let both = [contract, &errors.encode_to_vec()].concat();
    Ok(Contract::parse(&both)?)
}

/// The descriptors without the places and comments of their sources, which nothing at work reads and which are two thirds of them. All else of a
/// file is kept as it stands, known or not.
pub(crate) fn without_sources(contract: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut set = FileBytes::decode(contract).context("the contract is no descriptor set")?;
    for file in &mut set.files {
        *file = without_field(file, SOURCE_CODE_INFO)?.into();
    }
    Ok(set.encode_to_vec())
}

/// `FileDescriptorProto.source_code_info`.
const SOURCE_CODE_INFO: u32 = 9;

/// A `FileDescriptorSet` whose files are not looked into.
#[derive(Clone, PartialEq, prost::Message)]
struct FileBytes {
    #[prost(bytes = "bytes", repeated, tag = "1")]
    files: Vec<Bytes>,
}

fn without_field(message: &[u8], unwanted: u32) -> anyhow::Result<Vec<u8>> {
    let mut kept = Vec::with_capacity(message.len());
    let mut rest = message;
    while !rest.is_empty() {
        let field = rest;
        let (number, wire_type) = decode_key(&mut rest)?;
        skip_field(wire_type, number, &mut rest, DecodeContext::default())?;
        if number != unwanted {
            kept.extend_from_slice(&field[..field.len() - rest.len()]);
        }
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_errors_status_and_its_details_are_there_whatever_the_contract_imports() {
        let contract = read(stampede_proto::DESCRIPTOR_SET).unwrap();
        for name in ["google.rpc.Status", "google.rpc.ErrorInfo", "google.rpc.BadRequest"] {
            assert!(contract.pool().get_message_by_name(name).is_some(), "{name}");
        }
        // Comments are no part of what is served, options are.
        let bare = read(&without_sources(stampede_proto::DESCRIPTOR_SET).unwrap()).unwrap();
        let files = |contract: &Contract| {
            contract.pool().files().map(|file| file.file_descriptor_proto().clone()).collect::<Vec<_>>()
        };
        let mut wanted = files(&contract);
        wanted.iter_mut().for_each(|file| file.source_code_info = None);
        assert_eq!(files(&bare), wanted);
        assert!(bare.bytes().len() * 2 < contract.bytes().len());
        let rpcs = |contract: &Contract| format!("{:?}", contract.methods());
        assert_eq!(rpcs(&bare), rpcs(&contract));
        // Once more changes nothing.
        let again = read(contract.bytes()).unwrap();
        assert_eq!(again.bytes(), contract.bytes());
    }
}
