//! Several parts of one payment, tenders that are held all or none, or holds that follow each other: what follows for the whole from what
//! becomes of a part is in the commit of that part, so that a crash at any point leaves nothing half asked for. The whole is locked before
//! any of its parts.

use std::time::Duration;

use sqlx::{PgConnection, Postgres, Transaction};
use stampede_types::PaymentId;
use time::OffsetDateTime;
use uuid::Uuid;

use crate::begin::Begin;
use crate::crash::Stage;
use crate::domain::{
    Attempt, AttemptState, Event, Next, Operation, Part, Payment, Terms, VoidPlan, attempt_id,
};
use crate::error::Error;
use crate::payments::{Begun, Errand, Payments};
use crate::store::{attempts, events, intents, payments};
use crate::{event, metrics, renew};

/// The class of a tender that nobody takes any more when its turn comes.
const UNROUTABLE: &str = "method_not_supported";

/// How a part's change came about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cause {
    /// The decision that leads out of a conflict.
    pub resolution: Option<Uuid>,
    /// How long the next tender is left to whoever heard of this one.
    pub lease: Duration,
    pub at: OffsetDateTime,
}

impl Payments {
    /// Writes what is derived of a payment; and of a part, what follows for its whole and what others hear of it.
    pub(crate) async fn keep(
        &self,
        conn: &mut PgConnection,
        payment: &Payment,
        facts: &[Event],
        cause: Cause,
    ) -> Result<(), sqlx::Error> {
        intents::save_decided(conn, payment, cause.resolution, cause.at).await?;
        if payment.is_renewed() {
            attempts::watch_hold(conn, payment.id, payment.lapse_due()).await?;
        }
        match payment.part_of {
            Some(part) => self.follow(conn, part, payment, facts, cause).await,
            None => Ok(()),
        }
    }

    async fn follow(
        &self,
        conn: &mut PgConnection,
        Part { whole, .. }: Part,
        part: &Payment,
        facts: &[Event],
        cause: Cause,
    ) -> Result<(), sqlx::Error> {
        // Locked with the part.
        let Some(mut whole) = payments::read(conn, whole).await? else { return Ok(()) };
        // The first that says no has said why.
        whole.decline = whole.decline.or_else(|| part.decline.clone());
        if let Next::Begin(place) = whole.next() {
            self.begin_tender(conn, &mut whole, place, cause).await?;
        }
        renew::note(conn, &whole, facts).await?;
        if whole.next() == Next::LetGo {
            self.let_go(conn, &mut whole, Duration::ZERO, cause.at).await?;
        }
        intents::save_whole(conn, &whole, cause.resolution, cause.at).await?;
        event::publish_part(conn, &whole, part, facts).await
    }

    async fn begin_tender(
        &self,
        conn: &mut PgConnection,
        whole: &mut Payment,
        place: usize,
        cause: Cause,
    ) -> Result<(), sqlx::Error> {
        let Some(part) = self.tender(whole, place, cause.at) else {
            whole.decline = Some(UNROUTABLE.to_owned());
            return Ok(());
        };
        if whole.is_renewed() && place > 0 {
            metrics::reauthorization("asked");
        }
        intents::insert(conn, &part).await?;
        for attempt in &part.attempts {
            attempts::insert(conn, part.id, attempt, cause.lease, cause.at).await?;
        }
        whole.parts.push(part);
        Ok(())
    }

    /// The part that is this tender, with whom it is asked of; None when nobody takes it.
    fn tender(&self, whole: &Payment, place: usize, at: OffsetDateTime) -> Option<Payment> {
        let tender = whole.tender(place)?;
        let route = self.providers.route(tender.method.kind, tender.amount.currency());
        whole.part(place, route, at)
    }

    /// Every tender has somebody who takes it, or nothing is begun.
    pub(crate) async fn begin_tenders(&self, id: PaymentId, terms: Terms) -> Result<Begun, Error> {
        let (at, currency) = (self.now(), terms.amount.currency());
        let nobody = |kind| self.providers.route(kind, currency).is_empty();
        let untaken = terms.methods().find(|kind| nobody(*kind));
        if let Some(method) = untaken {
            return self.unroutable(id, &terms, method).await;
        }
        let mut whole = Payment::whole(id, terms, at);
        let mut tx = stampede_kit::postgres::begin(&self.db).await?;
        if !intents::insert(&mut tx, &whole).await? {
            let known = payments::lock(&mut tx, id).await?.ok_or(Error::NotFound(id))?;
            return resume(id, whole.terms.as_ref(), known);
        }
        let cause = Cause { resolution: None, lease: self.lease, at };
        self.begin_tender(&mut tx, &mut whole, 0, cause).await?;
        tx.commit().await?;
        self.crash.at(Stage::Intent, Operation::Authorize);
        let first = whole.parts.first().and_then(|part| Errand::of(part, part.attempts.first()?));
        Ok(first.map_or_else(|| Begun::Settled(Box::new(whole)), Begun::Fresh))
    }

    /// A capture or a refund of what several parts hold: all shares are reserved in one commit.
    pub(crate) async fn begin_shares(
        &self,
        mut tx: Transaction<'_, Postgres>,
        mut whole: Payment,
        begin: Begin,
    ) -> Result<Begun, Error> {
        let Begin { operation, word, .. } = begin;
        let asked = begin.amount_of(&whole)?;
        let known = whole.asked_as(operation, word);
        if !known.is_empty() {
            let sum: i64 = known.iter().map(|(_, attempt)| attempt.amount_minor).sum();
            if asked.is_some_and(|asked| asked != sum) {
                return Err(Error::Conflict(whole.id));
            }
            let again = known.into_iter().map(|(part, attempt)| Begun::resume(part.clone(), attempt));
            return Ok(Begun::Several { whole: whole.id, begun: again.collect() });
        }
        let at = self.now();
        let mut begun = Vec::new();
        for (place, share) in whole.spread(operation, asked)? {
            let part = &mut whole.parts[place];
            let key = attempt_id(part.id, operation, &word.to_string());
            let attempt = part.begin(operation, key, Some(share))?;
            attempts::insert(&mut tx, part.id, &attempt, self.lease, at).await?;
            let mut facts = Vec::new();
            if operation == Operation::Refund {
                facts.push(part.note_refund(&attempt, at));
            }
            for fact in &facts {
                events::insert(&mut tx, part.id, fact).await?;
            }
            self.keep(&mut tx, part, &facts, Cause { resolution: None, lease: self.lease, at }).await?;
            begun.extend(Errand::of(part, &attempt).map(Begun::Fresh));
        }
        tx.commit().await?;
        self.wake.wake();
        self.crash.at(Stage::Intent, operation);
        Ok(Begun::Several { whole: whole.id, begun })
    }

    /// Voids whatever its parts hold, and keeps the tenders that were not asked for from being asked for.
    pub(crate) async fn begin_letting_go(
        &self,
        mut tx: Transaction<'_, Postgres>,
        mut whole: Payment,
    ) -> Result<Begun, Error> {
        match whole.standing().void().map_err(Error::Illegal)? {
            VoidPlan::Nothing => return Ok(Begun::Settled(Box::new(whole))),
            VoidPlan::Now { .. } | VoidPlan::WhenKnown => {}
        }
        let at = self.now();
        whole.void_requested = true;
        let fresh = self.let_go(&mut tx, &mut whole, self.lease, at).await?;
        intents::save_whole(&mut tx, &whole, None, at).await?;
        tx.commit().await?;
        self.crash.at(Stage::Intent, Operation::Void);
        let open = whole.parts.iter().filter_map(|part| {
            let void = part.open_void()?;
            if fresh.contains(&void.id) {
                Errand::of(part, void).map(Begun::Fresh)
            } else {
                Some(Begun::resume(part.clone(), void))
            }
        });
        Ok(Begun::Several { whole: whole.id, begun: open.collect() })
    }

    /// Begins what lets go of every part; the voids that are new.
    async fn let_go(
        &self,
        conn: &mut PgConnection,
        whole: &mut Payment,
        lease: Duration,
        at: OffsetDateTime,
    ) -> Result<Vec<Uuid>, sqlx::Error> {
        let mut begun = Vec::new();
        for (place, plan) in whole.to_let_go() {
            let part = &mut whole.parts[place];
            match plan {
                VoidPlan::Now { amount_minor } => {
                    let void = part.begin_void(amount_minor);
                    attempts::insert(conn, part.id, &void, lease, at).await?;
                    begun.push(void.id);
                }
                VoidPlan::WhenKnown => {
                    part.void_requested = true;
                    attempts::hurry(conn, part.id).await?;
                }
                VoidPlan::Nothing => {}
            }
            intents::save(conn, part, at).await?;
        }
        Ok(begun)
    }

    /// The next tender was asked for with the fact that this one is held: whoever heard that carries it on.
    pub(crate) async fn next_tender(&self, Part { whole, place }: Part) -> Result<Option<Errand>, Error> {
        let mut conn = self.db.acquire().await?;
        let Some(whole) = payments::read(&mut conn, whole).await? else { return Ok(None) };
        let sent = |attempt: &&Attempt| attempt.state == AttemptState::Sent;
        Ok(whole.parts.iter().skip(place + 1).find_map(|part| {
            let attempt = part.open_attempt(Operation::Authorize).filter(sent)?;
            Errand::of(part, attempt).filter(|_| !part.void_requested)
        }))
    }

    /// What callers know: of a part, its whole.
    pub(crate) async fn whole_of(&self, payment: Payment) -> Result<Payment, Error> {
        match payment.part_of {
            Some(part) => self.get(part.whole).await,
            None => Ok(payment),
        }
    }
}

/// The id is known: the same payment goes on where it is, another one is refused. One that was voided first has no terms to compare.
pub(crate) fn resume(id: PaymentId, asked: Option<&Terms>, known: Payment) -> Result<Begun, Error> {
    if known.part_of.is_some() || (known.terms.is_some() && known.terms.as_ref() != asked) {
        return Err(Error::Conflict(id));
    }
    let asking = |payment: &Payment| {
        let open = payment.open_attempt(Operation::Authorize).filter(|_| !payment.void_requested)?;
        Some(Begun::resume(payment.clone(), open))
    };
    let open = asking(&known).or_else(|| known.parts.iter().find_map(asking));
    Ok(open.unwrap_or_else(|| Begun::Settled(Box::new(known))))
}
