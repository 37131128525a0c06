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

/// In the order of the enum's numbers, from 1 and without gaps (a test holds that).
const DECLARED: &[Declared] = &include!(concat!(env!("OUT_DIR"), "/reasons.rs"));

impl ErrorReason {
    /// The declaration of this reason; `UNSPECIFIED` means what `INTERNAL` means.
    #[must_use]
    pub fn declared(self) -> &'static Declared {
        let number = (self as i32).max(ErrorReason::Internal as i32);
        DECLARED.get(usize::try_from(number - 1).unwrap_or(0)).unwrap_or(&DECLARED[0])
    }

    /// The reason with this word, as it stands in an `ErrorInfo`.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        let at = DECLARED.iter().position(|d| d.word == word)?;
        ErrorReason::try_from(i32::try_from(at).ok()? + 1).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_stands_at_its_own_number() {
        for (at, declared) in DECLARED.iter().enumerate() {
            let reason = ErrorReason::try_from(i32::try_from(at).unwrap() + 1).unwrap();
            assert_eq!(reason.as_str_name(), format!("ERROR_REASON_{}", declared.word));
            assert_eq!(reason.declared(), declared);
            assert_eq!(ErrorReason::from_word(declared.word), Some(reason));
        }
        assert!(ErrorReason::try_from(i32::try_from(DECLARED.len()).unwrap() + 1).is_err());
    }
}
