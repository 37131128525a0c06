//! Reads settings by key and remembers everything that was wrong, so that one start shows all of it.
//! It never stops at the first problem and never shows a secret in a complaint.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Problems, Setting};

/// Where one value came from and what it says.
#[derive(Debug, Clone)]
struct Found {
    text: String,
    in_file: bool,
}

#[derive(Debug)]
pub struct Reader {
    service: &'static str,
    /// `ORDER_`: what this service's variables begin with.
    prefix: String,
    /// The variables that carry the prefix, by full name.
    variables: BTreeMap<String, String>,
    /// The file's leaves, by dotted key.
    file: BTreeMap<String, String>,
    /// Every key that was asked for; what nobody asked for is unknown.
    asked: BTreeSet<String>,
    problems: Problems,
}

/// `<PREFIX>CONFIG` names the file.
const FILE_KEY: &str = "config";

impl Reader {
    /// Reads the process's environment and the file it names.
    pub fn from_process(service: &'static str) -> Self {
        Self::from_variables(
            service,
            std::env::vars_os().filter_map(|(name, value)| {
                // What is not Unicode cannot be a name of ours, and its value is none we could use.
                Some((name.into_string().ok()?, value.into_string().ok()?))
            }),
        )
    }

    /// Settings given as `("tls.cert", "/path")` pairs: for tests and for tools that build a service themselves.
    pub fn from_pairs<K: AsRef<str>, V: Into<String>>(
        service: &'static str,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        let prefix = prefix_of(service);
        let variables: Vec<_> = pairs
            .into_iter()
            .map(|(key, value)| (variable_of(&prefix, key.as_ref()), value.into()))
            .collect();
        Self::from_variables(service, variables)
    }

    fn from_variables(service: &'static str, variables: impl IntoIterator<Item = (String, String)>) -> Self {
        let prefix = prefix_of(service);
        let variables = variables
            .into_iter()
            // An empty variable is an unset one: compose files and shells cannot say it otherwise.
            .filter(|(name, value)| name.starts_with(&prefix) && !value.is_empty())
            .filter(|(name, _)| !is_kubernetes_link(&name[prefix.len()..]))
            .collect();
        let mut reader = Self {
            service,
            prefix,
            variables,
            file: BTreeMap::new(),
            asked: BTreeSet::new(),
            problems: Problems::default(),
        };
        if let Some(path) = reader.optional::<String>(FILE_KEY) {
            reader.read_file(Path::new(&path));
        }
        reader
    }

    pub fn service(&self) -> &'static str {
        self.service
    }

    /// A setting that must be there.
    pub fn required<T: Setting>(&mut self, key: &str) -> Option<T> {
        match self.find(key) {
            Some(found) => self.parse(key, &found),
            None => {
                self.refuse(key, format!("is missing; expected {}", T::EXPECTED));
                None
            }
        }
    }

    /// A setting that may be absent. Malformed is a problem and `None`.
    pub fn optional<T: Setting>(&mut self, key: &str) -> Option<T> {
        let found = self.find(key)?;
        self.parse(key, &found)
    }

    /// A setting with a default.
    pub fn or<T: Setting>(&mut self, key: &str, default: T) -> T {
        self.optional(key).unwrap_or(default)
    }

    /// Adds a problem with a setting that parsed and still cannot be: `refuse("database.connections", "must be 2 or more")`.
    pub fn refuse(&mut self, key: &str, complaint: impl Into<String>) {
        let place = self.place(key);
        self.problems.push(place, complaint.into());
    }

    /// Builds the configuration when nothing was wrong. Call it after the last key was read: what nobody has asked
    /// for by then is unknown.
    pub fn finish<C>(&mut self, build: impl FnOnce() -> Option<C>) -> Result<C, Problems> {
        self.report_unknown();
        if self.problems.0.is_empty() {
            if let Some(built) = build() {
                return Ok(built);
            }
            self.problems.push(self.service.to_owned(), "is incomplete although no key is wrong".to_owned());
        }
        Err(self.problems.clone())
    }

    fn find(&mut self, key: &str) -> Option<Found> {
        self.asked.insert(key.to_owned());
        if let Some(text) = self.variables.get(&variable_of(&self.prefix, key)) {
            return Some(Found { text: text.clone(), in_file: false });
        }
        self.file.get(key).map(|text| Found { text: text.clone(), in_file: true })
    }

    fn parse<T: Setting>(&mut self, key: &str, found: &Found) -> Option<T> {
        let parsed = T::parse(&found.text);
        if parsed.is_none() {
            let origin = if found.in_file { "the file" } else { "the environment" };
            let what = if T::SECRET { "something else".to_owned() } else { format!("{:?}", found.text) };
            self.refuse(key, format!("expected {}, found {what} in {origin}", T::EXPECTED));
        }
        parsed
    }

    fn place(&self, key: &str) -> String {
        let variable = variable_of(&self.prefix, key);
        if key == FILE_KEY { variable } else { format!("{variable} (in the file: {key})") }
    }

    fn read_file(&mut self, path: &Path) {
        let read = std::fs::read_to_string(path).map_err(|error| error.to_string());
        let table = read.and_then(|text| text.parse::<toml::Table>().map_err(|error| error.to_string()));
        match table {
            Ok(table) => flatten("", &table, &mut self.file),
            Err(error) => {
                let complaint = format!("cannot use the file {}: {}", path.display(), error.trim_end());
                self.refuse(FILE_KEY, complaint);
            }
        }
    }

    fn report_unknown(&mut self) {
        let known: BTreeSet<_> = self.asked.iter().map(|key| variable_of(&self.prefix, key)).collect();
        for name in self.variables.keys().filter(|name| !known.contains(*name)) {
            self.problems.push(name.clone(), "is not a setting of this service".to_owned());
        }
        for key in self.file.keys().filter(|key| !self.asked.contains(*key)) {
            self.problems.push(format!("{key} in the file"), "is not a setting of this service".to_owned());
        }
    }
}

fn prefix_of(service: &str) -> String {
    format!("{}_", service.to_uppercase().replace('-', "_"))
}

fn variable_of(prefix: &str, key: &str) -> String {
    format!("{prefix}{}", key.to_uppercase().replace(['.', '-'], "_"))
}

/// Kubernetes puts `ORDER_SERVICE_HOST` and `ORDER_PORT_50051_TCP_ADDR` into every pod beside a Service named `order`;
/// nobody wrote those, so they are not somebody's spelling mistake.
fn is_kubernetes_link(rest: &str) -> bool {
    rest == "PORT"
        || rest == "SERVICE_HOST"
        || rest == "SERVICE_PORT"
        || rest.starts_with("SERVICE_PORT_")
        || rest
            .strip_prefix("PORT_")
            .is_some_and(|port| port.starts_with(|digit: char| digit.is_ascii_digit()))
}

fn flatten(above: &str, table: &toml::Table, into: &mut BTreeMap<String, String>) {
    for (name, value) in table {
        let key = if above.is_empty() { name.clone() } else { format!("{above}.{name}") };
        match value {
            toml::Value::Table(inner) => flatten(&key, inner, into),
            toml::Value::Array(items) => {
                into.insert(key, items.iter().map(text_of).collect::<Vec<_>>().join(","));
            }
            toml::Value::String(_)
            | toml::Value::Integer(_)
            | toml::Value::Float(_)
            | toml::Value::Boolean(_)
            | toml::Value::Datetime(_) => {
                into.insert(key, text_of(value));
            }
        }
    }
}

fn text_of(value: &toml::Value) -> String {
    match value.as_str() {
        Some(text) => text.to_owned(),
        None => value.to_string(),
    }
}

#[cfg(test)]
#[path = "reader_tests.rs"]
mod tests;
