//! The types that the ways to transcode are measured with: one set by hand, one by pbjson. Nothing of the house uses them.

pub mod generated;
pub mod typed;
