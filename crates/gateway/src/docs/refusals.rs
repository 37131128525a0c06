//! Which refusals an RPC is documented with: what the edge may say to any caller, and the reasons that the contract's comments
//! on the RPC and its request name. A word in a comment counts when it is one of the contract's reasons.

use std::collections::{BTreeMap, BTreeSet};

use kit::contract::{Idempotency, Method};
use prost_reflect::{FileDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};
use stampede_kit as kit;
use stampede_proto::Declared;
use stampede_proto::common::v1::ErrorReason;
use stampede_transcode as transcode;
use transcode::Route;
use transcode::openapi::ErrorResponse;

use super::document::{RETRY_AFTER, WWW_AUTHENTICATE};
use crate::targets::Entry;

/// Requests within requests that are read for words.
const MAX_DEPTH: usize = 6;
/// What the edge may say whatever is called.
const ANYWHERE: [ErrorReason; 6] = [
    ErrorReason::NotAcceptable,
    ErrorReason::InvalidArgument,
    ErrorReason::RateLimited,
    ErrorReason::Overloaded,
    ErrorReason::Unavailable,
    ErrorReason::DeadlineExceeded,
];
/// Why a token is not taken, and that it does not grant the permission.
const TOKEN: [ErrorReason; 6] = [
    ErrorReason::TokenMissing,
    ErrorReason::TokenInvalid,
    ErrorReason::TokenExpired,
    ErrorReason::TokenIssuer,
    ErrorReason::TokenAudience,
    ErrorReason::PermissionDenied,
];
const BODY: [ErrorReason; 2] = [ErrorReason::MessageTooLarge, ErrorReason::MediaType];
const KEY: [ErrorReason; 3] =
    [ErrorReason::IdempotencyKeyMissing, ErrorReason::IdempotencyKeyReused, ErrorReason::IdempotencyInFlight];

/// A refusal of a reason as its caller reads it.
pub(super) fn example(reason: &Declared) -> Value {
    json!({ "value": {
        "code": reason.code as i32,
        "message": reason.en,
        "details": [
            { "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": reason.word, "domain": kit::refusal::DOMAIN },
            { "@type": "type.googleapis.com/google.rpc.LocalizedMessage", "locale": "en", "message": reason.en },
        ],
    } })
}

/// The documented refusals of an RPC, one entry for each HTTP status.
pub(super) fn of(method: &Method, route: &Route, entry: Entry) -> Vec<ErrorResponse> {
    let mut by_status: BTreeMap<u16, Vec<&'static Declared>> = BTreeMap::new();
    let mut add = |reason: &'static Declared| {
        let listed = by_status.entry(reason.http_status).or_default();
        if !listed.contains(&reason) {
            listed.push(reason);
        }
    };
    edge(method, route, entry).into_iter().map(ErrorReason::declared).for_each(&mut add);
    named(method).into_iter().for_each(&mut add);
    let mut answers: Vec<_> =
        by_status.iter().map(|(status, reasons)| answer(*status, reasons, method)).collect();
    answers.extend(transport(route));
    answers
}

fn edge(method: &Method, route: &Route, entry: Entry) -> Vec<ErrorReason> {
    let mut reasons = ANYWHERE.to_vec();
    match entry {
        Entry::Token => reasons.extend(TOKEN),
        // A token is not asked for, but one that comes has to be good.
        Entry::Open => reasons.extend(&TOKEN[..TOKEN.len() - 1]),
        Entry::Closed => reasons.push(ErrorReason::PeerNotAllowed),
    }
    if route.takes_body() {
        reasons.extend(BODY);
    }
    if method.calling.idempotency == Idempotency::ByKey {
        reasons.extend(KEY);
    }
    if method.calling.planned {
        reasons.push(ErrorReason::NotImplemented);
    }
    reasons
}

/// Refusals whose status is not the one of their reason, and what the connection answers before the request is known.
fn transport(route: &Route) -> Vec<ErrorResponse> {
    let headers = ErrorResponse {
        status: 431,
        description: "The request's headers are larger or more than the limit.".to_owned(),
        bare: true,
        ..ErrorResponse::default()
    };
    let slow = route.takes_body().then(|| ErrorResponse {
        status: 408,
        description: "`DEADLINE_EXCEEDED`: the body took longer to arrive than the limit.".to_owned(),
        ..ErrorResponse::default()
    });
    slow.into_iter().chain([headers]).collect()
}

fn answer(status: u16, reasons: &[&'static Declared], method: &Method) -> ErrorResponse {
    let mut text: String =
        reasons.iter().map(|reason| format!("- `{}`: {}\n", reason.word, reason.en)).collect();
    if status == ErrorReason::PermissionDenied.declared().http_status {
        text += &format!("\nThe permission is `{}`.", method.access.permission);
    }
    if status == ErrorReason::DeadlineExceeded.declared().http_status {
        text += &format!("\nThe deadline is {} s.", method.calling.deadline.as_secs_f64());
    }
    let headers = match status {
        401 => vec![WWW_AUTHENTICATE.to_owned()],
        429 | 503 => vec![RETRY_AFTER.to_owned()],
        _ => Vec::new(),
    };
    let examples = reasons.iter().map(|reason| reason.word.to_owned()).collect();
    ErrorResponse { status, description: text.trim_end().to_owned(), headers, examples, bare: false }
}

/// The reasons that comments name: on the RPC, on its request, on the request's fields.
fn named(method: &Method) -> Vec<&'static Declared> {
    let descriptor = &method.descriptor;
    let mut words = Words::default();
    words.read(&descriptor.parent_file(), descriptor.path());
    words.message(&descriptor.input(), 0);
    ErrorReason::every().filter(|reason| words.found.contains(reason.word)).collect()
}

#[derive(Default)]
struct Words {
    found: BTreeSet<String>,
    seen: BTreeSet<String>,
}

impl Words {
    fn message(&mut self, message: &MessageDescriptor, depth: usize) {
        if depth > MAX_DEPTH || !self.seen.insert(message.full_name().to_owned()) {
            return;
        }
        self.read(&message.parent_file(), message.path());
        for field in message.fields() {
            self.read(&message.parent_file(), field.path());
            if let Kind::Message(inner) = field.kind() {
                self.message(&inner, depth + 1);
            }
        }
    }

    /// The comment at a path, word by word.
    fn read(&mut self, file: &FileDescriptor, path: &[i32]) {
        let Some(info) = &file.file_descriptor_proto().source_code_info else { return };
        for location in info.location.iter().filter(|location| location.path == path) {
            let is_word =
                |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
            let words = location.leading_comments().split(|letter| !is_word(letter));
            self.found.extend(words.filter(|word| !word.is_empty()).map(str::to_owned));
        }
    }
}
