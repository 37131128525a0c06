//! The settlement file: what the provider says it has paid out, a line a movement of money, as comma-separated values. The books stay the
//! truth: what is wrong in a file is wrong only there, and was asked for.
//!
//! A capture costs its fee, rounded half up; a refund gives none back; a dispute has a fee of its own, in a line of its own.

use anyhow::Context as _;
use serde::Deserialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

const COLUMNS: [&str; 9] = [
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
const BASIS_POINTS: i64 = 10_000;
/// What the provider says it paid for something that never was.
const ALIEN_MINOR: i64 = 12_345;
const ALIEN_CURRENCY: &str = "EUR";
const ALIEN_PAYMENT: &str = "nobodys";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    Capture,
    Refund,
    RefundReversal,
    Dispute,
    DisputeReversal,
    Fee,
}

/// Money that moved, above zero when it is the merchant's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Movement {
    /// Milliseconds since 1970.
    pub at_ms: i64,
    pub what: Type,
    pub reference: String,
    pub payment: String,
    pub gross_minor: i64,
    pub currency: String,
}

/// What the provider takes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fees {
    /// Of a capture, in hundredths of a percent.
    pub capture_bps: i64,
    pub dispute_minor: i64,
}

/// Which file, and what is to be wrong in it: each of the four names a reference.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// The file's name; every line carries it.
    pub batch: String,
    /// What moved from here on, and before there: milliseconds since 1970. Everything unless told.
    #[serde(default)]
    pub from_ms: i64,
    #[serde(default = "forever")]
    pub until_ms: i64,
    /// This movement has no line.
    pub missing: Option<String>,
    /// This one has a minor unit too much.
    pub wrong: Option<String>,
    /// This one has two lines.
    pub doubled: Option<String>,
    /// A capture of this name has a line and never was.
    pub alien: Option<String>,
}

const fn forever() -> i64 {
    i64::MAX
}

/// The file, its header first.
pub fn file<'a>(
    movements: impl Iterator<Item = &'a Movement>,
    fees: Fees,
    asked: &Asked,
) -> anyhow::Result<Vec<u8>> {
    let is = |named: &Option<String>, movement: &Movement| named.as_ref() == Some(&movement.reference);
    let due = movements.filter(|movement| (asked.from_ms..asked.until_ms).contains(&movement.at_ms));
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(COLUMNS)?;
    for movement in due.filter(|movement| !is(&asked.missing, movement)) {
        let mut told = movement.clone();
        told.gross_minor += i64::from(is(&asked.wrong, movement));
        let times = if is(&asked.doubled, movement) { 2 } else { 1 };
        for _ in 0..times {
            writer.write_record(line(&asked.batch, &told, fees.of(movement))?)?;
        }
        if movement.what == Type::Dispute && fees.dispute_minor > 0 {
            let reference = format!("fee_{}", movement.reference);
            let fee = Movement { what: Type::Fee, reference, gross_minor: 0, ..movement.clone() };
            writer.write_record(line(&asked.batch, &fee, fees.dispute_minor)?)?;
        }
    }
    if let Some(reference) = &asked.alien {
        let alien = Movement {
            at_ms: asked.from_ms,
            what: Type::Capture,
            reference: reference.clone(),
            payment: ALIEN_PAYMENT.to_owned(),
            gross_minor: ALIEN_MINOR,
            currency: ALIEN_CURRENCY.to_owned(),
        };
        writer.write_record(line(&asked.batch, &alien, fees.of(&alien))?)?;
    }
    writer.into_inner().context("a file is in memory")
}

fn line(batch: &str, movement: &Movement, fee_minor: i64) -> anyhow::Result<[String; 9]> {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(movement.at_ms) * 1_000_000)?;
    Ok([
        batch.to_owned(),
        movement.what.as_str().to_owned(),
        movement.reference.clone(),
        movement.payment.clone(),
        movement.gross_minor.to_string(),
        fee_minor.to_string(),
        (movement.gross_minor - fee_minor).to_string(),
        movement.currency.clone(),
        at.format(&Rfc3339)?,
    ])
}

impl Fees {
    /// Of the movement itself.
    fn of(self, movement: &Movement) -> i64 {
        match movement.what {
            Type::Capture => (movement.gross_minor * self.capture_bps + BASIS_POINTS / 2) / BASIS_POINTS,
            Type::Refund | Type::RefundReversal | Type::Dispute | Type::DisputeReversal | Type::Fee => 0,
        }
    }
}

impl Type {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Capture => "capture",
            Self::Refund => "refund",
            Self::RefundReversal => "refund_reversal",
            Self::Dispute => "dispute",
            Self::DisputeReversal => "dispute_reversal",
            Self::Fee => "fee",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moved(at_ms: i64, what: Type, reference: &str, gross_minor: i64) -> Movement {
        let (reference, payment, currency) = (reference.into(), "p1".into(), "EUR".into());
        Movement { at_ms, what, reference, payment, gross_minor, currency }
    }

    fn lines(movements: &[Movement], fees: Fees, asked: &Asked) -> Vec<String> {
        let text = String::from_utf8(file(movements.iter(), fees, asked).unwrap()).unwrap();
        text.lines().skip(1).map(str::to_owned).collect()
    }

    fn everything() -> Asked {
        Asked { batch: "b1".into(), until_ms: i64::MAX, ..Asked::default() }
    }

    #[test]
    fn every_movement_has_a_line_and_costs_its_fee() {
        let fees = Fees { capture_bps: 150, dispute_minor: 1_500 };
        let movements = [
            moved(0, Type::Capture, "cap_1", 10_033),
            moved(1_000, Type::Refund, "ref_1", -33),
            moved(2_000, Type::Dispute, "d1", -10_000),
        ];
        assert_eq!(
            lines(&movements, fees, &everything()),
            [
                "b1,capture,cap_1,p1,10033,150,9883,EUR,1970-01-01T00:00:00Z",
                "b1,refund,ref_1,p1,-33,0,-33,EUR,1970-01-01T00:00:01Z",
                "b1,dispute,d1,p1,-10000,0,-10000,EUR,1970-01-01T00:00:02Z",
                "b1,fee,fee_d1,p1,0,1500,-1500,EUR,1970-01-01T00:00:02Z",
            ]
        );
        let second = Asked { from_ms: 1_000, until_ms: 2_000, ..everything() };
        assert_eq!(lines(&movements, fees, &second).len(), 1, "from is within, until is not");
    }

    #[test]
    fn what_is_asked_to_be_wrong_is_wrong_and_nothing_else() {
        let movements = [moved(0, Type::Capture, "cap_1", 100), moved(0, Type::Capture, "cap_2", 200)];
        let good = lines(&movements, Fees::default(), &everything());
        let asked = |change: &dyn Fn(&mut Asked)| {
            let mut asked = everything();
            change(&mut asked);
            lines(&movements, Fees::default(), &asked)
        };
        let name = || Some("cap_1".to_owned());
        assert_eq!(asked(&|asked| asked.missing = name()), good[1..]);
        let wrong = asked(&|asked| asked.wrong = name());
        assert_eq!((wrong[0].contains(",101,0,101,"), &wrong[1..]), (true, &good[1..]));
        assert_eq!(asked(&|asked| asked.doubled = name()), [&good[..1], &good[..]].concat());
        let alien = asked(&|asked| asked.alien = Some("cap_3".into()));
        assert_eq!((&alien[..2], alien[2].contains("cap_3")), (&good[..], true));
    }
}
