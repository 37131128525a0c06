//! The rules of stock as functions of values. Nothing here waits, reads a clock, makes an id or knows a store.

pub mod books;
pub mod campaign;
pub mod drift;
pub mod reservation;
pub mod stock;

pub use books::{Books, Changes, Demand, Ended, QuotaChange, Quotas, Shrunk};
pub use reservation::{Receipt, Reservation, ReservationKind, ReservationState, Resolution, Resolved};
pub use stock::{Account, CellKey, Denied, Level, Line, Movement, MovementKind, Terms, Window};
