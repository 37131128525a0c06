//! HTTP/2 frames and header blocks, as few as a unary gRPC caller needs (RFC 9113, RFC 7541). Requests repeat the same headers,
//! so after the first one a header block is a handful of indexes. It never touches a socket.

/// Length of a frame's head.
pub const HEAD_BYTES: usize = 9;
/// What a connection begins with.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;

pub const END_STREAM: u8 = 1;
/// Of SETTINGS and PING.
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
/// Padding and priority, which our servers never send.
const PADDED_OR_PRIORITY: u8 = 0x08 | 0x20;

const SETTING_HEADER_TABLE_SIZE: u16 = 1;
const SETTING_INITIAL_WINDOW_SIZE: u16 = 4;
/// What the server may send without being asked for more: enough for the longest run.
const RECEIVE_WINDOW_BYTES: u32 = 0x7fff_ffff;
/// The window both sides begin with.
pub const FIRST_WINDOW_BYTES: i64 = 65_535;
/// The first entry of the dynamic table follows the 61 of the static one.
const FIRST_DYNAMIC: usize = 62;

/// The head of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    pub length: usize,
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
}

impl Head {
    /// The head at the start of `bytes`, when it is all there.
    pub fn read(bytes: &[u8]) -> Option<Head> {
        let [a, b, c, kind, flags, stream @ ..] = *bytes.first_chunk::<HEAD_BYTES>()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        Some(Head { length, kind, flags, stream: u32::from_be_bytes(stream) & 0x7fff_ffff })
    }

    pub fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Whether the header block is the whole payload.
    pub fn is_plain_block(&self) -> bool {
        self.has(END_HEADERS) && !self.has(PADDED_OR_PRIORITY)
    }

    pub fn write(&self, out: &mut Vec<u8>) {
        let length = u32::try_from(self.length).expect("our frames are short").to_be_bytes();
        out.extend_from_slice(&length[1..]);
        out.extend_from_slice(&[self.kind, self.flags]);
        out.extend_from_slice(&self.stream.to_be_bytes());
    }
}

/// Writes a whole frame.
pub fn frame(out: &mut Vec<u8>, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
    Head { length: payload.len(), kind, flags, stream }.write(out);
    out.extend_from_slice(payload);
}

/// The preface, our settings and a window for the whole connection. The server's header blocks may use no dynamic table:
/// each can be read without the ones before it.
pub fn opening() -> Vec<u8> {
    let mut out = PREFACE.to_vec();
    let mut settings = Vec::new();
    for (setting, value) in
        [(SETTING_HEADER_TABLE_SIZE, 0), (SETTING_INITIAL_WINDOW_SIZE, RECEIVE_WINDOW_BYTES)]
    {
        settings.extend_from_slice(&u16::to_be_bytes(setting));
        settings.extend_from_slice(&u32::to_be_bytes(value));
    }
    frame(&mut out, SETTINGS, 0, 0, &settings);
    let more = RECEIVE_WINDOW_BYTES - u32::try_from(FIRST_WINDOW_BYTES).expect("it is 65,535");
    frame(&mut out, WINDOW_UPDATE, 0, 0, &more.to_be_bytes());
    out
}

/// The header block of the first request, which fills the server's dynamic table, and of every later one.
#[derive(Debug)]
pub struct Blocks {
    pub first: Vec<u8>,
    pub later: Vec<u8>,
}

impl Blocks {
    /// Of a gRPC call of `path`, such as `/package.Service/Method`.
    pub fn of(path: &str, authority: &str) -> Blocks {
        // Index of a name in the static table, or the name itself.
        let headers: [(Result<u8, &str>, &str); 6] = [
            (Ok(4), path),
            (Ok(1), authority),
            (Ok(31), "application/grpc"),
            (Err("te"), "trailers"),
            (Err("grpc-timeout"), "2S"),
            (Ok(58), "stampede-bench"),
        ];
        // `:method: POST` and `:scheme: https` stand in the static table as they are.
        let mut first = vec![0x83, 0x87];
        let mut later = first.clone();
        for (place, (name, value)) in headers.iter().enumerate() {
            match name {
                Ok(index) => first.push(0x40 | index),
                Err(name) => {
                    first.push(0x40);
                    string(&mut first, name);
                }
            }
            string(&mut first, value);
            // The entry added last has the lowest index.
            let index = FIRST_DYNAMIC + headers.len() - 1 - place;
            later.push(0x80 | u8::try_from(index).expect("six entries"));
        }
        Blocks { first, later }
    }
}

/// A header of one request, which goes into no table.
pub fn literal(block: &mut Vec<u8>, name: &str, value: &str) {
    block.push(0x00);
    string(block, name);
    string(block, value);
}

/// A message as gRPC frames it: not compressed, and its length before it.
pub fn message(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).expect("a message of a few names is short");
    [&[0][..], &length.to_be_bytes(), body].concat()
}

/// A string without Huffman coding; its length in groups of seven bits once it is 127 or more.
fn string(out: &mut Vec<u8>, text: &str) {
    const MOST: usize = 0x7f;
    out.push(text.len().min(MOST) as u8);
    let mut rest = text.len().checked_sub(MOST);
    while let Some(length) = rest {
        let more = length >= 0x80;
        out.push((length % 0x80) as u8 | if more { 0x80 } else { 0 });
        rest = more.then_some(length / 0x80);
    }
    out.extend_from_slice(text.as_bytes());
}

/// "grpc-status", Huffman coded (RFC 7541, appendix B).
const STATUS_CODED: [u8; 8] = [0x9a, 0xca, 0xc8, 0xb2, 0x12, 0x34, 0xda, 0x8f];
const STATUS: &[u8] = b"grpc-status";

/// The value of `grpc-status` in a header block that uses no dynamic table; nothing when it is not there.
pub fn grpc_status(mut block: &[u8]) -> Option<u8> {
    while let Some((&byte, rest)) = block.split_first() {
        match byte {
            // Indexed, name and value: the static table holds no gRPC status.
            0x80.. => block = integer(block, 7)?.1,
            // The table's size.
            0x20..0x40 => block = integer(block, 5)?.1,
            // A literal, kept in the table or not. The table holds nothing, whatever is kept.
            0x00..0x20 | 0x40..0x80 => {
                let (name, after) = integer(block, if byte >= 0x40 { 6 } else { 4 })?;
                let (is_status, after) = if name == 0 { name_is_status(rest)? } else { (false, after) };
                let (coded, value, after) = text(after)?;
                if is_status {
                    return number(coded, value);
                }
                block = after;
            }
        }
    }
    None
}

fn name_is_status(bytes: &[u8]) -> Option<(bool, &[u8])> {
    let (coded, name, after) = text(bytes)?;
    Some((if coded { name == STATUS_CODED } else { name == STATUS }, after))
}

/// Whether the string is Huffman coded, its bytes, and what follows.
fn text(bytes: &[u8]) -> Option<(bool, &[u8], &[u8])> {
    let coded = bytes.first()? & 0x80 != 0;
    let (length, after) = integer(bytes, 7)?;
    let (text, after) = after.split_at_checked(length)?;
    Some((coded, text, after))
}

/// An integer with a prefix of so many bits (RFC 7541, section 5.1), and what follows.
fn integer(bytes: &[u8], prefix: u32) -> Option<(usize, &[u8])> {
    let (first, mut rest) = bytes.split_first()?;
    let most = (1_usize << prefix) - 1;
    let mut value = usize::from(*first) & most;
    if value < most {
        return Some((value, rest));
    }
    for shift in [0, 7, 14, 21] {
        let (byte, after) = rest.split_first()?;
        rest = after;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some((value, rest));
        }
    }
    None
}

/// A status has one or two digits; their codes are 00000 to 00010 for 0 to 2 and 011001 to 011111 for 3 to 9.
fn number(coded: bool, value: &[u8]) -> Option<u8> {
    if !coded {
        return std::str::from_utf8(value).ok()?.parse().ok();
    }
    let bits = value.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte));
    let mut left = u32::try_from(value.len() * 8).ok().filter(|bits| *bits <= 16)?;
    let take = |count: u32, left: u32| Some(bits >> left.checked_sub(count)? & ((1 << count) - 1));
    let mut status = 0_u8;
    // Fewer than five bits are padding, and so are five ones or more.
    while let Some(five) = take(5, left).filter(|five| *five != 0x1f) {
        let (digit, length) = match (five, take(6, left)) {
            (0..=2, _) => (five, 5),
            (_, Some(six @ 0x19..=0x1f)) => (six - 0x19 + 3, 6),
            (_, Some(_) | None) => return None,
        };
        status = status.checked_mul(10)?.checked_add(u8::try_from(digit).ok()?)?;
        left -= length;
    }
    Some(status)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_reads_back_as_it_was_written() {
        let head = Head { length: 70_000, kind: DATA, flags: END_STREAM, stream: 7 };
        let mut bytes = Vec::new();
        head.write(&mut bytes);
        assert_eq!(Head::read(&bytes), Some(head));
        assert_eq!(Head::read(&bytes[..8]), None);
    }

    #[test]
    fn a_later_block_names_the_entries_of_the_first_newest_lowest() {
        let blocks = Blocks::of("/a.B/C", "inventory");
        assert_eq!(
            blocks.later,
            [0x83, 0x87, 0x80 | 67, 0x80 | 66, 0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62]
        );
        assert!(blocks.first.starts_with(&[0x83, 0x87, 0x44, 6, b'/', b'a']));
    }

    #[test]
    fn a_long_string_reads_back_with_its_length() {
        for length in [0, 126, 127, 128, 254, 255, 256, 700, 20_000] {
            let (mut out, long) = (Vec::new(), "x".repeat(length));
            string(&mut out, &long);
            assert_eq!(text(&out), Some((false, long.as_bytes(), &[][..])), "{length}");
        }
    }

    #[test]
    fn a_status_is_found_coded_or_not_after_other_headers() {
        let plain = [&[0x20, 0x88, 0x00, 11][..], STATUS, &[1, b'7']].concat();
        assert_eq!(grpc_status(&plain), Some(7));
        for (value, status) in [(&[0x07][..], 0), (&[0x7f], 9), (&[0x0b, 0x3f], 13), (&[0x0b, 0x5f], 14)] {
            let length = 0x80 | u8::try_from(value.len()).unwrap();
            let coded = [&[0x0f, 0x10, 2, 1, 1, 0x00, 0x88][..], &STATUS_CODED, &[length], value].concat();
            assert_eq!(grpc_status(&coded), Some(status), "{value:x?}");
        }
    }

    #[test]
    fn a_block_without_a_status_or_cut_short_has_none() {
        assert_eq!(grpc_status(&[0x88]), None);
        let whole = [&[0x00, 0x88][..], &STATUS_CODED, &[0x81, 0x07]].concat();
        for cut in 0..whole.len() {
            assert_eq!(grpc_status(&whole[..cut]), None, "{cut}");
        }
    }
}
