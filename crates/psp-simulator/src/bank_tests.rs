//! The provider's books: once for a key, never beyond the ceilings, true after a restart.

use super::*;

fn command(kind: Kind, amount_minor: i64) -> Command {
    let source = if kind == Kind::Authorization { "tok_visa" } else { "" };
    Command { kind, payment: "p1".into(), amount_minor, currency: "EUR".into(), source: source.into() }
}

fn perform(bank: &mut Bank, key: &str, kind: Kind, amount_minor: i64) -> Done {
    bank.perform(key, command(kind, amount_minor), Said::Good).unwrap().unwrap()
}

#[test]
fn the_same_key_has_one_effect_and_another_content_is_refused() {
    let mut bank = Bank::default();
    assert!(perform(&mut bank, "k", Kind::Authorization, 100).fresh);
    assert!(!perform(&mut bank, "k", Kind::Authorization, 100).fresh);
    let other = bank.perform("k", command(Kind::Authorization, 101), Said::Good).unwrap();
    assert_eq!(other.map(|done| done.fresh), Err(KeyReused));
    assert_eq!(bank.truth("p1").map(|truth| (truth.authorized_minor, truth.authorizations)), Some((100, 1)));
}

#[test]
fn no_more_is_captured_than_authorised_and_no_more_refunded_than_captured() {
    let mut bank = Bank::default();
    perform(&mut bank, "a", Kind::Authorization, 100);
    assert_eq!(perform(&mut bank, "c1", Kind::Capture, 60).operation.status, Status::Succeeded);
    assert_eq!(
        perform(&mut bank, "c2", Kind::Capture, 60).operation.decline.as_deref(),
        Some("amount_exceeded")
    );
    assert_eq!(perform(&mut bank, "r1", Kind::Refund, 61).operation.status, Status::Declined);
    assert_eq!(perform(&mut bank, "r2", Kind::Refund, 60).operation.amount_minor, 60);
    assert_eq!(perform(&mut bank, "v", Kind::Void, 0).operation.amount_minor, 40);
}

#[test]
fn a_void_before_its_authorisation_closes_the_payment() {
    let mut bank = Bank::default();
    assert_eq!(perform(&mut bank, "v", Kind::Void, 0).operation.amount_minor, 0);
    let late = perform(&mut bank, "a", Kind::Authorization, 100);
    assert_eq!(late.operation.decline.as_deref(), Some("payment_voided"));
}

#[test]
fn the_truth_survives_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let mut bank = Bank::open(Some(&path)).unwrap();
    perform(&mut bank, "a", Kind::Authorization, 100);
    perform(&mut bank, "c", Kind::Capture, 100);
    assert!(bank.spend("k").unwrap());
    drop(bank);
    // A kill in the middle of a line leaves half of one: that operation was never answered.
    let whole = std::fs::read(&path).unwrap();
    std::fs::write(&path, [whole.as_slice(), b"{\"operation\":{\"key"].concat()).unwrap();

    let mut bank = Bank::open(Some(&path)).unwrap();
    assert_eq!(bank.truth("p1").map(|truth| truth.captured_minor), Some(100));
    assert!(!bank.spend("k").unwrap());
    assert!(!perform(&mut bank, "c", Kind::Capture, 100).fresh);
    perform(&mut bank, "r", Kind::Refund, 10);
    drop(bank);
    assert_eq!(Bank::open(Some(&path)).unwrap().truth("p1").map(|truth| truth.refunded_minor), Some(10));
}

#[test]
fn what_waits_for_the_payer_holds_nothing_until_he_has_done_it_and_nothing_after_a_void() {
    for (voided, held) in [(false, 100), (true, 0)] {
        let mut bank = Bank::default();
        let asked = bank.perform("k", command(Kind::Authorization, 100), Said::Action(9)).unwrap().unwrap();
        assert_eq!(
            (asked.operation.status, asked.operation.action_until_ms),
            (Status::RequiresAction, Some(9))
        );
        assert_eq!(bank.truth("p1").map(|truth| truth.authorized_minor), Some(0));
        if voided {
            perform(&mut bank, "v", Kind::Void, 0);
            assert_eq!(
                bank.operation("k").and_then(|known| known.decline.as_deref()),
                Some("payment_voided")
            );
        }
        bank.conclude("k", Ok(())).unwrap();
        bank.conclude("k", Err("too late".into())).unwrap();
        assert_eq!(bank.truth("p1").map(|truth| truth.authorized_minor), Some(held));
    }
}

#[test]
fn a_hold_lapses_at_its_time_and_once_also_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let mut bank = Bank::open(Some(&path)).unwrap();
    let held = bank.perform("a", command(Kind::Authorization, 100), Said::HeldUntil(9)).unwrap().unwrap();
    assert_eq!(held.operation.expires_at_ms, Some(9));
    perform(&mut bank, "c", Kind::Capture, 60);
    assert_eq!(bank.lapse("p1", 8).unwrap(), None);
    let mut bank = Bank::open(Some(&path)).unwrap();
    let (lapsed, currency) = bank.lapse("p1", 9).unwrap().unwrap();
    assert_eq!(
        (lapsed.what, lapsed.amount_minor, currency.as_str()),
        (What::AuthorizationExpired, 40, "EUR")
    );
    let mut bank = Bank::open(Some(&path)).unwrap();
    assert_eq!(bank.lapse("p1", 10).unwrap(), None, "once");
    assert_eq!(perform(&mut bank, "v", Kind::Void, 0).operation.amount_minor, 0);
    let late = perform(&mut bank, "c2", Kind::Capture, 40);
    assert_eq!(late.operation.decline.as_deref(), Some("amount_exceeded"));
}

#[test]
fn a_source_is_used_again_by_every_payment_but_its_first() {
    let mut bank = Bank::default();
    let source = "tok_visa__again_outage".to_owned();
    let of = |payment: &str| Command {
        payment: payment.into(),
        source: source.clone(),
        ..command(Kind::Authorization, 1)
    };
    assert_eq!(bank.source(&of("p1")), "tok_visa");
    bank.perform("a", of("p1"), Said::Good).unwrap().unwrap();
    assert_eq!(
        (bank.source(&of("p1")).as_str(), bank.source(&of("p2")).as_str()),
        ("tok_visa", "tok_outage__visa")
    );
}

#[test]
fn what_happens_by_itself_happens_once_for_its_name_and_to_its_payment_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("journal.jsonl");
    let mut bank = Bank::open(Some(&path)).unwrap();
    perform(&mut bank, "a", Kind::Authorization, 100);
    perform(&mut bank, "c", Kind::Capture, 100);
    let dispute = |amount_minor| Happening {
        payment: "p1".into(),
        what: What::DisputeOpened,
        reference: "d1".into(),
        amount_minor,
    };
    assert_eq!(bank.happen(dispute(30)).unwrap().as_deref(), Some("EUR"));
    assert_eq!(bank.happen(dispute(30)).unwrap().as_deref(), Some("EUR"), "a repetition is answered alike");
    assert_eq!(bank.happen(dispute(31)).unwrap(), None, "another amount is another thing");
    let mut bank = Bank::open(Some(&path)).unwrap();
    bank.happen(dispute(30)).unwrap();
    assert_eq!(bank.truth("p1").map(|truth| truth.disputed_minor), Some(30));
}
