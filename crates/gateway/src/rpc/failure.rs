//! Why a call of JSON-RPC has no result: its code by the specification, and our refusal as it is written on every face.

use http::HeaderValue;
use stampede_proto::common::v1::ErrorReason;
use tonic::Status;

use crate::errors::{Errors, Language, Problem, refusal};

/// Of the specification.
pub(super) const PARSE_ERROR: i32 = -32700;
pub(super) const INVALID_REQUEST: i32 = -32600;
pub(super) const METHOD_NOT_FOUND: i32 = -32601;
pub(super) const INVALID_PARAMS: i32 = -32602;
pub(super) const INTERNAL_ERROR: i32 = -32603;
/// Every other gRPC code counts down from here: NOT_FOUND, 5, is -32005.
const SERVER_ERROR: i32 = -32000;

/// Why a call has no result.
pub(super) struct Failure {
    pub code: i32,
    pub problem: Problem,
}

impl From<Problem> for Failure {
    fn from(problem: Problem) -> Self {
        Failure { code: code_of(problem.status()), problem }
    }
}

pub(super) fn invalid(code: i32, text: impl Into<String>) -> Failure {
    Failure { code, problem: refusal(ErrorReason::InvalidArgument, text).into() }
}

impl Failure {
    /// The answer to a call that failed, and when to try again; of one that cannot even be named the id is null.
    pub(super) fn written(
        &self,
        errors: &Errors,
        id: Option<&str>,
        language: Language,
    ) -> (Vec<u8>, Option<HeaderValue>) {
        let (told, retry_after) = errors.written(&self.problem, language);
        let message = serde_json::Value::from(self.problem.status().message());
        let (id, code) = (id.unwrap_or("null"), self.code);
        let mut json =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message},"data":"#)
                .into_bytes();
        json.extend_from_slice(&told);
        json.extend_from_slice(b"}}");
        (json, retry_after)
    }
}

fn code_of(status: &Status) -> i32 {
    match status.code() {
        tonic::Code::InvalidArgument => INVALID_PARAMS,
        tonic::Code::Internal => INTERNAL_ERROR,
        tonic::Code::Ok
        | tonic::Code::Cancelled
        | tonic::Code::Unknown
        | tonic::Code::DeadlineExceeded
        | tonic::Code::NotFound
        | tonic::Code::AlreadyExists
        | tonic::Code::PermissionDenied
        | tonic::Code::ResourceExhausted
        | tonic::Code::FailedPrecondition
        | tonic::Code::Aborted
        | tonic::Code::OutOfRange
        | tonic::Code::Unimplemented
        | tonic::Code::Unavailable
        | tonic::Code::DataLoss
        | tonic::Code::Unauthenticated => SERVER_ERROR - status.code() as i32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_number_of_the_specification() {
        assert_eq!(code_of(&Status::invalid_argument("")), INVALID_PARAMS);
        assert_eq!(code_of(&Status::not_found("")), -32005);
        assert_eq!(code_of(&Status::unauthenticated("")), -32016);
    }
}
