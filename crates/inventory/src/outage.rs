//! Whether the ledger's Postgres is there, asked a few times a second beside the work. While it is away callers are told so at
//! once instead of being left to their deadlines. It never decides a command: what was begun is carried to its end.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, PgConnection, PgPool};
use stampede_kit::task;
use tokio::sync::watch;

use crate::error::Error;

/// How often it is asked.
const ASK_EVERY: Duration = Duration::from_millis(250);
/// One that is silent for longer is frozen. Less than the deadlines of those who wait.
const ANSWER_WITHIN: Duration = Duration::from_millis(1_500);
/// Greeting costs both ends far more than answering.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Clones ask together. The asking ends with the last of them.
#[derive(Debug, Clone)]
pub struct Outage {
    away: watch::Receiver<bool>,
}

impl Outage {
    /// With a connection of its own: a pool that is used up is no outage.
    pub fn watch(db: &PgPool) -> Self {
        let (say, away) = watch::channel(false);
        let options = (*db.connect_options()).clone();
        task::spawn("outage", async move {
            let ended = say.clone();
            tokio::select! {
                () = ended.closed() => {}
                () = ask(&options, &say) => {}
            }
        });
        Self { away }
    }

    /// The work's answer, or `Unavailable` as soon as Postgres is known to be away. Then the work is dropped; whoever must not
    /// stop in the middle gives work that is [carried](task::carried).
    ///
    /// # Errors
    /// Those of the work.
    pub async fn guard<T>(&self, work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        let mut away = self.away.clone();
        tokio::select! {
            biased;
            Ok(_) = away.wait_for(|away| *away) => Err(Error::Unavailable),
            answer = work => answer,
        }
    }
}

async fn ask(options: &PgConnectOptions, say: &watch::Sender<bool>) {
    let mut connection: Option<PgConnection> = None;
    loop {
        if let Some(open) = &mut connection {
            match tokio::time::timeout(ANSWER_WITHIN, open.ping()).await {
                Ok(Ok(())) => {}
                // One connection may break for reasons of its own: whether another can be made decides.
                Ok(Err(_)) => connection = None,
                Err(_) => {
                    tell(say, true);
                    connection = None;
                }
            }
        }
        if connection.is_none() {
            let connecting = tokio::time::timeout(CONNECT_WITHIN, PgConnection::connect_with(options));
            connection = connecting.await.ok().and_then(Result::ok);
        }
        tell(say, connection.is_none());
        tokio::time::sleep(ASK_EVERY).await;
    }
}

fn tell(say: &watch::Sender<bool>, away: bool) {
    let changed = say.send_if_modified(|known| std::mem::replace(known, away) != away);
    match (changed, away) {
        (true, true) => tracing::warn!("Postgres is away: callers are told to come back"),
        (true, false) => tracing::info!("Postgres is back"),
        (false, _) => {}
    }
}

#[cfg(test)]
mod tests {
    use sqlx::postgres::PgPoolOptions;
    use stampede_kit::testing;

    use super::*;

    async fn waits_for_ever() -> Result<(), Error> {
        std::future::pending().await
    }

    #[tokio::test]
    async fn who_waits_while_postgres_is_away_is_told_so_and_nothing_is_begun_then() {
        // Nobody listens there.
        let nowhere = PgPoolOptions::new().connect_lazy("postgres://127.0.0.1:9/nothing").unwrap();
        let outage = Outage::watch(&nowhere);
        assert_eq!(outage.guard(waits_for_ever()).await, Err(Error::Unavailable));
        let begun = async { panic!("it was begun") };
        assert_eq!(outage.guard::<()>(begun).await, Err(Error::Unavailable));
    }

    #[tokio::test]
    async fn a_postgres_that_is_there_is_not_in_the_way() {
        let there = PgPoolOptions::new().connect_lazy(&testing::postgres_url()).unwrap();
        let outage = Outage::watch(&there);
        assert_eq!(outage.guard(async { Ok(7) }).await, Ok(7));
        let patience = tokio::time::timeout(Duration::from_secs(1), outage.guard(waits_for_ever()));
        assert!(patience.await.is_err(), "nobody said that it is away");
    }
}
