//! What is true of every payment when all is quiet: our amounts are the provider's, everything it did was asked for once and under the one
//! key, what was promised was done, and nothing contradicts anything unless it was scripted to. It only reads.

use std::collections::{HashMap, HashSet};

use serde_json::Value;
use sqlx::PgPool;
use uuid::Uuid;
use xtask::books::check;

use super::card::{Step, Word, is_outage};
use super::program::{Client, key};
use super::till::{Said, Till};

/// What is asked of the same key as everything else although nobody here has asked: the void of a session that nobody used, the
/// capture that the terms ask for.
const OURS: [(Step, &str); 2] = [(Step::Void, "1"), (Step::Capture, "automatic")];
/// Refusals that a caller may get.
const REASONS: [&str; 4] = ["PAYMENT_DECLINED", "PAYMENT_STATE", "AMOUNT_EXCEEDED", "PAYMENT_NOT_FOUND"];
const AMOUNTS: [&str; 6] =
    ["authorized_minor", "captured_minor", "voided_minor", "refunded_minor", "disputed_minor", "lost_minor"];

/// Payments that are under way and whose owner would never come: true of none at any moment.
const UNOWNED: &str = "
    SELECT payment_id, format('%s, %s, %s; open %s, begun %s, conflict %s, void requested %s', state, capture_mode, version, open, begun,
                              conflict, void_requested)
    FROM payment_intent i
    CROSS JOIN LATERAL (
        SELECT coalesce(array_agg(operation) FILTER (
                   WHERE a.state IN ('SENT', 'LOST', 'ACTION') AND next_ask_at < now() + interval '6 minutes'), '{}') AS open,
               coalesce(array_agg(operation), '{}') AS begun
        FROM payment_attempt a WHERE a.payment_id = i.payment_id) AS attempts
    WHERE (state IN ('PROCESSING', 'UNKNOWN', 'REQUIRES_ACTION') AND NOT 'AUTHORIZE' = ANY(open))
       OR (state = 'CONFLICTED' AND NOT EXISTS (
               SELECT FROM payment_case c WHERE c.payment_id = i.payment_id AND reason = 'CONFLICT'))
       OR (capture_pending_minor > 0 AND NOT 'CAPTURE' = ANY(open))
       OR (refund_pending_minor > 0 AND NOT 'REFUND' = ANY(open))
       OR (state IN ('AUTHORIZED', 'PARTIALLY_CAPTURED') AND void_requested AND NOT 'VOID' = ANY(open))
       OR (state = 'AUTHORIZED' AND capture_mode = 'AUTOMATIC' AND NOT void_requested AND NOT 'CAPTURE' = ANY(begun))";

/// Payments that somebody is still at: open attempts, webhooks that wait, conflicts.
const UNSETTLED: &str = "
    SELECT count(*) FROM (
        SELECT payment_id FROM payment_attempt WHERE state IN ('SENT', 'LOST', 'ACTION')
        UNION SELECT payment_id FROM webhook WHERE state = 'PARKED'
        UNION SELECT payment_id FROM payment_intent WHERE state = 'CONFLICTED') AS open";

/// Everything the store has about one payment, for a failure.
const STORY: &str = "
    SELECT format('attempt %s: %s %s, %s lost, %s', operation, state, amount_minor, lost_answers, decline)
        FROM payment_attempt WHERE payment_id = $1
    UNION ALL SELECT format('fact %s %s by %s as %s', kind, amount_minor, provider, provider_reference)
        FROM payment_event WHERE payment_id = $1
    UNION ALL SELECT format('claim %s %s as %s: %s', kind, amount_minor, provider_reference, reason)
        FROM payment_conflict WHERE payment_id = $1
    UNION ALL SELECT format('message %s: %s, %s', event_id, state, why) FROM webhook WHERE payment_id = $1
    UNION ALL SELECT format('decision %s: %s', reason, decision) FROM payment_resolution WHERE payment_id = $1";

/// The store as it is now.
pub struct Books {
    intents: HashMap<Uuid, [i64; 6]>,
    /// The messages that came, by their names.
    heard: HashSet<String>,
    /// Payments whose authorisation was not answered at least once.
    unanswered: HashSet<Uuid>,
    /// Payments with a contradiction, and what it was.
    contradicted: Vec<(Uuid, String)>,
    differences: Vec<String>,
}

/// What is wrong with a history, and what its script came to do.
#[derive(Debug, Default)]
pub struct Verdict {
    pub broken: Vec<String>,
    pub met: Vec<(Step, Word)>,
}

pub async fn unowned(database: &PgPool) -> Result<Vec<(Uuid, String)>, sqlx::Error> {
    sqlx::query_as(UNOWNED).fetch_all(database).await
}

pub async fn unsettled(database: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar(UNSETTLED).fetch_one(database).await
}

pub async fn story(database: &PgPool, payment: Uuid) -> Vec<String> {
    sqlx::query_scalar(STORY).bind(payment).fetch_all(database).await.unwrap()
}

impl Books {
    pub async fn read(database: &PgPool) -> Result<Self, sqlx::Error> {
        type Row = (Uuid, i64, i64, i64, i64, i64, i64);
        let intents: Vec<Row> = sqlx::query_as(
            "SELECT payment_id, authorized_minor, captured_minor, voided_minor, refunded_minor, disputed_minor, lost_minor
             FROM payment_intent",
        )
        .fetch_all(database)
        .await?;
        let heard: Vec<String> = sqlx::query_scalar("SELECT event_id FROM webhook WHERE state <> 'PARKED'")
            .fetch_all(database)
            .await?;
        let unanswered: Vec<Uuid> = sqlx::query_scalar(
            "SELECT payment_id FROM payment_attempt WHERE operation = 'AUTHORIZE' AND lost_answers > 0",
        )
        .fetch_all(database)
        .await?;
        let contradicted = sqlx::query_as(
            "SELECT payment_id, reason FROM payment_conflict
             UNION SELECT payment_id, coalesce(why, '') FROM webhook WHERE state = 'REFUSED'",
        );
        let differences = check::differences(&mut *database.acquire().await?).await.unwrap();
        Ok(Self {
            intents: intents
                .into_iter()
                .map(|row| (row.0, [row.1, row.2, row.3, row.4, row.5, row.6]))
                .collect(),
            heard: heard.into_iter().collect(),
            unanswered: unanswered.into_iter().collect(),
            contradicted: contradicted.fetch_all(database).await?,
            differences: differences.iter().map(|found| format!("{}: {}", found.what, found.place)).collect(),
        })
    }

    /// What the books say against themselves.
    pub fn differences(&self) -> &[String] {
        &self.differences
    }

    /// What is wrong with one history.
    pub async fn judge(&self, till: &Till, client: &Client) -> Verdict {
        let (truth, operations) = (till.truth(client.payment).await, operations(till, client).await);
        let mut verdict = Verdict::default();
        self.amounts(client, &truth, &mut verdict.broken);
        once(&truth, &operations, &mut verdict.broken);
        self.heard(client, &operations, &mut verdict.broken);
        kept(client, &truth, &operations, &mut verdict.broken);
        if !client.script.contradicts() {
            let of_it = self.contradicted.iter().filter(|(payment, _)| *payment == client.payment);
            verdict.broken.extend(of_it.map(|(_, why)| format!("nobody scripted it to contradict: {why}")));
        }
        let done = |step| operations.iter().any(|(at, _, told)| *at == step && is_known(told));
        // A payment may be let go of before the provider is back; then it has written nothing.
        let was_out = |word: Word| is_outage(word) && self.unanswered.contains(&client.payment);
        verdict.met = client.script.words().filter(|(step, word)| done(*step) || was_out(word)).collect();
        verdict
    }

    fn amounts(&self, client: &Client, truth: &Value, broken: &mut Vec<String>) {
        let ours = self.intents.get(&client.payment).copied().unwrap_or_default();
        for (what, ours) in AMOUNTS.into_iter().zip(ours) {
            let theirs = truth[what].as_i64().unwrap_or(0);
            if theirs != ours {
                broken.push(format!("{what} is {ours}, at the provider {theirs}"));
            }
        }
    }

    /// Everything the provider told has been heard.
    fn heard(&self, client: &Client, operations: &[(Step, Uuid, Value)], broken: &mut Vec<String>) {
        let told = operations.iter().filter_map(|(step, _, operation)| message(client, *step, operation));
        for event in told.chain(client.happened.iter().cloned()) {
            if !self.heard.contains(&event) {
                broken.push(format!("{event} is not heard"));
            }
        }
    }
}

/// Everything that was asked of the provider about a payment, by its key.
async fn operations(till: &Till, client: &Client) -> Vec<(Step, Uuid, Value)> {
    let asked = client.asked.iter().map(|asked| (asked.step, asked.key(client.payment)));
    let ours = OURS.iter().map(|(step, word)| (*step, key(client.payment, *step, word)));
    let keys: HashMap<Uuid, Step> = asked.chain(ours).map(|(step, key)| (key, step)).collect();
    let mut operations = Vec::new();
    for (key, step) in keys {
        operations.push((step, key, till.operation(key).await));
    }
    operations
}

fn is_known(operation: &Value) -> bool {
    operation["status"].is_string()
}

fn is_done(operation: &Value) -> bool {
    operation["status"] == "succeeded"
}

/// Whatever the provider did was asked for under a key of these, and a hold is made once.
fn once(truth: &Value, operations: &[(Step, Uuid, Value)], broken: &mut Vec<String>) {
    for step in Step::ALL {
        let done = operations.iter().filter(|(at, _, told)| *at == step && is_done(told)).count();
        let counted = truth[step.counted_as()].as_u64().unwrap_or(0);
        if counted != u64::try_from(done).unwrap() {
            broken.push(format!("{done} of {counted} {} were asked for", step.counted_as()));
        }
    }
    if truth["authorizations"].as_u64().unwrap_or(0) > 1 {
        broken.push("it is held twice".to_owned());
    }
}

/// What was asked for with an amount moved that amount, and what was promised was done or refused by the provider.
fn kept(client: &Client, truth: &Value, operations: &[(Step, Uuid, Value)], broken: &mut Vec<String>) {
    for asked in &client.asked {
        let key = asked.key(client.payment);
        let Some((_, _, told)) = operations.iter().find(|(_, at, _)| *at == key) else { continue };
        let moved = told["amount_minor"].as_i64().unwrap_or(0);
        if is_done(told) && asked.amount.is_some_and(|amount| amount != moved) {
            broken.push(format!("{asked:?} moved {moved}"));
        }
        let minor = |what: &str| truth[what].as_i64().unwrap_or(0);
        let is_kept = !asked.was_accepted()
            || match asked.step {
                Step::Authorize => true,
                Step::Capture => is_done(told),
                Step::Refund => is_known(told),
                Step::Void => minor("authorized_minor") == minor("captured_minor") + minor("voided_minor"),
            };
        if !is_kept {
            broken.push(format!("{asked:?} was promised: {told}"));
        }
        let other = asked.said.iter().find(|said| match said {
            Said::No(reason) => !REASONS.contains(&reason.as_str()),
            Said::Yes | Said::Nothing | Said::Internal => false,
        });
        broken.extend(other.map(|said| format!("{asked:?} got {said:?}")));
    }
}

/// The name of the message by which the provider told of it, when it did.
fn message(client: &Client, step: Step, operation: &Value) -> Option<String> {
    let said = |word: Word| client.script.words().any(|known| known == (step, word));
    let outcome = match operation["status"].as_str() {
        Some("succeeded") => "succeeded",
        // A session that was closed by a void is not told of by itself.
        Some("declined") if step != Step::Authorize || client.script.asks_the_payer().is_none() => "declined",
        Some(_) | None => return None,
    };
    let reference = operation["reference"].as_str().filter(|_| !said("webhook_never"))?;
    let wrong = if said("webhook_wrong_amount") { "_wrong" } else { "" };
    // A void of what the provider never heard of has no currency, and money without one is no message.
    if operation["currency"] == "" && !wrong.is_empty() {
        return None;
    }
    Some(format!("evt_operation_{outcome}_{reference}{wrong}"))
}
