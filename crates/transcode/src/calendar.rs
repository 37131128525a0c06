//! Timestamps and durations as canonical proto3 JSON writes them. Own code: it runs on the hot path and its range
//! (years 1 to 9999) and digits (0, 3, 6 or 9) are protobuf's. Never reads the clock.

use std::io::Write;

/// `0001-01-01T00:00:00Z`.
pub(crate) const MIN_SECONDS: i64 = -62_135_596_800;
/// `9999-12-31T23:59:59Z`.
pub(crate) const MAX_SECONDS: i64 = 253_402_300_799;
/// About ten thousand years, the range of `google.protobuf.Duration`.
pub(crate) const MAX_DURATION_SECONDS: i64 = 315_576_000_000;
const NANOS: i64 = 1_000_000_000;

/// RFC 3339 to seconds since 1970 and nanoseconds; an offset is taken into account.
pub(crate) fn parse_timestamp(text: &str) -> Option<(i64, i32)> {
    let bytes = text.as_bytes();
    if bytes.len() < 20 || bytes[4] != b'-' || bytes[7] != b'-' || bytes[13] != b':' || bytes[16] != b':' {
        return None;
    }
    if !matches!(bytes[10], b'T' | b't') {
        return None;
    }
    let (year, month, day) = (digits(&bytes[..4])?, digits(&bytes[5..7])?, digits(&bytes[8..10])?);
    let (hour, minute, second) = (digits(&bytes[11..13])?, digits(&bytes[14..16])?, digits(&bytes[17..19])?);
    if !(1..=12).contains(&month) || day < 1 || day > days_in(year, month) {
        return None;
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, rest) = fraction(&bytes[19..])?;
    let offset = match rest {
        b"Z" | b"z" => 0,
        [sign @ (b'+' | b'-'), h1, h2, b':', m1, m2] => {
            let (hours, minutes) = (digits(&[*h1, *h2])?, digits(&[*m1, *m2])?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 3600 + minutes * 60) * if *sign == b'+' { 1 } else { -1 }
        }
        _ => return None,
    };
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second - offset;
    (MIN_SECONDS..=MAX_SECONDS).contains(&seconds).then_some((seconds, nanos))
}

/// Seconds and nanoseconds to RFC 3339 in UTC; nothing when out of range.
pub(crate) fn write_timestamp(out: &mut Vec<u8>, seconds: i64, nanos: i32) -> Option<()> {
    if !(MIN_SECONDS..=MAX_SECONDS).contains(&seconds) || !(0..NANOS).contains(&i64::from(nanos)) {
        return None;
    }
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let second = seconds.rem_euclid(86_400);
    let mut text = *b"0000-00-00T00:00:00";
    let parts = [year / 100, year % 100, month, day, second / 3600, second / 60 % 60, second % 60];
    for (at, part) in [0, 2, 5, 8, 11, 14, 17].into_iter().zip(parts) {
        text[at..at + 2].copy_from_slice(&pair(part as u8));
    }
    out.extend_from_slice(&text);
    write_fraction(out, nanos.unsigned_abs());
    out.push(b'Z');
    Some(())
}

/// `-1.5s` to seconds and nanoseconds of one sign.
pub(crate) fn parse_duration(text: &str) -> Option<(i64, i32)> {
    let number = text.strip_suffix('s')?;
    let (negative, number) = match number.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, number),
    };
    let whole = number.bytes().take_while(u8::is_ascii_digit).count();
    if whole == 0 || whole > 12 {
        return None;
    }
    let seconds = digits(&number.as_bytes()[..whole])?;
    let (nanos, rest) = fraction(&number.as_bytes()[whole..])?;
    if !rest.is_empty() || seconds > MAX_DURATION_SECONDS {
        return None;
    }
    Some(if negative { (-seconds, -nanos) } else { (seconds, nanos) })
}

/// Seconds and nanoseconds to `-1.500s`; nothing when out of range or of two signs.
pub(crate) fn write_duration(out: &mut Vec<u8>, seconds: i64, nanos: i32) -> Option<()> {
    if seconds.unsigned_abs() > MAX_DURATION_SECONDS.unsigned_abs() || i64::from(nanos).abs() >= NANOS {
        return None;
    }
    if (seconds < 0 && nanos > 0) || (seconds > 0 && nanos < 0) {
        return None;
    }
    if seconds < 0 || nanos < 0 {
        out.push(b'-');
    }
    write!(out, "{}", seconds.unsigned_abs()).ok()?;
    write_fraction(out, nanos.unsigned_abs());
    out.push(b's');
    Some(())
}

/// Three, six or nine digits, as few as hold it.
fn write_fraction(out: &mut Vec<u8>, nanos: u32) {
    let (mut rest, length) = match nanos {
        0 => return,
        n if n % 1_000_000 == 0 => (n / 1_000_000, 3),
        n if n % 1_000 == 0 => (n / 1_000, 6),
        n => (n, 9),
    };
    let mut text = [b'.'; 10];
    for digit in text[1..=length].iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(&text[..=length]);
}

/// Two digits of a number below 100.
pub(crate) fn pair(number: u8) -> [u8; 2] {
    [b'0' + number / 10, b'0' + number % 10]
}

/// An optional `.123456789` in nanoseconds, and what follows it.
fn fraction(bytes: &[u8]) -> Option<(i32, &[u8])> {
    let [b'.', rest @ ..] = bytes else {
        return Some((0, bytes));
    };
    let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=9).contains(&length) {
        return None;
    }
    let scale = 10i64.pow(9 - u32::try_from(length).ok()?);
    Some((i32::try_from(digits(&rest[..length])? * scale).ok()?, &rest[length..]))
}

fn digits(bytes: &[u8]) -> Option<i64> {
    bytes
        .iter()
        .try_fold(0i64, |value, byte| byte.is_ascii_digit().then(|| value * 10 + i64::from(byte - b'0')))
}

fn days_in(year: i64, month: i64) -> i64 {
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    match month {
        2 if leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since 1970-01-01 (H. Hinnant, "chrono-compatible low-level date algorithms").
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * of_year + 2) / 153;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, of_year - (153 * shifted + 2) / 5 + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timestamp(seconds: i64, nanos: i32) -> String {
        let mut out = Vec::new();
        write_timestamp(&mut out, seconds, nanos).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_instants_are_written_as_rfc_3339() {
        assert_eq!(timestamp(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(timestamp(MIN_SECONDS, 0), "0001-01-01T00:00:00Z");
        assert_eq!(timestamp(MAX_SECONDS, 999_999_999), "9999-12-31T23:59:59.999999999Z");
        assert_eq!(timestamp(951_782_400, 500_000_000), "2000-02-29T00:00:00.500Z");
    }

    #[test]
    fn every_day_of_the_range_goes_there_and_back() {
        for day in (MIN_SECONDS / 86_400..=MAX_SECONDS / 86_400).step_by(13) {
            let text = timestamp(day * 86_400 + 45_296, 1000);
            assert_eq!(parse_timestamp(&text), Some((day * 86_400 + 45_296, 1000)), "{text}");
        }
    }

    #[test]
    fn an_offset_is_taken_into_account() {
        assert_eq!(parse_timestamp("1970-01-01T01:00:00+01:00"), Some((0, 0)));
        assert_eq!(parse_timestamp("1969-12-31T23:30:00-00:30"), Some((0, 0)));
    }

    #[test]
    fn instants_that_do_not_exist_are_refused() {
        for text in [
            "",
            "2023-02-29T00:00:00Z",
            "2023-13-01T00:00:00Z",
            "2023-01-01T24:00:00Z",
            "2023-01-01T00:00:60Z",
            "2023-01-01T00:00:00",
            "2023-01-01 00:00:00Z",
            "2023-01-01T00:00:00.Z",
            "2023-01-01T00:00:00.1234567890Z",
            "0000-01-01T00:00:00Z",
            "0001-01-01T00:00:00+01:00",
            "2023-01-01T00:00:00+1:00",
            "é023-01-01T00:00:00Z",
        ] {
            assert_eq!(parse_timestamp(text), None, "{text}");
        }
    }

    #[test]
    fn durations_keep_sign_and_digits() {
        for (text, value) in
            [("0s", (0, 0)), ("-1.500s", (-1, -500_000_000)), ("-0.000000001s", (0, -1)), ("3s", (3, 0))]
        {
            assert_eq!(parse_duration(text), Some(value));
            let mut out = Vec::new();
            write_duration(&mut out, value.0, value.1).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), text);
        }
        for text in
            ["", "s", "1", "1.s", "1e3s", "+1s", "--1s", "315576000001s", "99999999999999999999s", " 1s"]
        {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        assert_eq!(write_duration(&mut Vec::new(), 1, -1), None);
    }
}
