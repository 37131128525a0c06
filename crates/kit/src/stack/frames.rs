//! gRPC's framing: one byte that says compressed or not, four that say how long, then the message. Finds the messages in the
//! bytes of a body; it never decodes one.

use bytes::{Buf, Bytes, BytesMut};
use tonic::Code;

use crate::refusal::{Refusal, reason};

pub(super) const HEADER_BYTES: usize = 5;

/// Bytes that arrived and are not yet a whole frame.
pub(super) struct Frames {
    pending: BytesMut,
    max_message_bytes: usize,
}

impl Frames {
    pub(super) fn new(max_message_bytes: usize) -> Self {
        Frames { pending: BytesMut::new(), max_message_bytes }
    }

    pub(super) fn push(&mut self, data: &Bytes) {
        self.pending.extend_from_slice(data);
    }

    /// The next whole frame, header included.
    pub(super) fn next(&mut self) -> Result<Option<Bytes>, Refusal> {
        match whole(&self.pending, self.max_message_bytes)? {
            Some(length) => Ok(Some(self.pending.split_to(length).freeze())),
            None => Ok(None),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.pending.has_remaining()
    }
}

/// How long the frame at the start of `bytes` is, header included, once it is all there. A message that is too long is
/// refused as soon as its header says so.
pub(super) fn whole(bytes: &[u8], max_message_bytes: usize) -> Result<Option<usize>, Refusal> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    let [compressed, length @ ..] = *header;
    let length = u32::from_be_bytes(length) as usize;
    if compressed != 0 {
        let text = "compressed messages are not taken here";
        return Err(Refusal::new(Code::Unimplemented, reason::NOT_IMPLEMENTED, text));
    }
    if length > max_message_bytes {
        return Err(too_large(max_message_bytes));
    }
    Ok((rest.len() >= length).then_some(HEADER_BYTES + length))
}

fn too_large(limit: usize) -> Refusal {
    Refusal::new(
        Code::ResourceExhausted,
        reason::MESSAGE_TOO_LARGE,
        format!("a message may have up to {limit} bytes"),
    )
    .metadata("limit_bytes", limit.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(message: &[u8]) -> Vec<u8> {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0], &length[..], message].concat()
    }

    #[test]
    fn frames_are_found_however_the_bytes_are_cut() {
        let bytes = [frame(b"one"), frame(b""), frame(b"three")].concat();
        for cut in 1..bytes.len() {
            let mut frames = Frames::new(100);
            let mut found = Vec::new();
            for piece in bytes.chunks(cut) {
                frames.push(&Bytes::copy_from_slice(piece));
                while let Some(frame) = frames.next().unwrap() {
                    found.push(frame.slice(HEADER_BYTES..));
                }
            }
            assert_eq!(found, ["one", "", "three"], "cut every {cut}");
            assert!(frames.is_empty());
        }
    }

    #[test]
    fn a_message_that_is_too_long_is_refused_by_its_header() {
        let header = [0, 0, 0, 0, 101];
        assert_eq!(whole(&header, 100).unwrap_err().reason(), "MESSAGE_TOO_LARGE");
        assert_eq!(whole(&header, 101).unwrap(), None);
    }

    #[test]
    fn a_compressed_message_is_refused() {
        assert_eq!(whole(&[1, 0, 0, 0, 0], 100).unwrap_err().code(), Code::Unimplemented);
    }
}
