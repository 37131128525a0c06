//! What is wrong with the settings, one line each, for the person who has to put it right.

use std::fmt;

/// One thing to put right: where it is, what was expected, what was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The variable, and the key in the file when there is one.
    pub place: String,
    pub complaint: String,
}

/// Everything that is wrong, in the order it was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    pub(super) fn push(&mut self, place: String, complaint: String) {
        let problem = Problem { place, complaint };
        // A key may be read by two readers (telemetry and the service): it is wrong once.
        if !self.0.contains(&problem) {
            self.0.push(problem);
        }
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration has {} problem(s):", self.0.len())?;
        for Problem { place, complaint } in &self.0 {
            write!(f, "\n  {place}: {complaint}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}
