//! Settlement: what a line of a provider's file comes to beside our fact, what may be decided where they differ, and what is booked. It
//! believes no line: what does not agree is a person's.

pub mod read;

use stampede_types::Currency;
use time::OffsetDateTime;
use uuid::Uuid;

use super::EventKind;
use super::books::Side;
use super::state::read_by_name;

const BANK: &str = "bank";
const PROVIDER_FEES: &str = "provider_fees";
const PROVIDER_RECEIVABLE: &str = "provider_receivable";
const SETTLEMENT_DIFFERENCES: &str = "settlement_differences";

/// What a line tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineKind {
    Capture,
    Refund,
    /// A refund that came back to us.
    RefundReversal,
    Dispute,
    /// A dispute that was decided for us.
    DisputeReversal,
    /// What the provider takes for itself beside any payment.
    Fee,
}

/// A line of a file. Amounts above zero are ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it stands in the file's text, from 1.
    pub number: u32,
    pub kind: LineKind,
    pub reference: String,
    /// Our name for the payment, as the provider has it.
    pub payment: String,
    pub gross_minor: i64,
    pub fee_minor: i64,
    /// Gross less fee: what reached the bank.
    pub net_minor: i64,
    pub currency: Currency,
    pub occurred_at: OffsetDateTime,
}

/// Our fact of a line's name and kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    pub event: Uuid,
    /// What it adds to what the provider owes us; below zero when we owe it.
    pub minor: i64,
    pub currency: Currency,
    /// An earlier line has settled it, or a person.
    pub settled: bool,
}

/// What does not agree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DifferenceKind {
    AmountDiffers,
    UnknownHere,
    MissingThere,
    Doubled,
}

/// What becomes of a difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    TakeTheirs,
    RejectLine,
    WriteOff,
    Wait,
}

/// What a line comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Matched,
    Different(DifferenceKind),
}

/// Why a file or a decision is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error("the file id was used for another file")]
    FileConflict,
    #[error("piece {expected} comes first")]
    ChunkUnexpected { expected: u32 },
    #[error(transparent)]
    BadLine(#[from] read::BadLine),
    #[error("the bytes are not the digest's")]
    Digest,
    #[error("the difference does not wait for a decision")]
    NotOpen,
    #[error("{} is not possible: {fact}", decision.as_str())]
    Impossible { decision: Decision, fact: &'static str },
}

/// Money that is settled, as it is stated and booked: debits of bank, fees and differences, which equal a credit of what was owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub id: Uuid,
    /// The line's number in the store.
    pub line: Option<i64>,
    pub event: Option<Uuid>,
    pub resolution: Option<Uuid>,
    pub currency: Currency,
    pub bank_minor: i64,
    pub fee_minor: i64,
    pub difference_minor: i64,
    pub receivable_minor: i64,
}

/// One side of a transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Posting {
    pub account: &'static str,
    pub side: Side,
    pub amount_minor: i64,
}

/// Judges a line beside our fact of its name, if there is one; `told_before` when another line has said the same and was not rejected.
/// The right amount settles a fact however often a wrong one was told before.
#[must_use]
pub fn judge(line: &Line, owed: Option<&Owed>, told_before: bool) -> Verdict {
    let doubled = Verdict::Different(DifferenceKind::Doubled);
    match owed {
        Some(owed) if owed.settled => doubled,
        Some(owed) if (owed.minor, owed.currency) == (line.gross_minor, line.currency) => Verdict::Matched,
        Some(_) | None if told_before => doubled,
        Some(_) => Verdict::Different(DifferenceKind::AmountDiffers),
        None if line.kind == LineKind::Fee => Verdict::Matched,
        None => Verdict::Different(DifferenceKind::UnknownHere),
    }
}

/// What a decision about a difference books; nothing when no money moves.
///
/// # Errors
/// The facts do not allow it.
pub fn decide(
    id: Uuid,
    resolution: Uuid,
    (kind, decision): (DifferenceKind, Decision),
    line: Option<(i64, &Line)>,
    owed: Option<&Owed>,
) -> Result<Option<Transfer>, Refusal> {
    let impossible = |fact| Refusal::Impossible { decision, fact };
    if !kind.possible().contains(&decision) {
        return Err(impossible("it is a difference of another kind"));
    }
    // What was told twice is money without a fact, and so is what came in another currency than is owed.
    let owed = match (kind, line, owed) {
        (DifferenceKind::Doubled, _, _) => None,
        (_, Some((_, line)), Some(owed)) if line.currency != owed.currency => None,
        (_, _, owed) => owed,
    };
    match decision {
        Decision::RejectLine | Decision::Wait => Ok(None),
        Decision::TakeTheirs | Decision::WriteOff if owed.is_some_and(|owed| owed.settled) => {
            Err(impossible("another line has settled its fact"))
        }
        Decision::TakeTheirs | Decision::WriteOff => {
            Transfer::new(id, line, owed, Some(resolution)).map(Some).ok_or(impossible("it is about nothing"))
        }
    }
}

impl Transfer {
    /// What the line paid and the fact was owed; where they differ the rest is a difference. None without both.
    #[must_use]
    pub fn new(
        id: Uuid,
        line: Option<(i64, &Line)>,
        owed: Option<&Owed>,
        resolution: Option<Uuid>,
    ) -> Option<Self> {
        let currency = line.map(|(_, line)| line.currency).or(owed.map(|owed| owed.currency))?;
        let (bank_minor, fee_minor) = line.map_or((0, 0), |(_, line)| (line.net_minor, line.fee_minor));
        let receivable_minor = owed.map_or(0, |owed| owed.minor);
        Some(Self {
            id,
            line: line.map(|(position, _)| position),
            event: owed.map(|owed| owed.event),
            resolution,
            currency,
            bank_minor,
            fee_minor,
            difference_minor: receivable_minor - bank_minor - fee_minor,
            receivable_minor,
        })
    }

    /// Its entries; an account that is not moved has none.
    pub fn postings(&self) -> impl Iterator<Item = Posting> {
        let debits = [
            (BANK, self.bank_minor),
            (PROVIDER_FEES, self.fee_minor),
            (SETTLEMENT_DIFFERENCES, self.difference_minor),
            (PROVIDER_RECEIVABLE, -self.receivable_minor),
        ];
        debits.into_iter().filter(|(_, minor)| *minor != 0).map(|(account, minor)| {
            let side = if minor > 0 { Side::Debit } else { Side::Credit };
            Posting { account, side, amount_minor: minor.abs() }
        })
    }
}

impl LineKind {
    pub const ALL: [Self; 6] =
        [Self::Capture, Self::Refund, Self::RefundReversal, Self::Dispute, Self::DisputeReversal, Self::Fee];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Capture => "CAPTURE",
            Self::Refund => "REFUND",
            Self::RefundReversal => "REFUND_REVERSAL",
            Self::Dispute => "DISPUTE",
            Self::DisputeReversal => "DISPUTE_REVERSAL",
            Self::Fee => "FEE",
        }
    }

    /// The kind of fact it tells of.
    #[must_use]
    pub const fn fact(self) -> Option<EventKind> {
        match self {
            Self::Capture => Some(EventKind::Captured),
            Self::Refund => Some(EventKind::Refunded),
            Self::RefundReversal => Some(EventKind::RefundReversed),
            Self::Dispute => Some(EventKind::DisputeOpened),
            Self::DisputeReversal => Some(EventKind::DisputeClosed),
            Self::Fee => None,
        }
    }

    /// Whether a gross amount can be a line's of this kind.
    #[must_use]
    pub const fn takes(self, gross_minor: i64) -> bool {
        match self {
            Self::Capture | Self::RefundReversal | Self::DisputeReversal => gross_minor > 0,
            Self::Refund | Self::Dispute => gross_minor < 0,
            Self::Fee => gross_minor == 0,
        }
    }
}

impl DifferenceKind {
    pub const ALL: [Self; 4] = [Self::AmountDiffers, Self::UnknownHere, Self::MissingThere, Self::Doubled];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AmountDiffers => "AMOUNT_DIFFERS",
            Self::UnknownHere => "UNKNOWN_HERE",
            Self::MissingThere => "MISSING_THERE",
            Self::Doubled => "DOUBLED",
        }
    }

    /// What may be decided about it.
    #[must_use]
    pub const fn possible(self) -> &'static [Decision] {
        match self {
            Self::AmountDiffers | Self::Doubled => &[Decision::TakeTheirs, Decision::RejectLine],
            Self::UnknownHere => &[Decision::TakeTheirs, Decision::RejectLine, Decision::Wait],
            Self::MissingThere => &[Decision::WriteOff, Decision::Wait],
        }
    }
}

impl Decision {
    pub const ALL: [Self; 4] = [Self::TakeTheirs, Self::RejectLine, Self::WriteOff, Self::Wait];

    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TakeTheirs => "TAKE_THEIRS",
            Self::RejectLine => "REJECT_LINE",
            Self::WriteOff => "WRITE_OFF",
            Self::Wait => "WAIT",
        }
    }

    /// What becomes of the difference's line, in the store's words; none for one that has no line.
    #[must_use]
    pub const fn outcome(self) -> Option<&'static str> {
        match self {
            Self::TakeTheirs => Some("TAKEN"),
            Self::RejectLine => Some("REJECTED"),
            Self::Wait => Some("WAITING"),
            Self::WriteOff => None,
        }
    }
}

read_by_name!(LineKind, DifferenceKind, Decision);

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
