//! The providers this process speaks to, by name, and who is asked for what. Names are the store's: an attempt stays with the
//! provider it was sent to, whatever is routed where today.

use std::sync::Arc;

use stampede_types::Currency;

use crate::domain::{Keys, MethodKind, Routes};
use crate::provider::Provider;

/// One provider, and what its webhooks are signed with; without keys none is taken.
#[derive(Clone)]
pub struct Desk {
    pub provider: Arc<dyn Provider>,
    pub keys: Keys,
}

/// Every provider there is. Cheap to clone.
#[derive(Clone)]
pub struct Providers {
    desks: Arc<[Desk]>,
    routes: Arc<Routes>,
}

impl Providers {
    #[must_use]
    pub fn new(desks: Vec<Desk>, routes: Routes) -> Self {
        Self { desks: desks.into(), routes: Arc::new(routes) }
    }

    /// Everything goes to this one.
    #[must_use]
    pub fn one(provider: impl Provider, keys: Keys) -> Self {
        let routes = Routes::all_to(provider.name());
        Self::new(vec![Desk { provider: Arc::new(provider), keys }], routes)
    }

    /// None when there is no provider of this name, or not any more.
    pub(crate) fn desk(&self, name: &str) -> Option<&Desk> {
        self.desks.iter().find(|desk| desk.provider.name() == name)
    }

    /// Who was asked before and has to be asked again. One that is not configured any more is a mistake of ours: what it has done
    /// stays unknown until it is there again.
    pub(crate) fn get(&self, name: &str) -> Option<&dyn Provider> {
        let desk = self.desk(name);
        if desk.is_none() {
            tracing::error!(provider = name, "a payment is with a provider that is not configured");
        }
        desk.map(|desk| desk.provider.as_ref())
    }

    /// The providers to ask, in turn.
    pub(crate) fn route(&self, method: MethodKind, currency: Currency) -> &[String] {
        self.routes.route(method, currency)
    }
}
