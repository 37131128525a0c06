//! Every drill, short: a light sale on two inventory processes, one fault in the middle, and every promise after it.
//! `cargo xtask drill` holds the same drills in release and under load.

use xtask::drill::{self, Name, Plan};

/// Holds the drill in a folder of its own, which is gone afterwards.
fn held(name: Name) {
    let folder = tempfile::Builder::new().prefix("stampede-").tempdir().unwrap();
    let plan = Plan::short(folder.path());
    let report = drill::hold(name, &plan);
    drill::wipe(&plan).unwrap();
    let report = report.unwrap();
    assert!(report.passed, "{:#?}", report.violations);
    assert!(report.accepted > 100, "hardly anybody bought: {report:#?}");
}

#[test]
fn redis_killed_without_its_last_second() {
    held(Name::RedisKill);
}

#[test]
fn redis_replaced_by_a_replica_that_was_behind() {
    held(Name::RedisStaleReplica);
}

#[test]
fn redis_flushed() {
    held(Name::RedisFlush);
}

#[test]
fn redis_frozen() {
    held(Name::RedisFreeze);
}

#[test]
fn redis_half_a_second_away() {
    held(Name::RedisSlow);
}

#[test]
fn redis_not_there_at_first() {
    held(Name::RedisAbsent);
}

#[test]
fn inventory_killed() {
    held(Name::InventoryKill);
}

#[test]
fn postgres_killed() {
    held(Name::PostgresRestart);
}
