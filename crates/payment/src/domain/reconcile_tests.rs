//! Lines beside facts: every verdict, and that whatever is decided balances.

use proptest::prelude::*;

use super::*;

fn line(kind: LineKind, gross_minor: i64, fee_minor: i64) -> Line {
    Line {
        number: 2,
        kind,
        reference: "cap_1".into(),
        payment: "p".into(),
        gross_minor,
        fee_minor,
        net_minor: gross_minor - fee_minor,
        currency: "EUR".parse().unwrap(),
        occurred_at: OffsetDateTime::UNIX_EPOCH,
    }
}

fn owed(minor: i64, settled: bool) -> Owed {
    Owed { event: Uuid::nil(), minor, currency: "EUR".parse().unwrap(), settled }
}

#[test]
fn a_line_is_judged_by_its_fact_and_by_what_was_told_before() {
    let different = Verdict::Different;
    let (told, fresh) = (true, false);
    let capture = line(LineKind::Capture, 100, 2);
    for (fact, before, verdict) in [
        (Some(owed(100, false)), fresh, Verdict::Matched),
        // The corrected line after a wrong one.
        (Some(owed(100, false)), told, Verdict::Matched),
        (Some(owed(99, false)), fresh, different(DifferenceKind::AmountDiffers)),
        (Some(owed(99, false)), told, different(DifferenceKind::Doubled)),
        (Some(owed(100, true)), fresh, different(DifferenceKind::Doubled)),
        (None, fresh, different(DifferenceKind::UnknownHere)),
        (None, told, different(DifferenceKind::Doubled)),
    ] {
        assert_eq!(judge(&capture, fact.as_ref(), before), verdict, "{fact:?} {before}");
    }
    let foreign = Owed { currency: "USD".parse().unwrap(), ..owed(100, false) };
    assert_eq!(judge(&capture, Some(&foreign), fresh), different(DifferenceKind::AmountDiffers));
    let fee = line(LineKind::Fee, 0, 15);
    assert_eq!(judge(&fee, None, fresh), Verdict::Matched);
    assert_eq!(judge(&fee, None, told), different(DifferenceKind::Doubled));
}

#[test]
fn theirs_taken_closes_the_fact_and_says_what_is_missing() {
    let both = (DifferenceKind::AmountDiffers, Decision::TakeTheirs);
    let (id, by) = (Uuid::nil(), Uuid::max());
    let theirs = line(LineKind::Capture, 90, 3);
    let taken = decide(id, by, both, Some((7, &theirs)), Some(&owed(100, false))).unwrap().unwrap();
    assert_eq!(
        (taken.bank_minor, taken.fee_minor, taken.difference_minor, taken.receivable_minor),
        (87, 3, 10, 100)
    );
    assert_eq!(taken.resolution, Some(by));
    let settled = decide(id, by, both, Some((7, &theirs)), Some(&owed(100, true)));
    assert!(matches!(settled, Err(Refusal::Impossible { .. })));
    let wait = (DifferenceKind::AmountDiffers, Decision::Wait);
    assert!(matches!(decide(id, by, wait, Some((7, &theirs)), None), Err(Refusal::Impossible { .. })));
}

#[test]
fn money_that_nothing_is_owed_for_is_a_difference_and_a_fact_nobody_pays_for_is_written_off() {
    let (id, by) = (Uuid::nil(), Uuid::max());
    let theirs = line(LineKind::Capture, 90, 3);
    let doubled = (DifferenceKind::Doubled, Decision::TakeTheirs);
    let taken = decide(id, by, doubled, Some((7, &theirs)), Some(&owed(90, true))).unwrap().unwrap();
    assert_eq!((taken.event, taken.difference_minor, taken.receivable_minor), (None, -90, 0));
    let missing = (DifferenceKind::MissingThere, Decision::WriteOff);
    let off = decide(id, by, missing, None, Some(&owed(-40, false))).unwrap().unwrap();
    assert_eq!((off.bank_minor, off.difference_minor, off.receivable_minor), (0, -40, -40));
    let foreign = Owed { currency: "USD".parse().unwrap(), ..owed(90, false) };
    let other = (DifferenceKind::AmountDiffers, Decision::TakeTheirs);
    let taken = decide(id, by, other, Some((7, &theirs)), Some(&foreign)).unwrap().unwrap();
    assert_eq!((taken.event, taken.difference_minor), (None, -90), "what is owed in USD is still owed");
}

#[test]
fn every_word_is_read_as_what_wrote_it() {
    for kind in LineKind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    for kind in DifferenceKind::ALL {
        assert_eq!(kind.as_str().parse(), Ok(kind));
    }
    for decision in Decision::ALL {
        assert_eq!(decision.as_str().parse(), Ok(decision));
    }
}

proptest! {
    #[test]
    fn whatever_was_paid_and_owed_debits_equal_credits(
        gross in -1_000_000_i64..1_000_000, fee in -1_000_i64..1_000, ours in proptest::option::of(-1_000_000_i64..1_000_000),
    ) {
        let theirs = line(LineKind::Capture, gross, fee);
        let ours = ours.map(|minor| owed(minor, false));
        let transfer = Transfer::new(Uuid::nil(), Some((1, &theirs)), ours.as_ref(), None).unwrap();
        let sum: i64 = transfer
            .postings()
            .map(|posting| if posting.side == Side::Debit { posting.amount_minor } else { -posting.amount_minor })
            .sum();
        prop_assert_eq!(sum, 0);
        prop_assert!(transfer.postings().all(|posting| posting.amount_minor > 0));
    }
}
