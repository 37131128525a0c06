//! The contract's descriptors together with google.rpc.Status and its details, which the contract need not import and every
//! error needs.

use anyhow::Context as _;
use prost::Message as _;
use prost_reflect::DescriptorPool;
use prost_types::FileDescriptorSet;

/// What the contract's pool already has stays as it is.
pub(crate) fn with_errors(contract: &DescriptorPool) -> anyhow::Result<DescriptorPool> {
    let mut pool = contract.clone();
    let mut errors = FileDescriptorSet::decode(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .context("google.rpc.Status has no readable descriptors")?;
    // By what they define: the same messages come from files of other names.
    errors.file.retain(|file| {
        let known =
            |name: &str| contract.get_message_by_name(&format!("{}.{name}", file.package())).is_some();
        contract.get_file_by_name(file.name()).is_none()
            && !file.message_type.iter().any(|message| known(message.name()))
    });
    pool.add_file_descriptor_set(errors)
        .context("google.rpc.Status does not fit the contract's descriptors")?;
    Ok(pool)
}

#[cfg(test)]
mod tests {
    use stampede_kit::Contract;

    use super::*;

    #[test]
    fn an_errors_status_and_its_details_are_there_whatever_the_contract_imports() {
        let contract = Contract::parse(stampede_proto::DESCRIPTOR_SET).unwrap();
        let pool = with_errors(contract.pool()).unwrap();
        for name in ["google.rpc.Status", "google.rpc.ErrorInfo", "google.rpc.BadRequest"] {
            assert!(pool.get_message_by_name(name).is_some(), "{name}");
        }
    }
}
