//! What each `ErrorReason` means, read from the contract's options when the crate is built.

use crate::common::v1::ErrorReason;

/// What an error reason declares about itself in the contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared {
    /// The word callers see in `google.rpc.ErrorInfo.reason`: `OUT_OF_STOCK`.
    pub word: &'static str,
    pub code: tonic::Code,
    /// HTTP status of the REST face.
    pub http_status: u16,
    /// What a buyer is told, in English.
    pub en: &'static str,
    /// What a buyer is told, in simplified Chinese.
    pub zh_cn: &'static str,
}

/// Each with its number, in the order of the numbers. They have gaps: several people take numbers at once, and numbers are never
/// used again.
const DECLARED: &[(i32, Declared)] = &include!(concat!(env!("OUT_DIR"), "/reasons.rs"));

impl ErrorReason {
    /// The declaration of this reason; `UNSPECIFIED` means what `INTERNAL` means.
    #[must_use]
    pub fn declared(self) -> &'static Declared {
        let number = (self as i32).max(ErrorReason::Internal as i32);
        let at = DECLARED.binary_search_by_key(&number, |(number, _)| *number).unwrap_or(0);
        &DECLARED[at].1
    }

    /// What every reason declares, in the order of their numbers.
    pub fn every() -> impl Iterator<Item = &'static Declared> {
        DECLARED.iter().map(|(_, declared)| declared)
    }

    /// The reason with this word, as it stands in an `ErrorInfo`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let (number, _) = DECLARED.iter().find(|(_, declared)| declared.word == word)?;
        ErrorReason::try_from(*number).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_at_its_own_number() {
        assert_eq!(DECLARED[0].0, ErrorReason::Internal as i32);
        assert!(DECLARED.is_sorted_by(|(one, _), (next, _)| one < next));
        for (number, declared) in DECLARED {
            let reason = ErrorReason::try_from(*number).unwrap();
            assert_eq!(reason.as_str_name(), format!("ERROR_REASON_{}", declared.word));
            assert_eq!(reason.declared(), declared);
            assert_eq!(ErrorReason::from_word(declared.word), Some(reason));
        }
    }
}
