//! The contract's descriptors together with google.rpc.Status and its details, which the contract does not import and every
//! error needs.

use anyhow::Context as _;
use prost_reflect::DescriptorPool;

/// What the contract's pool already has stays as it is.
pub(crate) fn with_errors(contract: &DescriptorPool) -> anyhow::Result<DescriptorPool> {
    let mut pool = contract.clone();
    pool.decode_file_descriptor_set(tonic_types::pb::FILE_DESCRIPTOR_SET)
        .context("google.rpc.Status does not fit the contract's descriptors")?;
    Ok(pool)
}
