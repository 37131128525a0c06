//! Extending: a hold expires later, never earlier, as long as it is pending by the ledger's clock. The gate hears nothing:
//! it knows no expiry.

use stampede_types::ReservationId;
use time::OffsetDateTime;

use crate::domain::{Denied, Reservation};
use crate::error::Error;
use crate::inventory::Inventory;
use crate::{ledger, store};

impl Inventory {
    /// The reservation as it stands, expiring at `until` or later.
    pub async fn extend(&self, id: ReservationId, until: OffsetDateTime) -> Result<Reservation, Error> {
        // The levels first, as everybody who ends it does: what is decided here holds until the commit.
        let (mut tx, _, known) = ledger::lock(&self.db, &[id]).await?;
        let (now, _) = store::levels::stamp(&mut tx, 0).await?;
        let mut reservation = known.into_iter().next().ok_or(Denied::NotFound { id })?;
        if let Some(expiry) = reservation.extended(until, now)? {
            store::reservations::extend(&mut tx, id, expiry).await?;
            tx.commit().await?;
            reservation.expires_at = Some(expiry);
            self.metrics.reservation("EXTENDED", 1);
        }
        Ok(reservation)
    }
}
