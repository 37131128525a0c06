//! Where a string stops being plain, eight bytes at a time. The bit tricks are those of the "Bit Twiddling Hacks"
//! (haszero, hasless); what they find first is exact, what they find behind it need not be.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// How many bytes stand before the first quote, backslash or control character; all of them if there is none.
pub(crate) fn plain(text: &[u8]) -> usize {
    run(text, |word| special(word) & HIGH, is_special)
}

/// How many bytes may be copied into a JSON string as they are, without a look at UTF-8: ASCII with nothing to escape.
pub(crate) fn plain_ascii(text: &[u8]) -> usize {
    run(text, |word| (special(word) | word) & HIGH, |byte| is_special(byte) || !byte.is_ascii())
}

fn run(text: &[u8], stops: impl Fn(u64) -> u64, stops_at: impl Fn(u8) -> bool) -> usize {
    let mut rest = text;
    while let Some((word, after)) = rest.split_first_chunk::<8>() {
        let found = stops(u64::from_le_bytes(*word));
        if found != 0 {
            return text.len() - rest.len() + (found.trailing_zeros() / 8) as usize;
        }
        rest = after;
    }
    let before = text.len() - rest.len();
    before + rest.iter().position(|byte| stops_at(*byte)).unwrap_or(rest.len())
}

fn is_special(byte: u8) -> bool {
    matches!(byte, b'"' | b'\\' | 0..=0x1f)
}

fn special(word: u64) -> u64 {
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    control | equal(word, b'"') | equal(word, b'\\')
}

fn equal(word: u64, byte: u8) -> u64 {
    let zero = word ^ (ONES * u64::from(byte));
    zero.wrapping_sub(ONES) & !zero
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_is_found_at_every_place_whatever_stands_around_it() {
        for around in [b'a', b' ', 0x21, 0x23, 0x5b, 0x5d, 0x7e] {
            for length in 0..20 {
                for at in 0..length {
                    for byte in 0..=255u8 {
                        let mut text = vec![around; length];
                        text[at] = byte;
                        let slow = text.iter().position(|b| is_special(*b)).unwrap_or(length);
                        assert_eq!(plain(&text), slow, "{byte:#x} at {at} of {length}");
                        let slow =
                            text.iter().position(|b| is_special(*b) || !b.is_ascii()).unwrap_or(length);
                        assert_eq!(plain_ascii(&text), slow, "{byte:#x} at {at} of {length}");
                    }
                }
            }
        }
    }

    #[test]
    fn of_two_the_first_is_found() {
        for first in [0u8, 0x1f, b'"', b'\\', 0x80, 0xff] {
            for second in 0..=255u8 {
                let text = [b'a', b'b', first, second, b'c', b'd', b'e', b'f'];
                assert_eq!(plain_ascii(&text), 2, "{first:#x} {second:#x}");
            }
        }
    }
}
