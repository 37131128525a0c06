//! The provider's books: operations by key, accounts by payment, each effect exactly once. It knows nothing of HTTP and never
//! misbehaves: what it holds is the truth that tests compare with.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde::{Deserialize, Serialize};
use stampede_kit::clock::Clock;

use crate::desk::{Happening, What};
use crate::journal::{Entry, Journal};
use crate::script;
use crate::settlement::{Movement, Type};
use crate::truth::{Totals, Truth};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    Authorization,
    Capture,
    Void,
    Refund,
}

/// What a merchant asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    pub kind: Kind,
    pub payment: String,
    /// 0 for a void: it lets go of all that is left.
    pub amount_minor: i64,
    pub currency: String,
    /// Empty for everything but an authorisation.
    pub source: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    Succeeded,
    Declined,
    /// The payer has to do something first.
    RequiresAction,
}

/// What the script says about a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Good,
    /// It lapses by itself then: milliseconds since 1970.
    HeldUntil(i64),
    /// With its class.
    Decline(String),
    /// The payer has to do something by then: milliseconds since 1970.
    Action(i64),
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    pub key: String,
    pub command: Command,
    pub status: Status,
    /// Why not, as a class.
    pub decline: Option<String>,
    /// The money that moved; nothing when it was declined.
    pub amount_minor: i64,
    /// The payment's: a void does not say it.
    pub currency: String,
    /// The provider's name for it.
    pub reference: String,
    /// Until when the payer may do what is asked of him: milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub action_until_ms: Option<i64>,
    /// Until when it is held, when it lapses by itself: milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_ms: Option<i64>,
    /// When it came to this: milliseconds since 1970.
    #[serde(default)]
    pub at_ms: i64,
}

/// The key was used for something else.
#[derive(Debug, PartialEq, Eq)]
pub struct KeyReused;

/// An operation, and whether this call is the one that did it.
#[derive(Debug)]
pub struct Done {
    pub operation: Operation,
    pub fresh: bool,
}

#[derive(Debug, Default)]
pub struct Bank {
    operations: HashMap<String, Operation>,
    accounts: HashMap<String, Truth>,
    /// The source each payment was first authorised with: it scripts the later steps.
    sources: HashMap<String, String>,
    /// The first payment that was authorised with each source.
    first_of: HashMap<String, String>,
    /// When what a payment holds lapses by itself, and the key it was asked for under.
    lapses: HashMap<String, (i64, String)>,
    /// The key of each payment whose payer has to do something.
    waiting: HashMap<String, String>,
    /// What happened by itself, once for its name.
    happened: HashMap<(String, What, String), i64>,
    /// Keys whose one misbehaviour without effect is used up.
    spent: HashSet<String>,
    /// Money that moved, in that order: what is settled.
    movements: Vec<Movement>,
    clock: Clock,
    journal: Journal,
}

impl Bank {
    /// The books as the journal left them.
    pub fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let mut bank = Self::default();
        let (journal, entries) = Journal::open(path)?;
        for entry in entries {
            match entry {
                Entry::Operation(operation) => bank.enter(operation),
                Entry::Happened(happening) => bank.enter_happening(0, &happening),
                Entry::HappenedAt(at_ms, happening) => bank.enter_happening(at_ms, &happening),
                Entry::Spent(key) => {
                    bank.spent.insert(key);
                }
            }
        }
        bank.journal = journal;
        Ok(bank)
    }

    pub fn operation(&self, key: &str) -> Option<&Operation> {
        self.operations.get(key)
    }

    /// The source that scripts this command.
    pub fn source(&self, command: &Command) -> String {
        let source = match command.kind {
            Kind::Authorization => &command.source,
            Kind::Capture | Kind::Void | Kind::Refund => {
                self.sources.get(&command.payment).map_or("", String::as_str)
            }
        };
        let again = self.first_of.get(source).is_some_and(|first| *first != command.payment);
        script::turn(source, again)
    }

    /// Lets what the payment holds lapse when its time has passed: what that was, and its currency.
    pub fn lapse(&mut self, payment: &str, now_ms: i64) -> anyhow::Result<Option<(Happening, String)>> {
        let Some((_, key)) = self.lapses.get(payment).filter(|(until, _)| *until <= now_ms) else {
            return Ok(None);
        };
        let reference = format!("lapse_{key}");
        self.lapses.remove(payment);
        let amount_minor = self.accounts.get(payment).map_or(0, Truth::capturable_minor);
        let what = What::AuthorizationExpired;
        let lapsed = Happening { payment: payment.to_owned(), what, reference, amount_minor };
        Ok(self.happen(lapsed.clone())?.map(|currency| (lapsed, currency)))
    }

    pub fn truth(&self, payment: &str) -> Option<&Truth> {
        self.accounts.get(payment)
    }

    pub fn totals(&self) -> Totals {
        Totals::of(self.accounts.values())
    }

    /// The stored operation of this key when there is one.
    pub fn known(&self, key: &str, command: &Command) -> Result<Option<&Operation>, KeyReused> {
        match self.operations.get(key) {
            Some(known) if known.command == *command => Ok(Some(known)),
            Some(_) => Err(KeyReused),
            None => Ok(None),
        }
    }

    /// Whether this is the key's first misbehaviour without effect; asking uses it up.
    pub fn spend(&mut self, key: &str) -> anyhow::Result<bool> {
        let first = self.spent.insert(key.to_owned());
        if first {
            self.journal.append(&Entry::Spent(key.to_owned()))?;
        }
        Ok(first)
    }

    /// Does what nobody asked for, once for its name; the payment's currency, or nothing when it cannot happen.
    pub fn happen(&mut self, happening: Happening) -> anyhow::Result<Option<String>> {
        if let Some(amount) = self.happened.get(&happening.name()) {
            let same = *amount == happening.amount_minor;
            let account = self.accounts.get(&happening.payment).filter(|_| same);
            return Ok(account.map(|account| account.currency.clone()));
        }
        let Some(account) = self.accounts.get(&happening.payment).filter(|truth| happening.fits(truth))
        else {
            return Ok(None);
        };
        let (currency, at_ms) = (account.currency.clone(), self.now_ms());
        self.enter_happening(at_ms, &happening);
        self.journal.append(&Entry::HappenedAt(at_ms, happening))?;
        Ok(Some(currency))
    }

    /// Money that moved, oldest first.
    pub fn movements(&self) -> impl Iterator<Item = &Movement> {
        self.movements.iter()
    }

    fn enter_happening(&mut self, at_ms: i64, happening: &Happening) {
        let account = self.accounts.entry(happening.payment.clone()).or_default();
        happening.enter(account);
        self.happened.insert(happening.name(), happening.amount_minor);
        if let Some((what, gross_minor)) = happening.moves() {
            self.movements.push(Movement {
                at_ms,
                what,
                reference: happening.reference.clone(),
                payment: happening.payment.clone(),
                gross_minor,
                currency: account.currency.clone(),
            });
        }
    }

    fn now_ms(&self) -> i64 {
        i64::try_from(self.clock.now().unix_timestamp_nanos() / 1_000_000).unwrap_or(i64::MAX)
    }

    /// Does what the command says, once for its key, as the script says.
    pub fn perform(
        &mut self,
        key: &str,
        command: Command,
        said: Said,
    ) -> anyhow::Result<Result<Done, KeyReused>> {
        match self.known(key, &command) {
            Err(reused) => return Ok(Err(reused)),
            Ok(Some(known)) => return Ok(Ok(Done { operation: known.clone(), fresh: false })),
            Ok(None) => {}
        }
        let (mut action_until_ms, mut expires_at_ms) = (None, None);
        let (status, amount_minor, decline) = match said {
            Said::Decline(class) => (Status::Declined, 0, Some(class)),
            Said::Good => decided(self.decide(&command)),
            Said::HeldUntil(until) => {
                expires_at_ms = Some(until);
                decided(self.decide(&command))
            }
            Said::Action(until) => match self.decide(&command) {
                Ok(_) => {
                    action_until_ms = Some(until);
                    (Status::RequiresAction, 0, None)
                }
                refused @ Err(_) => decided(refused),
            },
        };
        let reference = format!("{}_{key}", command.kind.prefix());
        let currency = match self.accounts.get(&command.payment) {
            Some(account) if command.currency.is_empty() => account.currency.clone(),
            Some(_) | None => command.currency.clone(),
        };
        let operation = Operation {
            key: key.to_owned(),
            command,
            status,
            decline,
            amount_minor,
            currency,
            reference,
            action_until_ms,
            expires_at_ms,
            at_ms: self.now_ms(),
        };
        self.write(&operation)?;
        if operation.command.kind == Kind::Void
            && let Some(waiting) = self.waiting.get(&operation.command.payment).cloned()
        {
            self.conclude(&waiting, Err("payment_voided".to_owned()))?;
        }
        Ok(Ok(Done { operation, fresh: true }))
    }

    /// Ends what waited for the payer, or turns a decline into the hold that it was after all. What has ended otherwise stays as it is; the
    /// operation as it stands then, or nothing when there is none.
    pub fn conclude(&mut self, key: &str, outcome: Result<(), String>) -> anyhow::Result<Option<Operation>> {
        let Some(mut operation) = self.operations.get(key).cloned() else { return Ok(None) };
        let open = match operation.status {
            Status::RequiresAction => true,
            Status::Declined => outcome.is_ok(),
            Status::Succeeded => false,
        };
        if open {
            let ended = outcome.and_then(|()| self.decide(&operation.command));
            (operation.status, operation.amount_minor, operation.decline) = decided(ended);
            operation.at_ms = self.now_ms();
            self.write(&operation)?;
        }
        Ok(Some(operation))
    }

    /// Written first: what was answered is still true after a kill.
    fn write(&mut self, operation: &Operation) -> anyhow::Result<()> {
        self.journal.append(&Entry::Operation(operation.clone()))?;
        self.enter(operation.clone());
        Ok(())
    }

    /// The amount that moves, or the class of the refusal.
    fn decide(&self, command: &Command) -> Result<i64, String> {
        let unknown = Truth::default();
        let account = self.accounts.get(&command.payment).unwrap_or(&unknown);
        if command.kind != Kind::Void && !account.currency.is_empty() && account.currency != command.currency
        {
            return Err("currency_mismatch".to_owned());
        }
        let within = |left: i64| {
            if command.amount_minor <= left {
                Ok(command.amount_minor)
            } else {
                Err("amount_exceeded".to_owned())
            }
        };
        match command.kind {
            Kind::Authorization if account.closed => Err("payment_voided".to_owned()),
            Kind::Authorization => Ok(command.amount_minor),
            Kind::Capture => within(account.capturable_minor()),
            Kind::Void => Ok(account.capturable_minor()),
            Kind::Refund => within(account.refundable_minor()),
        }
    }

    fn enter(&mut self, operation: Operation) {
        let command = &operation.command;
        self.accounts.entry(command.payment.clone()).or_default().enter(&operation);
        self.movements.extend(moved(&operation));
        if command.kind == Kind::Authorization {
            self.sources.entry(command.payment.clone()).or_insert_with(|| command.source.clone());
            self.first_of.entry(command.source.clone()).or_insert_with(|| command.payment.clone());
            if let Some(until) = operation.expires_at_ms.filter(|_| operation.status == Status::Succeeded) {
                self.lapses.insert(command.payment.clone(), (until, operation.key.clone()));
            }
        }
        match operation.status {
            Status::RequiresAction => {
                self.waiting.insert(command.payment.clone(), operation.key.clone());
            }
            Status::Succeeded | Status::Declined => {
                if self.waiting.get(&command.payment) == Some(&operation.key) {
                    self.waiting.remove(&command.payment);
                }
            }
        }
        self.operations.insert(operation.key.clone(), operation);
    }
}

/// The money that an operation moves for good: a hold is none.
fn moved(operation: &Operation) -> Option<Movement> {
    let (what, gross_minor) = match operation.command.kind {
        Kind::Capture => (Type::Capture, operation.amount_minor),
        Kind::Refund => (Type::Refund, -operation.amount_minor),
        Kind::Authorization | Kind::Void => return None,
    };
    (gross_minor != 0).then(|| Movement {
        at_ms: operation.at_ms,
        what,
        reference: operation.reference.clone(),
        payment: operation.command.payment.clone(),
        gross_minor,
        currency: operation.currency.clone(),
    })
}

/// Status, amount and class of a decision.
fn decided(decision: Result<i64, String>) -> (Status, i64, Option<String>) {
    match decision {
        Ok(amount_minor) => (Status::Succeeded, amount_minor, None),
        Err(class) => (Status::Declined, 0, Some(class)),
    }
}

impl Kind {
    fn prefix(self) -> &'static str {
        match self {
            Self::Authorization => "auth",
            Self::Capture => "cap",
            Self::Void => "void",
            Self::Refund => "ref",
        }
    }
}

#[cfg(test)]
#[path = "bank_tests.rs"]
mod tests;
