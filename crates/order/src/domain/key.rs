//! Which order an idempotency key belongs to. Its stock is held first, under a name made of buyer and key alone, and the day that hold
//! was made is part of the order's id: every try meets the same hold, hence the same order. It never asks anybody what time it is.

use stampede_types::{OrderId, RequestId};
use time::{Duration, OffsetDateTime};

/// So long after its stock was held an order is found again without asking for the hold. A try that gets as far as the hold finds it
/// for as long as inventory keeps that.
const KEPT: Duration = Duration::hours(24);
/// Clocks of two services are apart by less.
const CLOCKS_APART: Duration = Duration::minutes(1);
const DAY_S: i64 = 86_400;

/// The order of a request whose stock was first held at this instant. `None` before 1970 and after 2149.
pub fn order(request: RequestId, held_at: OffsetDateTime) -> Option<OrderId> {
    day(held_at).map(|day| request.order(day))
}

/// The orders that a request may have made within the time it is kept: one a day, two or three in all.
pub fn orders_before(request: RequestId, now: OffsetDateTime) -> Vec<OrderId> {
    match (day(now - KEPT), day(now + CLOCKS_APART)) {
        (Some(first), Some(last)) => (first..=last).map(|day| request.order(day)).collect(),
        (_, None) | (None, _) => Vec::new(),
    }
}

fn day(at: OffsetDateTime) -> Option<u16> {
    u16::try_from(at.unix_timestamp().div_euclid(DAY_S)).ok()
}

#[cfg(test)]
mod tests {
    use time::macros::datetime;

    use super::*;

    fn request() -> RequestId {
        RequestId::of(&"alice".parse().unwrap(), &"k".parse().unwrap())
    }

    #[test]
    fn an_order_is_looked_for_wherever_a_clock_may_have_put_it() {
        let now = datetime!(2026-11-21 12:00 UTC);
        assert_eq!(orders_before(request(), now).len(), 2);
        for held_at in [now, now - KEPT, now + CLOCKS_APART] {
            assert!(orders_before(request(), now).contains(&order(request(), held_at).unwrap()));
        }
    }

    #[test]
    fn at_midnight_the_next_day_is_looked_at_too() {
        let now = datetime!(2026-11-21 23:59:30 UTC);
        let ahead = order(request(), datetime!(2026-11-22 00:00 UTC)).unwrap();
        assert!(orders_before(request(), now).contains(&ahead));
    }

    #[test]
    fn a_day_is_the_same_from_its_first_to_its_last_microsecond() {
        let of = |at| order(request(), at).unwrap();
        assert_eq!(of(datetime!(2026-11-21 00:00 UTC)), of(datetime!(2026-11-21 23:59:59.999_999 UTC)));
        assert_ne!(of(datetime!(2026-11-21 23:59:59.999_999 UTC)), of(datetime!(2026-11-22 00:00 UTC)));
        assert_eq!(order(request(), datetime!(1969-12-31 23:59 UTC)), None);
    }
}
