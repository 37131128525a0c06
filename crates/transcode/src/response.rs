//! Protobuf wire bytes to canonical proto3 JSON in one pass, with no message in between.
//!
//! Messages as encoders write them, fields by rising number, go straight through. The wire allows more (fields in
//! any order, split lists, a singular field twice): when that is met, the whole message is done again by the path
//! that gathers each field first. Never twice per level, so no input makes it slow.

mod decode;
mod gather;
mod map;
mod text;
mod well_known;

use crate::error::Fail;
use crate::schema::{MessageId, Schema};
use crate::snippet;

use decode::{Decoder, Stop};

/// Up to here room is made at once for a message three times its length on the wire.
const USUAL_BYTES: usize = 4096;

/// How responses are written.
#[derive(Clone, Copy, Debug)]
pub struct ResponseOptions {
    /// Write fields without presence, lists and maps although they are empty: `"quantity":0`, `"lines":[]`.
    pub emit_defaults: bool,
}

impl Default for ResponseOptions {
    fn default() -> Self {
        Self { emit_defaults: true }
    }
}

/// One whole message. On an error `out` keeps the length it came with.
pub(crate) fn message(
    schema: &Schema,
    id: MessageId,
    wire: &[u8],
    options: &ResponseOptions,
    out: &mut Vec<u8>,
) -> Result<(), Fail> {
    twice(schema, options, wire, out, |decoder| decoder.message(id, wire, 0))
}

/// One field of a message, as `response_body` asks for; `null` for a message that is not there.
pub(crate) fn field(
    schema: &Schema,
    id: MessageId,
    index: usize,
    wire: &[u8],
    options: &ResponseOptions,
    out: &mut Vec<u8>,
) -> Result<(), Fail> {
    twice(schema, options, wire, out, |decoder| decoder.only_field(id, index, wire))
}

/// Tries the straight way, then the one that gathers.
fn twice(
    schema: &Schema,
    options: &ResponseOptions,
    wire: &[u8],
    out: &mut Vec<u8>,
    run: impl Fn(&mut Decoder<'_, '_>) -> Result<(), Stop>,
) -> Result<(), Fail> {
    let before = out.len();
    // Names make short values long and leave long ones as they are.
    out.reserve(wire.len() + 2 * wire.len().min(USUAL_BYTES) + snippet::PIECE);
    let mut result = run(&mut Decoder { schema, options, out, gather: false });
    if let Err(Stop::OutOfOrder) = result {
        out.truncate(before);
        result = run(&mut Decoder { schema, options, out, gather: true });
    }
    result.map_err(|stop| {
        out.truncate(before);
        match stop {
            Stop::Failed(fail) => fail,
            Stop::OutOfOrder => crate::wire::malformed("The fields could not be put in order."),
        }
    })
}
