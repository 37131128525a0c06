//! What processes are called. A service's first process has the service's name; its second is `inventory-2`.

use super::spec;

/// The name of a service's process, counted from one.
pub fn of(service: &str, number: usize) -> String {
    if number <= 1 { service.to_owned() } else { format!("{service}-{number}") }
}

/// The service a process belongs to.
pub fn service(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((service, number)) if number.parse::<usize>().is_ok_and(|number| number > 1) => service,
        Some(_) | None => name,
    }
}

/// Every process of a stack, the called before their callers. `counts` holds the services that have more than one.
pub fn all(counts: &[(&'static str, usize)]) -> Vec<String> {
    let of_service = |service: &'static str| {
        let count = counts.iter().find(|(counted, _)| *counted == service).map_or(1, |(_, count)| *count);
        (1..=count.max(1)).map(move |number| of(service, number))
    };
    spec::NAMES.into_iter().flat_map(of_service).collect()
}

/// Sorts names into the order of starting.
pub fn sort(names: &mut [String]) {
    let place = |name: &str| spec::NAMES.iter().position(|known| *known == service(name));
    names.sort_by(|a, b| (place(a), a.len(), a).cmp(&(place(b), b.len(), b)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_told_from_a_service_with_a_dash() {
        assert_eq!(of("inventory", 1), "inventory");
        assert_eq!(of("inventory", 2), "inventory-2");
        for (name, expected) in
            [("inventory-12", "inventory"), ("inventory", "inventory"), ("psp-simulator", "psp-simulator")]
        {
            assert_eq!(service(name), expected);
        }
    }

    #[test]
    fn processes_of_one_service_stand_together_in_the_order_of_starting() {
        let mut names = all(&[("inventory", 3)]);
        let expected =
            ["psp-simulator", "payment", "inventory", "inventory-2", "inventory-3", "order", "gateway"];
        assert_eq!(names, expected);
        names.reverse();
        sort(&mut names);
        assert_eq!(names, expected);
    }
}
