//! What is fuzzed, and what must hold for every input.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use prost_reflect::{DynamicMessage, SerializeOptions};
use stampede_transcode::{ErrorKind, Found, RequestOptions, ResponseOptions, TranscodeError};

use crate::oracle::judge::{as_json, oracle_reads, taken_on_purpose, tame};
use crate::support::{POOL, ROUTER, schema};

#[derive(Clone, Copy, Debug)]
pub enum Target {
    /// The message's name, a line end, JSON.
    Json,
    /// The message's name, a line end, wire bytes.
    Wire,
    /// HTTP method, path and query, a line end, the body.
    Route,
}

fn files(folder: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(folder);
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).into_iter().flatten().map(|e| e.unwrap().path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).unwrap()).collect()
}

fn hash(of: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    of.hash(&mut hasher);
    hasher.finish()
}

/// Of an error its kind and its sentence, without what the caller wrote.
fn error_hash(error: &TranscodeError) -> u64 {
    hash((error.kind as u8, error.message.split('"').next(), error.path.matches('.').count()))
}

fn split(input: &[u8]) -> (&str, &[u8]) {
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    (std::str::from_utf8(&input[..end]).unwrap_or_default(), input.get(end + 1..).unwrap_or_default())
}

impl Target {
    pub fn corpus(self) -> Vec<Vec<u8>> {
        match self {
            Self::Json => files("json"),
            Self::Wire => {
                let encoded = |file: Vec<u8>| {
                    let (name, json) = split(&file);
                    let mut input = format!("{name}\n").into_bytes();
                    let id = schema().message(name).unwrap();
                    schema().to_wire(id, json, &RequestOptions::default(), &mut input).ok()?;
                    Some(input)
                };
                files("json").into_iter().filter_map(encoded).chain(files("wire")).collect()
            }
            Self::Route => files("route"),
        }
    }

    /// Panics when a promise is broken. The number tells one kind of outcome from another.
    pub fn check(self, input: &[u8]) -> u64 {
        let (head, rest) = split(input);
        match self {
            Self::Json => json(head, rest),
            Self::Wire => wire(head, rest),
            Self::Route => route(head, rest),
        }
    }
}

fn json(name: &str, json: &[u8]) -> u64 {
    let (Some(id), Some(descriptor)) = (schema().message(name), POOL.get_message_by_name(name)) else {
        return 0;
    };
    let mut wire = Vec::new();
    if let Err(error) = schema().to_wire(id, json, &RequestOptions::default(), &mut wire) {
        assert!(wire.is_empty() && error.offset.is_none_or(|offset| offset <= json.len()));
        return error_hash(&error);
    }
    let read = DynamicMessage::decode(descriptor.clone(), wire.as_slice()).unwrap();
    match oracle_reads(&descriptor, std::str::from_utf8(json).unwrap()) {
        Ok(theirs) => assert_eq!(tame(as_json(&read, true)), tame(as_json(&theirs, true))),
        Err(error) => assert!(taken_on_purpose(&error), "the oracle refuses: {error}"),
    }
    back(name, &wire)
}

fn wire(name: &str, wire: &[u8]) -> u64 {
    if schema().message(name).is_none() { 0 } else { back(name, wire) }
}

/// Wire to JSON as the oracle writes it, and from there to a message that is written the same.
fn back(name: &str, wire: &[u8]) -> u64 {
    let (Some(id), Some(descriptor)) = (schema().message(name), POOL.get_message_by_name(name)) else {
        return 0;
    };
    let mut text = Vec::new();
    if let Err(error) = schema().to_json(id, wire, &ResponseOptions::default(), &mut text) {
        assert!(text.is_empty());
        return error_hash(&error);
    }
    let ours: serde_json::Value = serde_json::from_slice(&text).unwrap();
    if let Ok(message) = DynamicMessage::decode(descriptor, wire) {
        let mut theirs = Vec::new();
        let options = SerializeOptions::new().skip_default_fields(false);
        let written = message.serialize_with_options(&mut serde_json::Serializer::new(&mut theirs), &options);
        // Floats that are no numbers and stand in wrappers are null to the oracle alone.
        if written.is_ok() && !text.windows(5).any(|window| window == b"\"NaN\"" || window == b"finit") {
            let theirs: serde_json::Value = serde_json::from_slice(&theirs).unwrap();
            assert_eq!(tame(ours), tame(theirs));
        }
    }
    let (mut again, mut twice) = (Vec::new(), Vec::new());
    match schema().to_wire(id, &text, &RequestOptions::default(), &mut again) {
        Ok(()) => {
            schema().to_json(id, &again, &ResponseOptions::default(), &mut twice).unwrap();
            assert_eq!(String::from_utf8_lossy(&text), String::from_utf8_lossy(&twice));
        }
        // An Any of a type nobody knows is shown and cannot be read; what the wire nests deeper than text is not either.
        Err(error) => {
            let shown_only = [ErrorKind::Unsupported, ErrorKind::TooDeep, ErrorKind::WrongType];
            assert!(shown_only.contains(&error.kind), "{error}");
        }
    }
    let shape: Vec<u8> =
        text.iter().copied().filter(|byte| matches!(byte, b'{' | b'[' | b'"' | b'-')).collect();
    hash((name, shape))
}

fn route(head: &str, body: &[u8]) -> u64 {
    let (method, target) = head.split_once(' ').unwrap_or_default();
    let (path, query) = target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)));
    let Ok(method) = method.parse() else { return 1 };
    let found = match ROUTER.find(&method, path) {
        Found::Match(found) => found,
        Found::NotFound => return 2,
        Found::MethodNotAllowed { allow } => return hash(allow),
    };
    let mut wire = Vec::new();
    match found.request(query, body, &RequestOptions::default(), &mut wire) {
        Err(error) => {
            assert!(wire.is_empty());
            hash((found.route.index(), error_hash(&error)))
        }
        Ok(()) => {
            let input = found.route.descriptor().input();
            DynamicMessage::decode(input.clone(), wire.as_slice()).unwrap();
            found.variables().unwrap();
            hash((found.route.index(), back(input.full_name(), &wire)))
        }
    }
}
