//! Numbers as text to exact integers and floats. Integers never go through a float, so `9223372036854775807` and
//! `9.223372036854775807e18` are the same and 2^63 is out of range by exactly one.

/// No 64-bit integer has more digits.
const MAX_DIGITS: usize = 20;

/// The length of the JSON number at the start of the text, if there is one.
pub(crate) fn scan(text: &[u8]) -> Option<usize> {
    let digits = |from: usize| text[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut at = usize::from(text.first() == Some(&b'-'));
    let whole = digits(at);
    if whole == 0 || (whole > 1 && text[at] == b'0') {
        return None;
    }
    at += whole;
    if text.get(at) == Some(&b'.') {
        let fraction = digits(at + 1);
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    if let Some(b'e' | b'E') = text.get(at) {
        at += 1 + usize::from(matches!(text.get(at + 1), Some(b'+' | b'-')));
        let exponent = digits(at);
        if exponent == 0 {
            return None;
        }
        at += exponent;
    }
    Some(at)
}

/// Why a text is no integer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoInteger {
    NotANumber,
    Fractional,
    TooLarge,
}

/// The exact integer a JSON number stands for: `12`, `12.0`, `1.2e1`, `-0`.
pub(crate) fn integer(text: &str) -> Result<i128, NoInteger> {
    if let Some(value) = short(text.as_bytes()) {
        return Ok(value);
    }
    if scan(text.as_bytes()) != Some(text.len()) {
        return Err(NoInteger::NotANumber);
    }
    let (negative, text) = text.strip_prefix('-').map_or((false, text), |rest| (true, rest));
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits: String = whole.chars().chain(fraction.chars()).skip_while(|digit| *digit == '0').collect();
    if digits.is_empty() {
        return Ok(0);
    }
    let (small, negative_exponent) = (digits.trim_end_matches('0'), exponent.starts_with('-'));
    let zeros = i64::try_from(digits.len() - small.len()).map_err(|_| NoInteger::TooLarge)?;
    // An exponent that does not even parse is beyond every integer, or below every one.
    let out_of_reach = if negative_exponent { NoInteger::Fractional } else { NoInteger::TooLarge };
    let exponent: i64 = exponent.parse().map_err(|_| out_of_reach)?;
    let fraction = i64::try_from(fraction.len()).map_err(|_| NoInteger::TooLarge)?;
    let scale = exponent.saturating_sub(fraction).saturating_add(zeros);
    let scale = usize::try_from(scale).map_err(|_| NoInteger::Fractional)?;
    if small.len().saturating_add(scale) > MAX_DIGITS {
        return Err(NoInteger::TooLarge);
    }
    let value: i128 = small.parse().map_err(|_| NoInteger::TooLarge)?;
    let value = value * (0..scale).fold(1, |power, _| power * 10);
    Ok(if negative { -value } else { value })
}

/// The usual case: up to 18 plain digits, no leading zero.
fn short(text: &[u8]) -> Option<i128> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        rest => (false, rest),
    };
    if digits.is_empty() || digits.len() > 18 || (digits[0] == b'0' && digits.len() > 1) {
        return None;
    }
    let mut value = 0i64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Some(i128::from(if negative { -value } else { value }))
}

/// The text of a float, `NaN` and the infinities when they come quoted. Nothing when it is no number; infinite when too large.
pub(crate) fn float<F: std::str::FromStr + From<f32>>(text: &str, quoted: bool) -> Option<F> {
    match text {
        "NaN" if quoted => Some(F::from(f32::NAN)),
        "Infinity" if quoted => Some(F::from(f32::INFINITY)),
        "-Infinity" if quoted => Some(F::from(f32::NEG_INFINITY)),
        text if scan(text.as_bytes()) == Some(text.len()) => text.parse().ok(),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_are_exact_in_every_spelling() {
        for (text, value) in [
            ("0", 0),
            ("-0", 0),
            ("12.0", 12),
            ("1e1", 10),
            ("1.2E+1", 12),
            ("120e-1", 12),
            ("0.00e99999999999999999999", 0),
            ("9223372036854775807", i128::from(i64::MAX)),
            ("9.223372036854775808e18", 1 << 63),
            ("-9223372036854775808", i128::from(i64::MIN)),
            ("18446744073709551615", i128::from(u64::MAX)),
            ("1000000000000000000000e-3", 1_000_000_000_000_000_000),
        ] {
            assert_eq!(integer(text), Ok(value), "{text}");
        }
    }

    #[test]
    fn what_is_no_integer_says_why() {
        for (text, why) in [
            ("", NoInteger::NotANumber),
            ("-", NoInteger::NotANumber),
            ("01", NoInteger::NotANumber),
            ("+1", NoInteger::NotANumber),
            ("1.", NoInteger::NotANumber),
            (" 1", NoInteger::NotANumber),
            ("0x1", NoInteger::NotANumber),
            ("1.5", NoInteger::Fractional),
            ("1e-1", NoInteger::Fractional),
            ("1e-99999999999999999999", NoInteger::Fractional),
            ("1e21", NoInteger::TooLarge),
            ("1e99999999999999999999", NoInteger::TooLarge),
            ("123456789012345678901", NoInteger::TooLarge),
        ] {
            assert_eq!(integer(text), Err(why), "{text}");
        }
    }

    #[test]
    fn floats_take_words_only_when_quoted() {
        assert!(float::<f64>("NaN", true).unwrap().is_nan());
        assert_eq!(float::<f64>("NaN", false), None);
        assert_eq!(float::<f64>("inf", true), None);
        assert_eq!(float::<f32>("1e39", false), Some(f32::INFINITY));
        assert_eq!(float::<f64>("-1.5e-3", false), Some(-0.0015));
    }
}
