//! Permissions as bits, and what each role grants. Read once from the contract; checking is one AND. An unknown role grants
//! nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use prost_reflect::{DescriptorPool, DynamicMessage, Value};

/// Permission numbers are bits of a u64.
const MAX_PERMISSION: i32 = 63;
const PERMISSION: &str = "stampede.policy.v1.Permission";
const ROLE: &str = "stampede.policy.v1.Role";
const GRANTS: &str = "stampede.policy.v1.grants";
const ROLE_PREFIX: &str = "ROLE_";

/// The contract's permissions and roles.
#[derive(Debug, Default)]
pub struct Permissions {
    bits: HashMap<String, u64>,
    roles: HashMap<String, u64>,
}

/// What somebody may do. Cheap to clone.
#[derive(Clone)]
pub struct PermissionSet {
    bits: u64,
    known: Arc<Permissions>,
}

impl Permissions {
    pub(super) fn read(pool: &DescriptorPool, problems: &mut Vec<String>) -> Permissions {
        let mut read = Permissions::default();
        let (Some(permission), Some(role), Some(grants)) = (
            pool.get_enum_by_name(PERMISSION),
            pool.get_enum_by_name(ROLE),
            pool.get_extension_by_name(GRANTS),
        ) else {
            problems.push(format!("{PERMISSION}, {ROLE} or {GRANTS} is missing"));
            return read;
        };
        for value in permission.values().filter(|value| value.number() != 0) {
            match value.number() {
                number @ 1..=MAX_PERMISSION => read.bits.insert(value.name().to_owned(), 1 << number),
                _ => {
                    problems.push(format!(
                        "{}: a permission's number is 1 to {MAX_PERMISSION}",
                        value.full_name()
                    ));
                    None
                }
            };
        }
        for value in role.values().filter(|value| value.number() != 0) {
            let Some(name) = value.name().strip_prefix(ROLE_PREFIX) else {
                problems.push(format!("{}: a role's name starts with {ROLE_PREFIX}", value.full_name()));
                continue;
            };
            let granted = match value.options().get_extension(&grants).as_message() {
                Some(grants) => granted_bits(grants),
                None => 0,
            };
            read.roles.insert(name.to_lowercase(), granted);
        }
        read
    }

    /// What a token with these roles grants.
    pub fn granted_by<'a>(self: &Arc<Self>, roles: impl IntoIterator<Item = &'a str>) -> PermissionSet {
        let bits = roles.into_iter().filter_map(|role| self.roles.get(role)).fold(0, |all, bits| all | bits);
        PermissionSet { bits, known: self.clone() }
    }

    pub(crate) fn bit(&self, permission: &str) -> Option<u64> {
        self.bits.get(permission).copied()
    }
}

impl PermissionSet {
    /// By the permission's name in the contract. A name the contract does not know is never granted.
    pub fn contains(&self, permission: &str) -> bool {
        self.known.bit(permission).is_some_and(|bit| self.has_bit(bit))
    }

    pub(crate) fn has_bit(&self, bit: u64) -> bool {
        self.bits & bit != 0
    }
}

impl fmt::Debug for PermissionSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut names: Vec<_> =
            self.known.bits.iter().filter(|(_, bit)| self.has_bit(**bit)).map(|(name, _)| name).collect();
        names.sort_unstable();
        f.debug_set().entries(names).finish()
    }
}

fn granted_bits(grants: &DynamicMessage) -> u64 {
    let listed = grants.get_field_by_name("permissions");
    let numbers = listed.as_ref().and_then(|value| value.as_list()).unwrap_or_default();
    numbers
        .iter()
        .filter_map(Value::as_enum_number)
        .filter(|number| (1..=MAX_PERMISSION).contains(number))
        .fold(0, |all, number| all | 1 << number)
}
