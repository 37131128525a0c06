//! What the developer sees: steps with a spinner on a terminal and plain lines anywhere else, results on standard
//! output, progress and complaints on standard error.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

/// How often a spinner turns.
const TICK: Duration = Duration::from_millis(120);

/// Prints one line of result.
pub fn say(line: impl AsRef<str>) {
    // A reader that closed the pipe has seen enough.
    let _ = writeln!(std::io::stdout(), "{}", line.as_ref());
}

/// Prints one line of progress.
pub fn note(line: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr(), "{}", line.as_ref());
}

/// Prints an error and its causes as one sentence.
pub fn complain(error: &anyhow::Error) {
    note(format!("error: {error:#}"));
}

/// Something that takes a while. Dropped without `done`, it says that it failed.
pub struct Step {
    title: String,
    bar: Option<ProgressBar>,
    began: Instant,
    quiet: bool,
    ended: bool,
}

impl Step {
    /// Begins a step the developer waits for.
    pub fn begin(title: impl Into<String>) -> Step {
        let title = title.into();
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new_spinner().with_message(title.clone());
            bar.set_style(
                ProgressStyle::with_template("  {spinner} {msg} ({elapsed})")
                    .expect("the template is a constant with known keys"),
            );
            bar.enable_steady_tick(TICK);
            bar
        });
        if bar.is_none() {
            note(format!("  .. {title}"));
        }
        Step { title, bar, began: Instant::now(), quiet: false, ended: false }
    }

    /// A step nobody watches: for tests.
    pub fn silent() -> Step {
        Step { title: String::new(), bar: None, began: Instant::now(), quiet: true, ended: false }
    }

    /// Says what the step is at.
    pub fn at(&self, what: impl AsRef<str>) {
        if self.quiet {
            return;
        }
        let line = format!("{}: {}", self.title, what.as_ref());
        match &self.bar {
            Some(bar) => bar.set_message(line),
            None => note(format!("     {line}")),
        }
    }

    /// Ends the step well.
    pub fn done(mut self, result: impl AsRef<str>) {
        self.end("ok", result.as_ref());
    }

    fn end(&mut self, mark: &str, result: &str) {
        self.ended = true;
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
        if self.quiet {
            return;
        }
        let colon = if result.is_empty() { "" } else { ": " };
        let seconds = self.began.elapsed().as_secs_f64();
        note(format!("  {mark} {}{colon}{result} ({seconds:.1} s)", self.title));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.ended {
            self.end("!!", "failed");
        }
    }
}
