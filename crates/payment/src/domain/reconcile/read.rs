//! A piece of a provider's file, read whole or refused with the line and the column. It guesses at nothing, leaves no line out, and keeps
//! no card number.

use csv::{ReaderBuilder, StringRecord};
use stampede_types::card::{NO_CARD_NUMBER, has_card_number};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use uuid::Uuid;

use super::{Line, LineKind};

/// The first line of a file, and the order of its columns.
pub const COLUMNS: [&str; 9] = [
    "batch",
    "type",
    "reference",
    "payment",
    "gross_minor",
    "fee_minor",
    "net_minor",
    "currency",
    "occurred_at",
];
const MAX_LINE_BYTES: usize = 1_024;
/// Longest name of a batch, a payment or a movement of money.
const MAX_NAME: usize = 128;
/// No movement of money is larger: sums of them fit whatever they are added to.
const MAX_MINOR: i64 = 1_000_000_000_000;
/// The column of what is wrong with a whole line.
const LINE: &str = "line";

/// What cannot be read, and where: the line of the file's text from 1, and the column's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, {column}: {rule}")]
pub struct BadLine {
    pub line: u32,
    pub column: &'static str,
    pub rule: &'static str,
}

/// Reads the piece that follows `before` lines of text; the lines of the file `batch`, and how many lines of text there are in the piece.
///
/// # Errors
/// The first thing that is not as it has to be.
pub fn read(text: &str, before: u32, batch: &str) -> Result<(Vec<Line>, u32), BadLine> {
    let text_lines = check_text(text, before)?;
    let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text.as_bytes());
    let (mut lines, mut record) = (Vec::new(), StringRecord::new());
    let mut header_is_due = before == 0;
    loop {
        let at = before.saturating_add(number(reader.position().line()));
        match reader.read_record(&mut record) {
            Ok(false) if header_is_due => return Err(bad(1, LINE, "must name the columns")),
            Ok(false) => return Ok((lines, text_lines)),
            Ok(true) => {}
            Err(_) => return Err(bad(at, LINE, "must be comma-separated values in UTF-8")),
        }
        let at = record.position().map_or(at, |place| before.saturating_add(number(place.line())));
        if header_is_due {
            if !record.iter().eq(COLUMNS) {
                return Err(bad(at, LINE, "must name the columns"));
            }
            header_is_due = false;
        } else {
            lines.push(read_line(&record, at, batch)?);
        }
    }
}

/// Whole lines, none of them long; how many.
fn check_text(text: &str, before: u32) -> Result<u32, BadLine> {
    let mut at = before;
    for line in text.split_inclusive('\n') {
        at = at.saturating_add(1);
        if line.len() > MAX_LINE_BYTES {
            return Err(bad(at, LINE, "is too long"));
        }
        if !line.ends_with('\n') {
            return Err(bad(at, LINE, "must end with a line feed"));
        }
    }
    Ok(at - before)
}

fn read_line(record: &StringRecord, at: u32, batch: &str) -> Result<Line, BadLine> {
    if record.len() != COLUMNS.len() {
        return Err(bad(at, LINE, "must have nine columns"));
    }
    let field = |index: usize| record.get(index).unwrap_or_default();
    let refused = |index: usize, rule| bad(at, COLUMNS.get(index).copied().unwrap_or(LINE), rule);
    if field(0) != batch {
        return Err(refused(0, "must be the file's id"));
    }
    let kind = field(1).to_ascii_uppercase();
    let kind: LineKind = kind.parse().map_err(|_| refused(1, "must be a type of this version"))?;
    let name = |index: usize| match check_name(field(index)) {
        Ok(name) => Ok(name.to_owned()),
        Err(rule) => Err(refused(index, rule)),
    };
    let minor = |index: usize| match field(index).parse::<i64>() {
        Ok(minor) if (-MAX_MINOR..=MAX_MINOR).contains(&minor) => Ok(minor),
        Ok(_) => Err(refused(index, "is too large")),
        Err(_) => Err(refused(index, "must be whole minor units")),
    };
    let (gross_minor, fee_minor, net_minor) = (minor(4)?, minor(5)?, minor(6)?);
    if !kind.takes(gross_minor) {
        return Err(refused(4, "must have the sign of its type, and be 0 for a fee"));
    }
    if kind == LineKind::Fee && fee_minor == 0 {
        return Err(refused(5, "must not be 0 for a fee"));
    }
    if net_minor != gross_minor - fee_minor {
        return Err(refused(6, "must be gross less fee"));
    }
    let currency = field(7).parse().map_err(|_| refused(7, "must be an ISO 4217 code"))?;
    let occurred_at =
        OffsetDateTime::parse(field(8), &Rfc3339).map_err(|_| refused(8, "must be an RFC 3339 time"))?;
    let (reference, payment) = (name(2)?, name(3)?);
    Ok(Line {
        number: at,
        kind,
        reference,
        payment,
        gross_minor,
        fee_minor,
        net_minor,
        currency,
        occurred_at,
    })
}

fn check_name(name: &str) -> Result<&str, &'static str> {
    // Digits of our own ids may look like a card's.
    let is_ours = Uuid::try_parse(name.rsplit('_').next().unwrap_or(name)).is_ok();
    match name {
        "" => Err("must not be empty"),
        name if name.len() > MAX_NAME => Err("is too long"),
        name if name.chars().any(char::is_control) => Err("must not have control characters"),
        name if !is_ours && has_card_number(name) => Err(NO_CARD_NUMBER),
        name => Ok(name),
    }
}

/// Of lines of text: a piece has fewer than this can hold.
fn number(line: u64) -> u32 {
    u32::try_from(line).unwrap_or(u32::MAX)
}

const fn bad(line: u32, column: &'static str, rule: &'static str) -> BadLine {
    BadLine { line, column, rule }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADER: &str =
        "batch,type,reference,payment,gross_minor,fee_minor,net_minor,currency,occurred_at\n";
    const GOOD: &str = "b1,capture,cap_1,p1,100,2,98,EUR,2026-11-21T10:00:00Z\n";

    #[test]
    fn a_file_is_read_in_pieces_and_every_line_keeps_its_place() {
        let (first, text_lines) = read(&format!("{HEADER}{GOOD}"), 0, "b1").unwrap();
        assert_eq!((first.len(), text_lines, first[0].number), (1, 2, 2));
        assert_eq!((first[0].kind, first[0].net_minor), (LineKind::Capture, 98));
        let refund = "b1,refund,\"r, \"\"1\"\"\",p1,-40,0,-40,EUR,2026-11-21T12:00:00+01:00\r\n";
        let (second, _) = read(&format!("{GOOD}{refund}"), text_lines, "b1").unwrap();
        assert_eq!((second[1].number, second[1].reference.as_str()), (4, "r, \"1\""));
        assert_eq!(second[1].gross_minor, -40);
    }

    #[test]
    fn what_cannot_be_read_is_refused_with_its_line_and_column() {
        for (from, to, column) in [
            ("b1", "b2", "batch"),
            ("capture", "gift", "type"),
            ("cap_1", "", "reference"),
            ("cap_1", "4111111111111111", "reference"),
            ("cap_1", "\"a\tb\"", "reference"),
            ("p1", "5500 0000 0000 0004", "payment"),
            (",100,", ",100.0,", "gross_minor"),
            (",100,", ",-100,", "gross_minor"),
            (",100,", ",1000000000001,", "gross_minor"),
            (",100,", ",-9223372036854775808,", "gross_minor"),
            (",2,", ",99999999999999999999,", "fee_minor"),
            (",98,", ",99,", "net_minor"),
            ("EUR", "euro", "currency"),
            ("2026-11-21T10:00:00Z", "yesterday", "occurred_at"),
            (",EUR", "", "line"),
            (",EUR", ",EUR,EUR", "line"),
            ("\n", "", "line"),
            ("cap_1", "\"cap_1", "line"),
        ] {
            let text = format!("{HEADER}{GOOD}{}", GOOD.replace(from, to));
            let refused = read(&text, 0, "b1").unwrap_err();
            assert_eq!((refused.line, refused.column), (3, column), "{to}");
        }
        let long = format!("{HEADER}{}", GOOD.replace("cap_1", &"x".repeat(MAX_LINE_BYTES)));
        assert_eq!(read(&long, 0, "b1"), Err(bad(2, LINE, "is too long")));
        assert_eq!(read(GOOD, 0, "b1"), Err(bad(1, LINE, "must name the columns")));
        assert_eq!(read("\n", 0, "b1"), Err(bad(1, LINE, "must name the columns")));
    }

    #[test]
    fn an_id_of_ours_whose_digits_look_like_a_card_is_a_name() {
        let ours = "cap_aaaaaaaa-aaaa-aaaa-4111-111111111111";
        assert!(has_card_number(ours) && check_name(ours).is_ok());
        assert_eq!(check_name("cap_4111111111111111"), Err(NO_CARD_NUMBER));
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused_and_never_a_panic(text in "[a-z0-9,\"\n\r -]{0,200}", before in 0_u32..3) {
            let _ = read(&text, before, "b1");
        }
    }
}
