//! What the verbs share: the pool, the peers, the group commit. It is passed, never global, and holds no rule.

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;
use stampede_kit as kit;
use stampede_types::{Money, OrderId};

use crate::config::Config;
use crate::crash::CrashAt;
use crate::domain::order::{CaptureAt, Order};
use crate::domain::quote::Keys;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::place::{self, Placing};
use crate::prices::Prices;
use crate::promotions::Promotions;
use crate::replay::{self, Replays};
use crate::store;
use crate::waiting::Waiting;
use crate::watching::Watching;

/// The order service's one object; each verb is an `impl` in its own file.
pub struct Orders {
    pub(crate) db: PgPool,
    pub(crate) peers: Peers,
    pub(crate) prices: Prices,
    pub(crate) promotions: Arc<Promotions>,
    /// What shipping an order costs before promotions; `None` for nothing.
    pub(crate) shipping_fee: Option<Money>,
    pub(crate) quote_keys: Keys,
    pub(crate) quote_valid: Duration,
    pub(crate) placing: Placing,
    pub(crate) replays: Replays,
    pub(crate) clock: kit::clock::Clock,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) waiting: Waiting,
    pub(crate) wake: kit::outbox::Wake,
    pub(crate) watching: Arc<Watching>,
    pub(crate) payment_window: Duration,
    pub(crate) session_grace: Duration,
    pub(crate) hold_grace: Duration,
    pub(crate) late_hold: Duration,
    pub(crate) capture_at: CaptureAt,
    pub(crate) saga_lease: Duration,
    pub(crate) return_period: Duration,
    pub(crate) crash_at: CrashAt,
}

impl Orders {
    pub fn new(config: &Config, db: PgPool, peers: Peers, clock: kit::clock::Clock) -> Arc<Orders> {
        let metrics = Arc::new(Metrics::new());
        let wake = kit::outbox::Wake::default();
        Arc::new(Orders {
            prices: Prices::new(&peers),
            promotions: Arc::new(Promotions::new(db.clone(), clock.clone())),
            shipping_fee: config.shipping_fee,
            quote_keys: config.quote_keys.clone(),
            quote_valid: config.quote_valid,
            placing: place::start(db.clone(), metrics.clone(), wake.clone()),
            replays: replay::start(db.clone()),
            db,
            peers,
            clock,
            metrics,
            waiting: Waiting::default(),
            wake,
            watching: Watching::new(),
            payment_window: config.payment_window,
            session_grace: config.session_grace,
            hold_grace: config.hold_grace,
            late_hold: config.late_hold,
            capture_at: config.capture_at,
            saga_lease: config.saga_lease,
            return_period: config.return_period,
            crash_at: config.crash_at,
        })
    }

    /// Woken after each commit with an event in it.
    pub fn wake(&self) -> kit::outbox::Wake {
        self.wake.clone()
    }

    pub(crate) async fn order(&self, id: OrderId) -> Result<Option<Order>, Error> {
        let mut conn = self.db.acquire().await?;
        Ok(store::orders::by_id(&mut conn, id).await?)
    }
}
