//! Where two documents differ, as JSON pointers (RFC 6901). The order of members means nothing.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// One line for each place; empty when both say the same.
pub fn between(kept: &Value, made: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare("", kept, made, &mut found);
    found
}

fn compare(at: &str, kept: &Value, made: &Value, found: &mut Vec<String>) {
    match (kept, made) {
        (Value::Object(old), Value::Object(new)) => {
            let names: BTreeSet<_> = old.keys().chain(new.keys()).collect();
            for name in names {
                let at = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
                one(&at, old.get(name), new.get(name), found);
            }
        }
        (Value::Array(old), Value::Array(new)) => {
            for index in 0..old.len().max(new.len()) {
                one(&format!("{at}/{index}"), old.get(index), new.get(index), found);
            }
        }
        (kept, made) if kept == made => {}
        (_, _) => found.push(format!("{at}: it says otherwise")),
    }
}

fn one(at: &str, kept: Option<&Value>, made: Option<&Value>, found: &mut Vec<String>) {
    match (kept, made) {
        (Some(kept), Some(made)) => compare(at, kept, made, found),
        (Some(_), None) => found.push(format!("{at}: the contract no longer has it")),
        (None, Some(_)) => found.push(format!("{at}: it is missing")),
        (None, None) => {}
    }
}

/// The same with every object's members in alphabetical order, so that a change of the contract is a small change of the
/// file.
pub fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let members: BTreeMap<_, _> =
                members.iter().map(|(name, value)| (name.clone(), sorted(value))).collect();
            Value::Object(members.into_iter().collect())
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_place_that_differs_is_named_and_the_order_of_members_is_none() {
        let kept = json!({ "a": 1, "paths": { "/v1/x": { "get": [1, 2] }, "/v1/old": {} } });
        let made = json!({ "paths": { "/v1/x": { "get": [1, 3, 4] }, "/v1/new": {} }, "a": 1 });

        let found = between(&kept, &made);

        let expected = [
            "/paths/~1v1~1new: it is missing",
            "/paths/~1v1~1old: the contract no longer has it",
            "/paths/~1v1~1x/get/1: it says otherwise",
            "/paths/~1v1~1x/get/2: it is missing",
        ];
        assert_eq!(found, expected);
        assert_eq!(between(&kept, &sorted(&kept)), Vec::<String>::new());
    }
}
