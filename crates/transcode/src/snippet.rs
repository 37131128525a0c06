//! Short texts that are written out again and again. A copy of a length known to the compiler is two instructions, one of any length a
//! call: so a whole piece is copied, and what was too much of it taken back.

/// Bytes copied at once. Longer texts are copied as they are.
pub(crate) const PIECE: usize = 32;

#[derive(Debug)]
pub(crate) struct Snippet {
    text: Box<[u8]>,
    /// The text where it fits, followed by zeros: a piece from the first byte, and one from the second.
    padded: [u8; PIECE + 1],
}

impl Snippet {
    pub(crate) fn new(text: &[u8]) -> Self {
        let mut padded = [0; PIECE + 1];
        padded.iter_mut().zip(text).for_each(|(place, byte)| *place = *byte);
        Snippet { text: text.into(), padded }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    #[inline]
    pub(crate) fn put(&self, out: &mut Vec<u8>) {
        self.put_from::<0>(out);
    }

    /// Without its first byte. An empty one has none to leave out.
    #[inline]
    pub(crate) fn put_rest(&self, out: &mut Vec<u8>) {
        self.put_from::<1>(out);
    }

    #[inline]
    fn put_from<const FROM: usize>(&self, out: &mut Vec<u8>) {
        let wanted = self.text.get(FROM..).unwrap_or_default();
        if wanted.len() > PIECE {
            return out.extend_from_slice(wanted);
        }
        let end = out.len() + wanted.len();
        out.extend_from_slice(&self.padded[FROM..FROM + PIECE]);
        out.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_every_length_come_out_as_they_are() {
        for length in 0..100usize {
            let text: Vec<u8> = (0..length).map(|at| b'a' + (at % 26) as u8).collect();
            let snippet = Snippet::new(&text);
            let mut out = b"<".to_vec();
            snippet.put(&mut out);
            out.push(b'|');
            snippet.put_rest(&mut out);
            let rest = text.get(1..).unwrap_or_default();
            assert_eq!(out, [b"<", &text[..], b"|", rest].concat(), "{length}");
            assert_eq!(snippet.is_empty(), length == 0);
        }
    }
}
