//! Damage: bytes changed, pieces cut, doubled, moved from one input to another, and words that mean something put in.

/// Words of JSON, of paths and of the well-known types, and bytes that mean something on the wire.
const WORDS: [&[u8]; 48] = [
    b"null",
    b"true",
    b"{}",
    b"[]",
    b"\"\"",
    b"0",
    b"-0",
    b"1e1",
    b"12.0",
    b"\"1\"",
    b"1e400",
    b"-1",
    b"9223372036854775808",
    b"18446744073709551616",
    b"\"NaN\"",
    b"\"Infinity\"",
    b",",
    b":",
    b"\\u0000",
    b"\\ud83d\\ude00",
    b"\\ud800",
    b"\"@type\":",
    b"\"x/test.rich.v1.Known\"",
    b"\"x/google.protobuf.Value\"",
    b"\"value\":",
    b"\"1s\"",
    b"\"2024-02-29T00:00:00Z\"",
    b"{\"@type\":\"x/test.rich.v1.Tree\",",
    b"\"text\":\"\",",
    b"\"number\":1,",
    b"\"children\":[{",
    b"}]",
    b"/",
    b":cancel",
    b"%2F",
    b"%",
    b"**",
    b"?view=1",
    b"&deep=true",
    b"&again.",
    b"\xc3\xa9",
    b"\xff",
    b"\x0a\x00",
    b"\x32\x02\x28\x01",
    b"\x42\x00",
    b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",
    b"\x0b\x0c",
    b"\x1d\x00\x00\x00\x00",
];

/// No input grows beyond this.
const MAX_BYTES: usize = 4_096;

pub struct Mutator(u64);

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Xorshift: the same seed, the same damage.
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % bound.max(1)
    }

    /// One of the inputs, damaged a few times.
    pub fn damage(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut input = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(4) {
            self.once(&mut input, inputs);
        }
        input.truncate(MAX_BYTES);
        input
    }

    fn once(&mut self, input: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let at = self.below(input.len() + 1);
        match self.below(7) {
            0 => input.insert(at, self.below(256) as u8),
            1 if at < input.len() => input[at] ^= 1 << self.below(8),
            2 => {
                let end = (at + 1 + self.below(12)).min(input.len());
                input.drain(at.min(end)..end);
            }
            3 => {
                let end = (at + 1 + self.below(24)).min(input.len());
                let piece = input[at.min(end)..end].to_vec();
                let to = self.below(input.len() + 1);
                input.splice(to..to, piece);
            }
            4 => {
                let other = &inputs[self.below(inputs.len())];
                let from = self.below(other.len() + 1);
                let end = (from + self.below(40)).min(other.len());
                input.splice(at..at, other[from..end].iter().copied());
            }
            5 => {
                // A value gives way to a word: up to the next comma or bracket.
                let rest = input[at..].iter().position(|byte| matches!(byte, b',' | b'}' | b']' | b'&'));
                let end = rest.map_or(at, |length| at + length);
                input.splice(at..end, WORDS[self.below(WORDS.len())].iter().copied());
            }
            _ => {
                input.splice(at..at, WORDS[self.below(WORDS.len())].iter().copied());
            }
        }
    }
}
