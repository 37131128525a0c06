//! `events`: what became of events. Dead letters are listed and put back, and a consumer is put back to a position of its stream.
//! Whoever has handled an event knows it by its id, so nothing here has an effect twice.

use std::process::ExitCode;

use anyhow::{bail, ensure};
use clap::ArgGroup;
use serde_json::{Value, json};
use stampede_kit::clock::Clock;
use stampede_kit::inbox::{self, Letter, Position};
use stampede_kit::{Secret, nats};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cli::block_on;
use crate::terminal::say;
use crate::up;

/// Letters that one command lists or puts back, and that are looked through at once for one of them.
const MOST: usize = 10_000;

#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the events that could not be handled, oldest first: why, after how many attempts, since when.
    Dead {
        #[command(flatten)]
        place: Place,
        /// Print one JSON object instead of lines.
        #[arg(long)]
        json: bool,
    },
    /// Put dead letters back where they came from, or a consumer back to a position of its stream.
    Replay(Replay),
}

/// Where the events are.
#[derive(Debug, Clone, clap::Args)]
pub struct Place {
    /// The NATS server; without it the one `up` started.
    #[arg(long)]
    nats: Option<Secret>,
    /// The stream.
    #[arg(long, default_value_t = nats::Stream::default().name)]
    stream: String,
    /// What the stream's subjects begin with.
    #[arg(long, default_value_t = nats::Stream::default().prefix)]
    prefix: String,
}

#[derive(Debug, Clone, clap::Args)]
#[command(group = ArgGroup::new("what").required(true))]
pub struct Replay {
    #[command(flatten)]
    place: Place,
    /// The letter of this event (its id), or of this number.
    #[arg(group = "what")]
    letter: Option<String>,
    /// Every letter.
    #[arg(long, group = "what")]
    all: bool,
    /// Letters buried at that instant (RFC 3339) or later.
    #[arg(long, group = "what", value_parser = instant)]
    since: Option<OffsetDateTime>,
    /// Put the consumer back to this number of its stream.
    #[arg(long, group = "what", requires = "consumer")]
    from_seq: Option<u64>,
    /// Put the consumer back to that instant (RFC 3339).
    #[arg(long, group = "what", requires = "consumer", value_parser = instant)]
    from_time: Option<OffsetDateTime>,
    /// Only this consumer's letters; with a position, the consumer that is put back.
    #[arg(long)]
    consumer: Option<String>,
}

pub fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Dead { place, json } => block_on(dead(place, *json)).map(|()| ExitCode::SUCCESS),
        Command::Replay(asked) => block_on(replay(asked)),
    }
}

async fn dead(place: &Place, as_json: bool) -> anyhow::Result<()> {
    let letters = inbox::letters(&place.connect().await?, &place.stream(), 1, MOST).await?;
    if as_json {
        let letters = letters.iter().map(object).collect::<anyhow::Result<Vec<_>>>()?;
        say(json!({ "letters": letters }).to_string());
        return Ok(());
    }
    letters.iter().try_for_each(|letter| line(letter).map(say))?;
    say(match letters.len() {
        0 => "no event is dead".to_owned(),
        MOST => format!("the oldest {MOST}; there may be more"),
        count => format!("{count} dead; `cargo xtask events replay` puts them back once their cause is gone"),
    });
    Ok(())
}

/// Each letter that can be put back is; the others are named, and make the exit code 1.
async fn replay(asked: &Replay) -> anyhow::Result<ExitCode> {
    let client = asked.place.connect().await?;
    let position = match (asked.from_seq, asked.from_time) {
        (Some(sequence), _) => Some(Position::Sequence(sequence)),
        (None, Some(time)) => Some(Position::Time(time)),
        (None, None) => None,
    };
    if let (Some(to), Some(consumer)) = (position, &asked.consumer) {
        let now = Clock::system().now();
        let pending = inbox::put_back(&client, &asked.place.stream, consumer, to, now).await?;
        say(format!("{consumer} hears {pending} messages of {} again", asked.place.stream));
        return Ok(ExitCode::SUCCESS);
    }
    let stream = asked.place.stream();
    let chosen = asked.letters(&client, &stream).await?;
    if let Some(letter) = &asked.letter {
        ensure!(!chosen.is_empty(), "there is no dead letter {letter}");
    }
    let mut refused = 0;
    for letter in &chosen {
        let Err(error) = inbox::replay(&client, &stream, letter).await else { continue };
        refused += 1;
        say(format!("letter {} stays: {error:#}", letter.number));
    }
    say(format!("{} put back", chosen.len() - refused));
    Ok(if refused == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Replay {
    /// The letters that are meant. One that is named is looked for among all; of the others the oldest are taken, and what is
    /// put back in vain and buried again is not taken twice.
    async fn letters(
        &self,
        client: &async_nats::Client,
        stream: &nats::Stream,
    ) -> anyhow::Result<Vec<Letter>> {
        let mut from = 1;
        loop {
            let mut letters = inbox::letters(client, stream, from, MOST).await?;
            let more = letters.len() == MOST;
            from = letters.last().map_or(from, |last| last.number + 1);
            letters.retain(|letter| self.means(letter));
            if self.letter.is_none() || !letters.is_empty() || !more {
                return Ok(letters);
            }
        }
    }

    fn means(&self, letter: &Letter) -> bool {
        let consumers = self.consumer.as_ref().is_none_or(|consumer| *consumer == letter.consumer);
        let named = self.letter.as_ref().is_none_or(|named| {
            *named == letter.event || named.parse().is_ok_and(|number: u64| number == letter.number)
        });
        consumers && named && self.since.is_none_or(|since| letter.at >= since)
    }
}

impl Place {
    fn stream(&self) -> nats::Stream {
        nats::Stream { name: self.stream.clone(), prefix: self.prefix.clone() }
    }

    async fn connect(&self) -> anyhow::Result<async_nats::Client> {
        let url = match &self.nats {
            Some(url) => url.clone(),
            None => Secret::new(up::running()?.servers().nats_url()),
        };
        let client = nats::connect(&url).await?;
        if client.flush().await.is_err()
            || client.connection_state() != async_nats::connection::State::Connected
        {
            bail!("NATS does not answer");
        }
        Ok(client)
    }
}

fn instant(text: &str) -> Result<OffsetDateTime, String> {
    OffsetDateTime::parse(text, &Rfc3339).map_err(|_| "is no instant such as 2026-01-31T12:00:00Z".to_owned())
}

/// `12 order-payments payment.captured 018f… after 5 attempts since 2026-01-31T12:00:00Z: no such order`.
fn line(letter: &Letter) -> anyhow::Result<String> {
    let Letter { number, consumer, subject, event, attempts, reason, .. } = letter;
    let since = letter.at.format(&Rfc3339)?;
    Ok(format!("{number} {consumer} {subject} {event} after {attempts} attempts since {since}: {reason}"))
}

fn object(letter: &Letter) -> anyhow::Result<Value> {
    Ok(json!({
        "number": letter.number, "consumer": letter.consumer, "event": letter.event, "subject": letter.subject,
        "stream": letter.stream, "sequence": letter.sequence, "attempts": letter.attempts,
        "reason": letter.reason, "at": letter.at.format(&Rfc3339)?,
    }))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(subcommand)]
        command: Command,
    }

    fn parse(words: &[&str]) -> Result<Replay, clap::Error> {
        match Line::try_parse_from([&["events", "replay"], words].concat())?.command {
            Command::Replay(replay) => Ok(replay),
            Command::Dead { .. } => panic!("another command"),
        }
    }

    fn letter(number: u64, event: &str, consumer: &str) -> Letter {
        Letter {
            number,
            consumer: consumer.into(),
            event: event.into(),
            subject: "payment.captured".into(),
            stream: "STAMPEDE".into(),
            sequence: 3,
            attempts: 5,
            reason: "no such order".into(),
            at: OffsetDateTime::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_replay_says_what_it_means_and_means_nothing_else() {
        assert!(parse(&[]).is_err() && parse(&["7", "--all"]).is_err());
        assert!(parse(&["--from-seq", "7"]).is_err(), "a position is some consumer's");
        assert!(parse(&["--from-seq", "7", "--consumer", "order-payments"]).is_ok());
        assert!(parse(&["--since", "yesterday"]).is_err());
        let (one, two) = (letter(7, "018f", "order-payments"), letter(8, "018e", "mail-orders"));
        let means = |words: &[&str]| {
            let asked = parse(words).unwrap();
            (asked.means(&one), asked.means(&two))
        };
        assert_eq!(means(&["7"]), (true, false));
        assert_eq!(means(&["018e"]), (false, true));
        assert_eq!(means(&["--all"]), (true, true));
        assert_eq!(means(&["--all", "--consumer", "mail-orders"]), (false, true));
        assert_eq!(means(&["--since", "1970-01-01T00:00:01Z"]), (false, false));
    }

    #[test]
    fn a_letter_is_a_line_with_its_reason_attempts_and_time() {
        let said = line(&letter(7, "018f", "order-payments")).unwrap();
        let expected = "7 order-payments payment.captured 018f after 5 attempts since 1970-01-01T00:00:00Z: no such order";
        assert_eq!(said, expected);
        assert_eq!(object(&letter(7, "018f", "order-payments")).unwrap()["reason"], "no such order");
    }
}
