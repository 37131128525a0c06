//! A provider's settlement file against our facts: what agrees is booked once, whatever is wrong in the file waits for a person, and every
//! decision balances.

use sha2::{Digest as _, Sha256};
use stampede_kit::clock::Clock;
use stampede_payment::reconcile::{Decision, DifferenceKind, Refusal};
use stampede_payment::{Decide, Difference, Error, FileState, Import, Imported};
use stampede_types::PaymentId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::bench::{Bench, eur};

/// Who imports and decides in these tests.
pub const SAM: &str = "sam";

impl Bench {
    /// The provider's file of this name; `query` says what is wrong in it.
    pub async fn file(&self, name: &str, query: &str) -> String {
        let url = format!("{}/v1/settlement?batch={name}{query}", self.psp.url());
        reqwest::get(url).await.unwrap().text().await.unwrap()
    }

    /// Imports the file of this name as the provider writes it.
    pub async fn settle(&self, name: &str, query: &str) -> Imported {
        let text = self.file(name, query).await;
        self.import(&pieces(name, &text, usize::MAX)).await.unwrap()
    }

    pub async fn import(&self, pieces: &[Import]) -> Result<Imported, Error> {
        let mut last = None;
        for piece in pieces {
            last = Some(self.payments.import_settlement(piece, SAM).await?);
        }
        Ok(last.unwrap())
    }

    pub async fn open(&self) -> Vec<Difference> {
        self.payments.settlement_differences(0, "").await.unwrap().0
    }

    pub async fn kinds(&self) -> Vec<DifferenceKind> {
        self.open().await.iter().map(|difference| difference.kind).collect()
    }

    /// Decides the only difference there is.
    pub async fn decide_one(&self, decision: Decision) {
        let open = self.open().await;
        assert_eq!(open.len(), 1, "{open:?}");
        self.payments.resolve_difference(&command(&open[0], decision), SAM).await.unwrap();
    }

    /// Debits less credits of an account.
    async fn account(&self, account: &str) -> i64 {
        sqlx::query_scalar(
            "SELECT coalesce(sum(CASE side WHEN 'DEBIT' THEN amount_minor ELSE -amount_minor END), 0)::bigint
             FROM ledger_entry WHERE account LIKE $1",
        )
        .bind(account.to_owned())
        .fetch_one(&self.database.pool)
        .await
        .unwrap()
    }

    /// Bank, fees, differences, and what is still owed; the books balance.
    pub async fn assert_settled(&self, bank: i64, fees: i64, differences: i64, receivable: i64) {
        assert_eq!(self.account("%").await, 0, "the books do not balance");
        let mut found = Vec::new();
        for account in ["bank", "provider_fees", "settlement_differences", "provider_receivable"] {
            found.push(self.account(account).await);
        }
        assert_eq!(found, [bank, fees, differences, receivable]);
    }

    /// The provider's name for what was captured of it.
    pub async fn captured_as(&self, id: PaymentId) -> String {
        let payment = self.payments.get(id).await.unwrap();
        payment
            .events
            .iter()
            .find_map(|event| event.reference.clone().filter(|name| name.starts_with("cap_")))
            .unwrap()
    }

    pub async fn rows(&self, table: &'static str) -> i64 {
        sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}")))
            .fetch_one(&self.database.pool)
            .await
            .unwrap()
    }
}

fn command(difference: &Difference, decision: Decision) -> Decide {
    Decide { id: Uuid::now_v7(), difference: difference.id, decision, note: "called them".into() }
}

fn now() -> OffsetDateTime {
    let now = Clock::system().now();
    now.replace_nanosecond(now.microsecond() * 1_000).unwrap()
}

/// The file in pieces of so many lines.
pub fn pieces(name: &str, text: &str, lines: usize) -> Vec<Import> {
    let all: Vec<&str> = text.split_inclusive('\n').collect();
    let parts: Vec<String> = all.chunks(lines.min(all.len())).map(|part| part.concat()).collect();
    let (chunks, period_end) = (i32::try_from(parts.len()).unwrap(), now());
    let piece = |(chunk, content)| Import {
        provider: "simulator".into(),
        file: name.into(),
        digest: Sha256::digest(text).into(),
        chunks,
        chunk,
        period_start: None,
        period_end,
        content,
    };
    (0..).zip(parts).map(piece).collect()
}

#[tokio::test]
async fn a_file_that_agrees_is_booked_with_its_fees_and_leaves_no_difference() {
    let bench = Bench::without_resolver().await;
    let id = bench.captured("tok_visa").await;
    bench.captured("tok_visa").await;
    bench.payments.refund(id, Uuid::now_v7(), Some(eur(1_000))).await.unwrap();
    let imported = bench.settle("f1", "").await;
    let done = Imported { state: FileState::Done, received: 1, lines: 3, matched: 3, differences: 0 };
    assert_eq!(imported, done);
    assert_eq!(bench.kinds().await, []);
    bench.assert_settled(18_700, 300, 0, 0).await;
    bench.assert_agreed(id).await;
}

#[tokio::test]
async fn what_nobody_asked_for_is_matched_too_and_a_dispute_costs_its_fee() {
    let bench = Bench::without_resolver().await;
    let id = bench.captured("tok_visa").await;
    for (what, name, amount) in [
        ("refunded_by_hand", "r1", 2_000),
        ("refund_reversed", "r1", 2_000),
        ("dispute_opened", "d1", 5_000),
        ("dispute_won", "d1", 1_000),
        ("dispute_lost", "d1", 4_000),
    ] {
        bench.psp.happens(id, what, name, amount).await;
        bench.desk(id, what, name, amount).await;
    }
    let imported = bench.settle("f1", "").await;
    assert_eq!((imported.lines, imported.matched, imported.differences), (6, 6, 0), "with the dispute's fee");
    bench.assert_settled(10_000 - 150 - 4_000 - 1_500, 1_650, 0, 0).await;
}

#[tokio::test]
async fn a_wrong_amount_is_taken_with_its_difference_or_rejected_and_still_owed() {
    let bench = Bench::without_resolver().await;
    let taken = bench.captured("tok_visa").await;
    let name = bench.captured_as(taken).await;
    let imported = bench.settle("f1", &format!("&wrong={name}")).await;
    assert_eq!((imported.matched, imported.differences), (0, 1));
    let open = bench.open().await;
    assert_eq!(open[0].kind, DifferenceKind::AmountDiffers);
    assert_eq!(open[0].line.as_ref().map(|line| line.gross_minor), Some(10_001));
    assert_eq!(open[0].owed.as_ref().map(|owed| owed.minor), Some(10_000));
    bench.assert_settled(0, 0, 0, 10_000).await;
    bench.decide_one(Decision::TakeTheirs).await;
    bench.assert_settled(10_001 - 150, 150, -1, 0).await;

    let rejected = bench.captured("tok_visa").await;
    let name = bench.captured_as(rejected).await;
    let rest = bench.file("f2", &format!("&wrong={name}")).await;
    let rest = without(&rest, &bench.captured_as(taken).await);
    bench.import(&pieces("f2", &rest, usize::MAX)).await.unwrap();
    bench.decide_one(Decision::RejectLine).await;
    bench.assert_settled(9_851, 150, -1, 10_000).await;
    // The right line comes later, and nothing of the wrong one is in its way.
    let right = bench.file("f3", "").await;
    let right = without(&right, &bench.captured_as(taken).await);
    let imported = bench.import(&pieces("f3", &right, usize::MAX)).await.unwrap();
    assert_eq!((imported.matched, imported.differences), (1, 0));
    bench.assert_settled(19_701, 300, -1, 0).await;
}

/// The file without what it says of this movement.
fn without(text: &str, reference: &str) -> String {
    text.split_inclusive('\n').filter(|line| !line.contains(reference)).collect()
}

#[tokio::test]
async fn money_for_something_never_done_and_money_paid_twice_are_differences_of_their_own() {
    let bench = Bench::without_resolver().await;
    let id = bench.captured("tok_visa").await;
    let name = bench.captured_as(id).await;
    let imported = bench.settle("f1", &format!("&doubled={name}&alien=cap_x")).await;
    assert_eq!((imported.lines, imported.matched, imported.differences), (3, 1, 2));
    assert_eq!(bench.kinds().await, [DifferenceKind::Doubled, DifferenceKind::UnknownHere]);
    let open = bench.open().await;
    let doubled = command(&open[0], Decision::TakeTheirs);
    bench.payments.resolve_difference(&doubled, SAM).await.unwrap();
    bench.assert_settled(2 * 9_850, 300, -10_000, 0).await;
    bench.decide_one(Decision::RejectLine).await;
    bench.assert_settled(2 * 9_850, 300, -10_000, 0).await;
}

#[tokio::test]
async fn what_no_file_has_is_missing_until_one_has_it_or_a_person_writes_it_off() {
    let bench = Bench::without_resolver().await;
    let (kept, lost) = (bench.captured("tok_visa").await, bench.captured("tok_visa").await);
    let names = [bench.captured_as(kept).await, bench.captured_as(lost).await];
    let nothing = without(&without(&bench.file("f1", "").await, &names[0]), &names[1]);
    bench.import(&pieces("f1", &nothing, usize::MAX)).await.unwrap();
    assert_eq!(bench.kinds().await, [DifferenceKind::MissingThere; 2]);
    for difference in bench.open().await {
        bench.payments.resolve_difference(&command(&difference, Decision::Wait), SAM).await.unwrap();
    }
    assert_eq!(bench.kinds().await, []);
    // The next file has one of them: the other is missing again.
    let one = without(&bench.file("f2", "").await, &names[1]);
    bench.import(&pieces("f2", &one, usize::MAX)).await.unwrap();
    assert_eq!(bench.kinds().await, [DifferenceKind::MissingThere]);
    // Nobody has decided, and the file after that has it: nobody needs to.
    let other = without(&bench.file("f3", "").await, &names[0]);
    let imported = bench.import(&pieces("f3", &other, usize::MAX)).await.unwrap();
    assert_eq!((imported.matched, bench.kinds().await), (1, vec![]));
    bench.assert_settled(2 * 9_850, 300, 0, 0).await;

    let gone = bench.captured("tok_visa").await;
    let header = format!("{}\n", bench.file("f4", "").await.lines().next().unwrap());
    bench.import(&pieces("f4", &header, usize::MAX)).await.unwrap();
    bench.decide_one(Decision::WriteOff).await;
    bench.assert_settled(2 * 9_850, 300, 10_000, 0).await;
    // They pay after all: it is owed no longer.
    let name = bench.captured_as(gone).await;
    let all = bench.file("f5", "").await;
    let late: String =
        all.split_inclusive('\n').filter(|line| line.starts_with("batch") || line.contains(&name)).collect();
    bench.import(&pieces("f5", &late, usize::MAX)).await.unwrap();
    assert_eq!(bench.kinds().await, [DifferenceKind::Doubled]);
    bench.decide_one(Decision::TakeTheirs).await;
    bench.assert_settled(3 * 9_850, 450, 0, 0).await;
}

#[tokio::test]
async fn what_was_done_before_the_first_files_period_is_in_no_file_and_is_not_looked_for() {
    let bench = Bench::without_resolver().await;
    bench.captured("tok_visa").await;
    let since = now();
    bench.captured("tok_visa").await;
    let header = format!("{}\n", bench.file("f1", "").await.lines().next().unwrap());
    let mut first = pieces("f1", &header, usize::MAX);
    first[0].period_start = Some(since);
    bench.import(&first).await.unwrap();
    let open = bench.open().await;
    assert_eq!(open.len(), 1, "{open:?}");
    // From the second file on the period begins where the last one ended.
    let mut second = pieces("f2", &header.replace("f1", "f2"), usize::MAX);
    second[0].period_start = Some(since - time::Duration::days(1));
    bench.import(&second).await.unwrap();
    assert_eq!(bench.open().await.len(), 1);
}

#[tokio::test]
async fn an_unknown_line_that_waits_is_matched_with_the_next_file_once_its_fact_is_known() {
    let bench = Bench::without_resolver().await;
    let id = crate::bench::new_id();
    bench.authorize(id, 10_000, "tok_visa__capture_timeout_after").await.unwrap();
    let capture = Uuid::now_v7();
    let _ = bench.payments.capture(id, capture, None).await;
    bench.settle("f1", "").await;
    bench.decide_one(Decision::Wait).await;
    bench.assert_settled(0, 0, 0, 0).await;
    bench.payments.capture(id, capture, None).await.unwrap();
    bench.assert_settled(0, 0, 0, 10_000).await;
    let header = format!("{}\n", bench.file("f2", "").await.lines().next().unwrap());
    bench.import(&pieces("f2", &header, usize::MAX)).await.unwrap();
    assert_eq!(bench.kinds().await, []);
    bench.assert_settled(9_850, 150, 0, 0).await;
}

#[tokio::test]
async fn a_decision_is_made_once_by_its_name_and_says_who_and_why() {
    let bench = Bench::without_resolver().await;
    let id = bench.captured("tok_visa").await;
    let name = bench.captured_as(id).await;
    bench.settle("f1", &format!("&wrong={name}")).await;
    let open = bench.open().await;
    let take = command(&open[0], Decision::TakeTheirs);
    let resolve = async || bench.payments.resolve_difference(&take, SAM).await;
    let (one, two, three) = tokio::join!(resolve(), resolve(), resolve());
    for resolved in [one, two, three, resolve().await] {
        resolved.unwrap();
    }
    bench.assert_settled(9_851, 150, -1, 0).await;
    let made: Vec<(String, String, String)> =
        sqlx::query_as("SELECT decision, actor, note FROM settlement_resolution")
            .fetch_all(&bench.database.pool)
            .await
            .unwrap();
    assert_eq!(made, [("TAKE_THEIRS".to_owned(), SAM.to_owned(), "called them".to_owned())]);
    let reused = Decide { decision: Decision::RejectLine, ..take.clone() };
    let reused = bench.payments.resolve_difference(&reused, SAM).await;
    assert!(matches!(reused, Err(Error::ResolutionReused)), "{reused:?}");
    let again = bench.payments.resolve_difference(&command(&open[0], Decision::RejectLine), SAM).await;
    assert!(matches!(again, Err(Error::Settling(Refusal::NotOpen))), "{again:?}");
}

#[tokio::test]
async fn two_decisions_at_once_about_one_difference_are_one_and_a_refusal() {
    let bench = Bench::without_resolver().await;
    let name = bench.captured_as(bench.captured("tok_visa").await).await;
    bench.settle("f1", &format!("&wrong={name}")).await;
    let open = bench.open().await;
    let wrong = bench.payments.resolve_difference(&command(&open[0], Decision::WriteOff), SAM).await;
    assert!(matches!(wrong, Err(Error::Settling(Refusal::Impossible { .. }))), "{wrong:?}");
    let (take, reject) = (command(&open[0], Decision::TakeTheirs), command(&open[0], Decision::RejectLine));
    let (one, two) = tokio::join!(
        bench.payments.resolve_difference(&take, SAM),
        bench.payments.resolve_difference(&reject, SAM)
    );
    let made = usize::from(one.is_ok()) + usize::from(two.is_ok());
    assert_eq!(made, 1, "{one:?} {two:?}");
    assert_eq!((bench.rows("settlement_resolution").await, bench.account("%").await), (1, 0));
}

#[tokio::test]
async fn pages_of_differences_follow_each_other_and_an_alien_token_is_refused() {
    let bench = Bench::without_resolver().await;
    let header = format!("{}\n", bench.file("f1", "").await.trim_end());
    for _ in 0..5 {
        bench.captured("tok_visa").await;
    }
    bench.import(&pieces("f1", &header, usize::MAX)).await.unwrap();
    let (mut seen, mut token) = (Vec::new(), String::new());
    loop {
        let (page, next) = bench.payments.settlement_differences(2, &token).await.unwrap();
        assert!(page.len() <= 2);
        seen.extend(page.into_iter().map(|difference| difference.payment.unwrap()));
        token = next;
        if token.is_empty() {
            break;
        }
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 5);
    assert!(matches!(bench.payments.settlement_differences(2, "nonsense").await, Err(Error::PageToken)));
}
