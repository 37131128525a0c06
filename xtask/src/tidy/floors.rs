//! Which crate may import which: the floors of ARCHITECTURE.md, held against `cargo metadata`. A new crate is refused
//! until it has a floor here.

use cargo_metadata::{DependencyKind, Metadata};

/// One import: who, whom, and whether it is for tests only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edge {
    pub from: String,
    pub to: String,
    pub tests_only: bool,
}

/// What each crate may import from the house, in its shipped code and, on top of that, in its tests.
struct Floor {
    name: &'static str,
    ships_with: &'static [&'static str],
    tests_with: &'static [&'static str],
}

const SERVICE: &[&str] = &["stampede-types", "stampede-proto", "stampede-kit"];
const GATEWAY: &[&str] = &["stampede-types", "stampede-proto", "stampede-kit", "stampede-transcode"];
// The gateway's library is asked for the OpenAPI document alone; processes are started from their binaries.
const TOOLS: &[&str] = &[
    "stampede-types",
    "stampede-proto",
    "stampede-kit",
    "stampede-pki",
    "stampede-transcode",
    "stampede-gateway",
];
const ALL: &[&str] = &[
    "stampede-types",
    "stampede-proto",
    "stampede-kit",
    "stampede-transcode",
    "stampede-pki",
    "stampede-order",
    "stampede-inventory",
    "stampede-payment",
    "stampede-gateway",
    "stampede-psp-simulator",
    "xtask",
];

const fn floor(
    name: &'static str,
    ships_with: &'static [&'static str],
    tests_with: &'static [&'static str],
) -> Floor {
    Floor { name, ships_with, tests_with }
}

const FLOORS: &[Floor] = &[
    floor("stampede-types", &[], &[]),
    // Its build script checks the routes.
    floor("stampede-proto", &["stampede-types", "stampede-transcode"], &[]),
    floor("stampede-kit", &["stampede-types"], &["stampede-pki"]),
    floor("stampede-transcode", &[], &[]),
    floor("stampede-transcode-bench", &["stampede-transcode"], &[]),
    floor("stampede-pki", &[], &[]),
    floor("stampede-order", SERVICE, &["stampede-pki"]),
    floor("stampede-inventory", SERVICE, &["stampede-pki"]),
    floor("stampede-payment", SERVICE, &["stampede-pki"]),
    floor("stampede-gateway", GATEWAY, &["stampede-pki"]),
    floor("stampede-psp-simulator", &["stampede-types", "stampede-kit"], &[]),
    floor("xtask", TOOLS, &[]),
    floor("stampede-e2e", &[], ALL),
];

/// Every import between crates of the workspace.
pub fn edges(metadata: &Metadata) -> Vec<Edge> {
    let members: Vec<_> = metadata.workspace_packages();
    let names: Vec<String> = members.iter().map(|p| p.name.to_string()).collect();
    let mut edges = Vec::new();
    for package in members {
        // A crate without imports still needs a floor.
        edges.push(Edge { from: package.name.to_string(), to: package.name.to_string(), tests_only: true });
        for dependency in package.dependencies.iter().filter(|d| names.contains(&d.name)) {
            edges.push(Edge {
                from: package.name.to_string(),
                to: dependency.name.clone(),
                tests_only: dependency.kind == DependencyKind::Development,
            });
        }
    }
    edges
}

/// One sentence for each import that no floor allows.
pub fn complaints(edges: &[Edge]) -> Vec<String> {
    edges.iter().filter_map(complaint).collect()
}

fn complaint(edge: &Edge) -> Option<String> {
    let Edge { from, to, tests_only } = edge;
    let Some(floor) = FLOORS.iter().find(|f| f.name == from) else {
        return Some(format!(
            "crate `{from}` has no floor: give it one in xtask/src/tidy/floors.rs, with its reason"
        ));
    };
    let listed = |list: &[&str]| list.contains(&to.as_str());
    if from == to || listed(floor.ships_with) || (*tests_only && listed(floor.tests_with)) {
        return None;
    }
    let hint = if listed(floor.tests_with) { " in shipped code (its tests may)" } else { "" };
    Some(format!(
        "`{from}` may not import `{to}`{hint}: it may import {}",
        if floor.ships_with.is_empty() {
            "nothing of the house".to_owned()
        } else {
            floor.ships_with.join(", ")
        }
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edge(from: &str, to: &str, tests_only: bool) -> Edge {
        Edge { from: from.into(), to: to.into(), tests_only }
    }

    #[test]
    fn services_never_import_each_other_not_even_in_tests() {
        for tests_only in [false, true] {
            let said = complaints(&[edge("stampede-order", "stampede-inventory", tests_only)]);
            assert_eq!(said.len(), 1);
            assert!(said[0].starts_with("`stampede-order` may not import `stampede-inventory`"), "{said:?}");
        }
    }

    #[test]
    fn the_development_ca_never_ships() {
        assert_eq!(complaints(&[edge("stampede-kit", "stampede-pki", true)]), Vec::<String>::new());
        assert_eq!(complaints(&[edge("stampede-kit", "stampede-pki", false)]).len(), 1);
    }

    #[test]
    fn a_crate_without_a_floor_is_refused() {
        assert!(complaints(&[edge("stampede-new", "stampede-new", true)])[0].contains("has no floor"));
    }
}
