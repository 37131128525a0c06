//! Inputs made from good ones by damage, for as long as asked: nothing may panic, and what is accepted must mean to
//! prost-reflect what it means to us. The corpus is in tests/corpus; an input that failed belongs there.
//!
//! `cargo xtask fuzz [--seconds N]`. Guided by outcomes, not by coverage: an input whose outcome is new is kept and
//! damaged further. The tests play the corpus and a little damage, always the same.

mod mutate;
mod targets;

use std::collections::HashSet;
use std::io::Write as _;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use mutate::Mutator;
use targets::Target;

/// How many damaged inputs an ordinary test run makes of each target.
const SHORT_RUN: u64 = 3_000;
/// How many inputs are kept for further damage.
const MAX_KEPT: usize = 20_000;

/// Plays the corpus, then damages it until `enough` says so. How many inputs that were.
fn play(target: Target, seed: u64, mut enough: impl FnMut(u64) -> bool) -> u64 {
    let mut kept = target.corpus();
    assert!(!kept.is_empty(), "the corpus is gone");
    let mut outcomes: HashSet<u64> = kept.iter().map(|input| outcome(target, input)).collect();
    let mut mutator = Mutator::new(seed);
    let mut played = 0;
    while !enough(played) {
        let input = mutator.damage(&kept);
        if outcomes.insert(outcome(target, &input)) && kept.len() < MAX_KEPT {
            kept.push(input);
        }
        played += 1;
    }
    played
}

/// What came of it, as a number. An input that breaks a promise is written down first.
fn outcome(target: Target, input: &[u8]) -> u64 {
    match std::panic::catch_unwind(AssertUnwindSafe(|| target.check(input))) {
        Ok(outcome) => outcome,
        Err(panic) => {
            let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("{target:?}-failed"));
            std::fs::write(&path, input).unwrap();
            let text = String::from_utf8_lossy(input);
            let _ = writeln!(std::io::stderr(), "the input is in {}: {text:?}", path.display());
            std::panic::resume_unwind(panic)
        }
    }
}

#[test]
fn damaged_json_is_refused_or_means_what_it_means_to_the_oracle() {
    play(Target::Json, 1, |played| played >= SHORT_RUN);
}

#[test]
fn damaged_wire_is_refused_or_means_what_it_means_to_the_oracle() {
    play(Target::Wire, 2, |played| played >= SHORT_RUN);
}

#[test]
fn damaged_requests_are_refused_or_become_messages() {
    play(Target::Route, 3, |played| played >= SHORT_RUN);
}

/// Seconds for each target come from `cargo xtask fuzz`; without them this does nothing more than the others.
#[test]
fn for_as_long_as_asked() {
    #[expect(clippy::disallowed_methods, reason = "the test's one argument; a test binary has no other")]
    let seconds = std::env::var("TRANSCODE_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
    let Some(seconds) = seconds.map(Duration::from_secs) else { return };
    let seed = std::process::id().into();
    for target in [Target::Json, Target::Wire, Target::Route] {
        let began = Instant::now();
        let played = play(target, seed, |_| began.elapsed() >= seconds);
        let line = format!("{target:?}: {played} inputs in {} s, seed {seed}", seconds.as_secs());
        let _ = writeln!(std::io::stdout(), "{line}");
    }
}
