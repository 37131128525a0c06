//! Points at which a test may have the process die, as surely as by kill -9. In a release build nothing of it exists: the
//! setting is unknown and every point is empty.

use stampede_kit::config::Reader;

use crate::domain::saga::Action;

/// A place between two things that must both happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrashPoint {
    /// The stock is held and no order is written.
    AfterReserve,
    /// The order is committed and the buyer has no answer.
    AfterInsert,
    /// The payment's saga is committed and nothing was asked yet.
    AfterPayBegun,
    /// The cancel's saga is committed and nothing was asked yet.
    AfterCancelBegun,
    /// The return's saga is committed and nothing was asked yet.
    AfterReturnReceived,
    /// The peer has not been asked.
    Before(Action),
    /// The peer has done it and we have not written so.
    After(Action),
    /// It is written and the next step has not begun.
    Written(Action),
    /// The same of late money.
    BeforeLate(Late),
    AfterLate(Late),
    WrittenLate(Late),
}

/// What is done with late money.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Late {
    /// The stock is held once more.
    Hold,
    /// The money goes back.
    Back,
}

/// The one point at which this process dies, if any.
#[derive(Debug, Clone, Copy, Default)]
pub struct CrashAt {
    #[cfg(debug_assertions)]
    point: Option<CrashPoint>,
}

#[cfg(debug_assertions)]
impl CrashAt {
    pub fn read(reader: &mut Reader) -> Self {
        Self { point: reader.optional("crash_at") }
    }

    pub fn reached(self, point: CrashPoint) {
        if self.point == Some(point) {
            tracing::error!(?point, "crashing here, as asked by crash_at");
            std::process::abort();
        }
    }
}

#[cfg(not(debug_assertions))]
impl CrashAt {
    pub fn read(_: &mut Reader) -> Self {
        Self {}
    }

    #[inline]
    pub fn reached(self, _: CrashPoint) {}
}

#[cfg(debug_assertions)]
impl stampede_kit::config::Setting for CrashPoint {
    const EXPECTED: &'static str = "after_reserve, after_insert, after_pay_begun, after_cancel_begun, after_return_received, or \
                                    before_, after_ or written_ with authorize, commit, capture, capture_shipment, void, release, refund, \
                                    return, return_refund, restock, close_return, late_hold or late_back";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "after_reserve" => return Some(Self::AfterReserve),
            "after_insert" => return Some(Self::AfterInsert),
            "after_pay_begun" => return Some(Self::AfterPayBegun),
            "after_return_received" => return Some(Self::AfterReturnReceived),
            "after_cancel_begun" => return Some(Self::AfterCancelBegun),
            _ => {}
        }
        let (when, action) = text.split_once('_')?;
        let late = match action {
            "late_hold" => Some(Late::Hold),
            "late_back" => Some(Late::Back),
            _ => None,
        };
        if let Some(late) = late {
            return match when {
                "before" => Some(Self::BeforeLate(late)),
                "after" => Some(Self::AfterLate(late)),
                "written" => Some(Self::WrittenLate(late)),
                _ => None,
            };
        }
        let action = match action {
            "authorize" => Action::Authorize,
            "commit" => Action::Commit,
            "capture" => Action::Capture,
            "capture_shipment" => Action::CaptureShipment,
            "void" => Action::Void,
            "release" => Action::Release,
            "refund" => Action::Refund,
            "return" => Action::Return,
            "return_refund" => Action::ReturnRefund,
            "restock" => Action::Restock,
            "close_return" => Action::CloseReturn,
            _ => return None,
        };
        match when {
            "before" => Some(Self::Before(action)),
            "after" => Some(Self::After(action)),
            "written" => Some(Self::Written(action)),
            _ => None,
        }
    }
}

#[cfg(all(test, debug_assertions))]
mod tests {
    use stampede_kit::config::Setting as _;

    use super::*;

    #[test]
    fn points_are_named_by_when_and_what() {
        assert_eq!(CrashPoint::parse("after_reserve"), Some(CrashPoint::AfterReserve));
        assert_eq!(CrashPoint::parse("before_capture"), Some(CrashPoint::Before(Action::Capture)));
        assert_eq!(CrashPoint::parse("written_return"), Some(CrashPoint::Written(Action::Return)));
        assert_eq!(CrashPoint::parse("after_late_back"), Some(CrashPoint::AfterLate(Late::Back)));
        assert_eq!(CrashPoint::parse("after_lunch"), None);
    }
}
