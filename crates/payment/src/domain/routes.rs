//! Routes as data: which providers are asked for a method in a currency, and in which order. The most particular route wins. It
//! knows providers by name only.

use stampede_types::Currency;

use super::MethodKind;

/// Routes of one configuration, and providers of one route.
const MAX_ROUTES: usize = 64;
const MAX_PROVIDERS: usize = 4;
const EVERYTHING: &str = "*";

/// In no order that matters: no two are for the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Routes(Vec<Route>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Route {
    /// None: any.
    method: Option<MethodKind>,
    currency: Option<Currency>,
    providers: Vec<String>,
}

impl Routes {
    /// Everything goes to one provider.
    #[must_use]
    pub fn all_to(provider: &str) -> Self {
        Self(vec![Route { method: None, currency: None, providers: vec![provider.to_owned()] }])
    }

    /// Routes as `method[/CURRENCY]=provider[>provider…]`, such as `card/EUR=simulator>simulator-b`; the method `*` is any. `known`
    /// are the providers there are.
    ///
    /// # Errors
    /// Everything that is wrong with them, a sentence each.
    pub fn parse<'a>(texts: impl IntoIterator<Item = &'a str>, known: &[&str]) -> Result<Self, Vec<String>> {
        let (mut routes, mut problems): (Vec<Route>, _) = (Vec::new(), Vec::new());
        for text in texts {
            match Route::parse(text, known) {
                Ok(route) if routes.iter().any(|other| other.is_for_the_same(&route)) => {
                    problems.push(format!("{text}: there is a route for this already"));
                }
                Ok(route) => routes.push(route),
                Err(wrong) => problems.extend(wrong.into_iter().map(|why| format!("{text}: {why}"))),
            }
        }
        if routes.len() > MAX_ROUTES {
            problems.push(format!("there are more than {MAX_ROUTES} routes"));
        }
        if problems.is_empty() { Ok(Self(routes)) } else { Err(problems) }
    }

    /// The providers to ask, in turn; none when nobody takes this.
    #[must_use]
    pub fn route(&self, method: MethodKind, currency: Currency) -> &[String] {
        let takes = |route: &&Route| {
            route.method.is_none_or(|taken| taken == method)
                && route.currency.is_none_or(|taken| taken == currency)
        };
        let particular = |route: &&Route| (route.method.is_some(), route.currency.is_some());
        self.0.iter().filter(takes).max_by_key(particular).map_or(&[], |route| &route.providers)
    }
}

impl Route {
    fn parse(text: &str, known: &[&str]) -> Result<Self, Vec<String>> {
        let Some((what, providers)) = text.split_once('=') else {
            return Err(vec!["must be method[/CURRENCY]=provider[>provider]".to_owned()]);
        };
        let mut problems = Vec::new();
        let (method, currency) = match what.split_once('/') {
            Some((method, currency)) => (method, Some(currency)),
            None => (what, None),
        };
        let method = match method.trim() {
            EVERYTHING => None,
            name => {
                let parsed = name.to_uppercase().parse::<MethodKind>().ok();
                // Of several tenders each goes its own way.
                let method = parsed.filter(|method| *method != MethodKind::Tenders);
                if method.is_none() {
                    problems.push(format!("{name:?} is no payment method"));
                }
                method
            }
        };
        let currency = currency.and_then(|code| {
            let parsed = code.trim().parse::<Currency>();
            parsed.map_err(|_| problems.push(format!("{code:?} is no currency"))).ok()
        });
        let providers: Vec<String> = providers.split('>').map(|name| name.trim().to_owned()).collect();
        if providers.len() > MAX_PROVIDERS {
            problems.push(format!("asks more than {MAX_PROVIDERS} providers"));
        }
        for (at, name) in providers.iter().enumerate() {
            if !known.contains(&name.as_str()) {
                problems.push(format!("there is no provider {name:?}"));
            }
            if providers[..at].contains(name) {
                problems.push(format!("asks {name:?} twice"));
            }
        }
        if problems.is_empty() { Ok(Self { method, currency, providers }) } else { Err(problems) }
    }

    fn is_for_the_same(&self, other: &Self) -> bool {
        (self.method, self.currency) == (other.method, other.currency)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 2] = ["simulator", "simulator-b"];

    fn routed(routes: &[&str], method: MethodKind, currency: &str) -> Vec<String> {
        let routes = Routes::parse(routes.iter().copied(), &KNOWN).unwrap();
        routes.route(method, currency.parse().unwrap()).to_vec()
    }

    #[test]
    fn the_most_particular_route_wins_wherever_it_stands() {
        let mut routes = [
            "*=simulator",
            "*/USD=simulator-b",
            "card=simulator>simulator-b",
            "card/EUR=simulator-b>simulator",
        ];
        for _ in 0..routes.len() {
            routes.rotate_left(1);
            let to = |method, currency| routed(&routes, method, currency);
            assert_eq!(to(MethodKind::Card, "EUR"), ["simulator-b", "simulator"]);
            assert_eq!(to(MethodKind::Card, "USD"), ["simulator", "simulator-b"]);
            assert_eq!(to(MethodKind::Alipay, "USD"), ["simulator-b"]);
            assert_eq!(to(MethodKind::Alipay, "CNY"), ["simulator"]);
        }
    }

    #[test]
    fn what_no_route_takes_goes_nowhere() {
        assert_eq!(routed(&["card/EUR=simulator"], MethodKind::Card, "USD"), [""; 0]);
        assert_eq!(routed(&["card/EUR=simulator"], MethodKind::Alipay, "EUR"), [""; 0]);
        assert_eq!(Routes::all_to("psp").route(MethodKind::StoredValue, "EUR".parse().unwrap()), ["psp"]);
    }

    #[test]
    fn all_that_is_wrong_with_routes_is_said_at_once() {
        let wrong = [
            "cash=simulator",
            "tenders=simulator",
            "card/eur=nobody",
            "card",
            "alipay=simulator>simulator",
            "*=simulator",
            "*=simulator-b",
        ];
        let problems = Routes::parse(wrong, &KNOWN).unwrap_err().join("; ");
        for part in ["\"cash\"", "\"tenders\"", "\"eur\"", "\"nobody\"", "must be method", "twice", "already"]
        {
            assert!(problems.contains(part), "{part} is not in {problems}");
        }
        let long = "card=simulator>simulator-b>c>d>e";
        assert!(Routes::parse([long], &["simulator", "simulator-b", "c", "d", "e"]).is_err());
    }
}
