//! The schema: every message and enum of a descriptor pool, compiled. Cheap to clone; never changes.

use std::collections::HashMap;
use std::sync::Arc;

use prost_reflect::{DescriptorPool, EnumDescriptor, MessageDescriptor};

use crate::error::TranscodeError;
use crate::plan::{EnumPlan, Ids, MessagePlan};
use crate::request::{self, RequestOptions};
use crate::response::{self, ResponseOptions};

/// A message of one [`Schema`]. Of no meaning in another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct MessageId(u32);

/// An enum of one [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct EnumId(u32);

/// The compiled form of a descriptor pool.
#[derive(Clone, Debug)]
pub struct Schema(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: DescriptorPool,
    messages: Vec<MessagePlan>,
    enums: Vec<EnumPlan>,
    by_name: HashMap<String, MessageId>,
}

impl Schema {
    /// Compiles every message and enum of the pool.
    pub fn build(pool: &DescriptorPool) -> Self {
        let numbering = Numbering {
            messages: (0..)
                .zip(pool.all_messages())
                .map(|(id, m)| (m.full_name().into(), MessageId(id)))
                .collect(),
            enums: (0..).zip(pool.all_enums()).map(|(id, e)| (e.full_name().into(), EnumId(id))).collect(),
        };
        let messages = pool.all_messages().map(|m| MessagePlan::compile(&m, &numbering)).collect();
        let enums = pool.all_enums().map(|e| EnumPlan::compile(&e)).collect();
        Self(Arc::new(Inner { pool: pool.clone(), messages, enums, by_name: numbering.messages }))
    }

    /// The descriptors this was built from.
    pub fn pool(&self) -> &DescriptorPool {
        &self.0.pool
    }

    /// A message by its full name, such as `google.rpc.Status`.
    pub fn message(&self, full_name: &str) -> Option<MessageId> {
        self.0.by_name.get(full_name).copied()
    }

    /// JSON to wire bytes, appended to `out`. On an error `out` keeps the length it came with.
    ///
    /// # Errors
    /// Everything canonical proto3 JSON does not allow, with the field path and the byte offset.
    pub fn to_wire(
        &self,
        message: MessageId,
        json: &[u8],
        options: &RequestOptions,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        let before = out.len();
        request::message(self, message, json, options, out).map_err(|error| {
            out.truncate(before);
            *error
        })
    }

    /// Wire bytes to canonical JSON, appended to `out`. On an error `out` keeps the length it came with.
    ///
    /// # Errors
    /// Bytes that are not a message of this type.
    pub fn to_json(
        &self,
        message: MessageId,
        wire: &[u8],
        options: &ResponseOptions,
        out: &mut Vec<u8>,
    ) -> Result<(), TranscodeError> {
        response::message(self, message, wire, options, out).map_err(|error| *error)
    }

    pub(crate) fn plan(&self, id: MessageId) -> &MessagePlan {
        &self.0.messages[id.0 as usize]
    }

    pub(crate) fn enumeration(&self, id: EnumId) -> &EnumPlan {
        &self.0.enums[id.0 as usize]
    }
}

struct Numbering {
    messages: HashMap<String, MessageId>,
    enums: HashMap<String, EnumId>,
}

impl Ids for Numbering {
    fn message(&self, message: &MessageDescriptor) -> MessageId {
        *self.messages.get(message.full_name()).expect("a pool holds every type its fields name")
    }

    fn enumeration(&self, enumeration: &EnumDescriptor) -> EnumId {
        *self.enums.get(enumeration.full_name()).expect("a pool holds every type its fields name")
    }
}
