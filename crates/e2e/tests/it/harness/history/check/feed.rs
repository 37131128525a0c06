//! The feed: its sequences and versions never fall, whoever serves it; every level it told was true at its version; and in the
//! end it has told the last of each. Levels in answers are held to the same.

use std::collections::BTreeMap;

use super::super::books::Books;
use super::super::record::{Answer, Cell, History, Level};

pub fn broken(history: &History, books: &Books) -> Vec<String> {
    let states = states(books);
    let mut broken = Vec::new();
    let mut last: BTreeMap<&Cell, &Level> = BTreeMap::new();
    let mut sequence = 0;
    for heard in &history.heard {
        if heard.sequence < sequence {
            broken.push(format!("feed: {} came after {sequence} on stream {}", heard.sequence, heard.stream));
        }
        sequence = heard.sequence;
        for level in &heard.levels {
            broken.extend(untrue(level, &states));
            if let Some(before) =
                last.insert(&level.cell, level).filter(|before| before.version > level.version)
            {
                broken.push(format!("feed: {level:?} came after {before:?}"));
            }
        }
    }
    for (cell, level) in &books.levels {
        let told = last.get(cell);
        if told.is_some_and(|told| *told != level) || (told.is_none() && !history.heard.is_empty()) {
            broken.push(format!("feed: the last told is {told:?}, the ledger has {level:?}"));
        }
    }
    for call in &history.calls {
        if let Answer::Levels(levels) = &call.answer {
            broken.extend(levels.iter().filter_map(|level| untrue(level, &states)));
        }
    }
    broken
}

/// On hand, held and committed behind every movement of a cell.
type States<'a> = BTreeMap<(&'a Cell, i64), (i64, i64, i64)>;

fn states(books: &Books) -> States<'_> {
    let mut now: BTreeMap<&Cell, (i64, i64, i64)> = BTreeMap::new();
    let mut states = States::new();
    for movement in &books.movements {
        let state = now.entry(&movement.cell).or_default();
        state.0 += movement.on_hand;
        state.1 += movement.held;
        state.2 += movement.committed;
        states.insert((&movement.cell, movement.sequence), *state);
    }
    states
}

fn untrue(level: &Level, states: &States<'_>) -> Option<String> {
    let was = states.get(&(&level.cell, level.version)).copied();
    let told = (level.on_hand, level.held, level.committed);
    let adds_up = level.on_hand == level.free + level.held + level.committed;
    (was != Some(told) || !adds_up)
        .then(|| format!("feed: {level:?} was told, but the movements say {was:?}"))
}

#[cfg(test)]
mod tests {
    use super::super::super::record::Heard;
    use super::super::example::Example;
    use super::*;

    fn broken_in(example: &Example) -> Vec<String> {
        broken(&example.history, &example.books)
    }

    fn example() -> Example {
        let mut example = Example::with(5, None);
        let id = example.reserves("alice", 2, 10);
        example.commits(id, 20);
        assert_eq!(broken_in(&example), Vec::<String>::new());
        example
    }

    #[test]
    fn a_sequence_that_falls_is_seen() {
        let mut example = example();
        example.history.heard.push(Heard { stream: 1, sequence: 1, levels: Vec::new() });
        assert!(broken_in(&example)[0].contains("came after 3"));
    }

    #[test]
    fn an_older_level_after_a_newer_one_is_seen() {
        let mut example = example();
        let old = example.history.heard[1].levels.clone();
        example.history.heard.push(Heard { stream: 1, sequence: 9, levels: old });
        assert!(broken_in(&example)[0].contains("came after Level"));
    }

    #[test]
    fn a_reader_that_missed_the_last_change_is_seen() {
        let mut example = example();
        example.history.heard.pop();
        assert!(broken_in(&example)[0].contains("the last told"));
    }

    #[test]
    fn a_level_that_never_was_is_seen() {
        let mut example = example();
        example.history.heard[1].levels[0].held = 3;
        assert!(broken_in(&example)[0].contains("the movements say"));
    }
}
