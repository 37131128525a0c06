//! A history as a failure prints it.

use std::fmt;

use super::{Answer, Life, Standing};

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Order(view) => {
                let Standing { state, payment, stock } = view.standing;
                write!(
                    f,
                    "v{} {state:?} {payment:?} {stock:?} {:?}, total {}, back {}",
                    view.version, view.end_reason, view.total, view.refunded
                )?;
                for (id, parcel) in &view.parcels {
                    write!(f, ", parcel {id} {}", if parcel.arrived { "there" } else { "away" })?;
                }
                view.backs
                    .values()
                    .try_for_each(|back| write!(f, ", return {} {:?} {:?}", back.id, back.state, back.refund))
            }
            Answer::CameBack { payment, amount } => write!(f, "{amount} came back to {payment}"),
            Answer::Back(back) => write!(f, "return {:?} {:?}", back.state, back.refund),
            Answer::Refused { reason, facts } => write!(f, "{reason} {facts:?}"),
            Answer::Unknown(why) => write!(f, "unknown: {why}"),
        }
    }
}

impl fmt::Display for Life {
    /// A line a call, with microseconds since the first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let began = self.calls.first().map_or(0, |call| call.begun);
        let id = self.last().map(|view| view.id);
        writeln!(f, "---- history {} of {}: {id:?}", self.number, self.buyer)?;
        for call in &self.calls {
            let again = if call.again { " again" } else { "" };
            let (begun, ended) = (call.begun - began, call.ended - began);
            writeln!(
                f,
                "{begun:>9}..{ended:<9} #{} {:?}{again} -> {}",
                call.process, call.call, call.answer
            )?;
        }
        Ok(())
    }
}
