//! The tables of legal steps as Mermaid state diagrams, for ARCHITECTURE.md. Drawn from the tables and from nothing else; the
//! test below fails when the page shows something else.

use std::fmt::{Display, Write as _};

use super::returns::{RETURNS, ReturnState};
use super::state::{FULFILMENT, FulfilmentState, OrderState, Steps, TRANSITIONS};

/// The diagrams of an order, of the warehouse's side and of a return, as Markdown.
#[must_use]
pub fn page() -> String {
    let order = draw(TRANSITIONS, OrderState::AwaitingPayment);
    let fulfilment = draw(FULFILMENT, FulfilmentState::None);
    let returns = draw(RETURNS, ReturnState::Requested);
    format!("An order:\n\n{order}\nThe warehouse's side of it:\n\n{fulfilment}\nA return:\n\n{returns}")
}

/// Where it begins, each step once in the table's order, and where it ends: the states without a way out.
fn draw<S: Copy + PartialEq + Display, E: Display>(table: &Steps<S, E>, first: S) -> String {
    let mut text = format!("```mermaid\nstateDiagram-v2\n    [*] --> {first}\n");
    for (from, by, to) in table {
        writeln!(text, "    {from} --> {to}: {by}").expect("text grows");
    }
    let mut ends: Vec<S> = Vec::new();
    for (_, _, to) in table {
        let goes_on = table.iter().any(|(from, _, _)| from == to);
        if !goes_on && !ends.contains(to) {
            ends.push(*to);
        }
    }
    for end in ends {
        writeln!(text, "    {end} --> [*]").expect("text grows");
    }
    text + "```\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const BEGIN: &str = "<!-- drawn by crates/order/src/domain/diagram.rs: begin -->\n";
    const END: &str = "<!-- drawn by crates/order/src/domain/diagram.rs: end -->\n";

    fn architecture() -> std::path::PathBuf {
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../ARCHITECTURE.md")
    }

    /// The page with what is between the marks replaced by the drawing.
    fn redrawn(text: &str) -> String {
        let (before, rest) = text.split_once(BEGIN).expect("ARCHITECTURE.md has the first mark");
        let (_, after) = rest.split_once(END).expect("ARCHITECTURE.md has the second mark");
        format!("{before}{BEGIN}\n{}\n{END}{after}", page())
    }

    #[test]
    #[expect(clippy::disallowed_methods, reason = "read by whoever renews the page; no service reads it")]
    fn the_documentation_shows_the_states_that_the_code_has() {
        let written = std::fs::read_to_string(architecture()).unwrap();
        let drawn = redrawn(&written);
        if std::env::var_os("RENEW_DOCS").is_some() {
            std::fs::write(architecture(), drawn).unwrap();
            return;
        }
        assert!(
            written == drawn,
            "ARCHITECTURE.md shows other states; renew it: RENEW_DOCS=1 cargo test -p stampede-order the_documentation"
        );
    }

    #[test]
    fn a_diagram_has_every_step_its_beginning_and_its_ends() {
        let drawn = draw(RETURNS, ReturnState::Requested);
        assert_eq!(drawn.matches(" --> ").count(), RETURNS.len() + 3, "{drawn}");
        for line in
            ["[*] --> REQUESTED", "APPROVED --> RECEIVED: RECEIVE", "REFUNDED --> [*]", "REJECTED --> [*]"]
        {
            assert!(drawn.lines().any(|drawn| drawn.trim() == line), "{line}");
        }
    }
}
