//! Where a feed can be taken up again: the string field `resume_token` of its messages and of its request, found on the wire
//! without reading the rest.

use prost_reflect::{Kind, MessageDescriptor, MethodDescriptor};
use tonic::codegen::Bytes;

/// By convention of the contract.
const FIELD: &str = "resume_token";
/// A token longer than this is not one of ours.
const MAX_TOKEN_BYTES: usize = 512;
const LENGTH_DELIMITED: u64 = 2;

/// Field numbers of the tokens; zero where there is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resume {
    request: u32,
    response: u32,
}

impl Resume {
    pub(crate) fn of(method: &MethodDescriptor) -> Self {
        Resume { request: number(&method.input()), response: number(&method.output()) }
    }

    /// Asks to go on after `token`. Of a field given twice the last one counts, so it goes to the end of the message.
    pub(crate) fn from(self, token: &[u8], message: &mut Vec<u8>) {
        let text = std::str::from_utf8(token).is_ok();
        if self.request == 0 || token.is_empty() || token.len() > MAX_TOKEN_BYTES || !text {
            return;
        }
        prost::encoding::bytes::encode(self.request, &Bytes::copy_from_slice(token), message);
    }

    /// The token of a message, when it has one that fits on a line.
    pub(crate) fn token(self, message: &[u8]) -> Option<&[u8]> {
        if self.response == 0 {
            return None;
        }
        let token = last_field(message, self.response)?;
        let line = !token.is_empty() && token.iter().all(|byte| !matches!(byte, b'\n' | b'\r' | 0));
        line.then_some(token)
    }
}

fn number(message: &MessageDescriptor) -> u32 {
    let field = message
        .get_field_by_name(FIELD)
        .filter(|field| matches!(field.kind(), Kind::String) && !field.is_list());
    field.map_or(0, |field| field.number())
}

/// The last length-delimited field with this number at the top of a message.
fn last_field(mut message: &[u8], wanted: u32) -> Option<&[u8]> {
    let mut found = None;
    while !message.is_empty() {
        let key = varint(&mut message)?;
        match key & 7 {
            0 => drop(varint(&mut message)?),
            1 => message = message.get(8..)?,
            5 => message = message.get(4..)?,
            LENGTH_DELIMITED => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                let (value, rest) = message.split_at_checked(length)?;
                if key >> 3 == u64::from(wanted) {
                    found = Some(value);
                }
                message = rest;
            }
            _ => return None,
        }
    }
    found
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    prost::encoding::decode_varint(bytes).ok()
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_reflect::DescriptorPool;
    use stampede_proto::inventory::v1::{WatchStockRequest, WatchStockResponse};

    use super::*;

    fn watch_stock() -> Resume {
        let pool = DescriptorPool::decode(stampede_proto::DESCRIPTOR_SET).unwrap();
        let service = pool.get_service_by_name("stampede.inventory.v1.InventoryService").unwrap();
        Resume::of(&service.methods().find(|method| method.name() == "WatchStock").unwrap())
    }

    #[test]
    fn the_token_is_found_among_the_other_fields() {
        let message = WatchStockResponse { sequence: i64::MAX, resume_token: "t-7".into(), update: None };

        assert_eq!(watch_stock().token(&message.encode_to_vec()), Some(&b"t-7"[..]));
        assert_eq!(watch_stock().token(&WatchStockResponse::default().encode_to_vec()), None);
    }

    #[test]
    fn a_token_that_would_break_the_line_is_left_out() {
        let message = WatchStockResponse { resume_token: "a\nevent: evil".into(), ..Default::default() };

        assert_eq!(watch_stock().token(&message.encode_to_vec()), None);
    }

    #[test]
    fn the_last_event_id_wins_over_the_token_of_the_address() {
        let request =
            WatchStockRequest { resume_token: "old".into(), campaign_id: "c".into(), ..Default::default() };
        let mut wire = request.encode_to_vec();

        watch_stock().from(b"new", &mut wire);

        let read = WatchStockRequest::decode(&*wire).unwrap();
        assert_eq!((read.resume_token.as_str(), read.campaign_id.as_str()), ("new", "c"));
    }

    #[test]
    fn bytes_that_are_no_message_have_no_token() {
        for bytes in [&b"\x12\xff"[..], b"\x12", b"\x0f", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"] {
            assert_eq!(watch_stock().token(bytes), None);
        }
    }
}
