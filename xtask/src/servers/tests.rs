//! The servers for real: this is what every other test stands on.

use super::*;

#[test]
fn servers_start_are_reused_and_keep_their_data_through_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let step = Step::silent();
    let first = Servers::start(dir.path(), &step).unwrap();
    assert!(first.create_database("kept").unwrap());
    let (pid, url) = (first.pid(Kind::Postgres).unwrap(), first.postgres_url());

    let second = Servers::start(dir.path(), &step).unwrap();
    assert_eq!(second.pid(Kind::Postgres).unwrap(), pid);

    assert_eq!(stop(dir.path()).unwrap(), ["postgres", "redis", "nats"]);
    assert!(!pid.is_alive());
    assert!(Servers::running(dir.path()).unwrap().is_none());
    let third = Servers::start(dir.path(), &step).unwrap();
    assert_eq!(third.postgres_url(), url);
    assert!(!third.create_database("kept").unwrap());

    let data = third.state.postgres_data.clone().unwrap();
    wipe(dir.path()).unwrap();
    assert!(!data.exists());
    assert!(status(dir.path()).unwrap().iter().all(|server| server.pid.is_none()));
}

#[test]
fn a_killed_server_comes_back_where_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut servers = Servers::start(dir.path(), &Step::silent()).unwrap();
    for kind in Kind::ALL {
        let port = servers.port(kind);
        servers.kill9(kind).unwrap();
        assert!(servers.probe(kind).is_err());
        servers.restart(kind).unwrap();
        assert_eq!(servers.port(kind), port);
    }
    wipe(dir.path()).unwrap();
}

#[test]
fn a_database_name_that_is_not_one_is_refused() {
    for name in ["", "a b", "x\"; DROP DATABASE postgres; --", "Order"] {
        assert!(postgres::create_database("postgres://nowhere", name).is_err(), "{name}");
    }
}

#[test]
fn a_folder_others_cannot_enter_serves_too() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let servers = Servers::start_some(dir.path(), &[Kind::Postgres], &Step::silent()).unwrap();

    let data = servers.state.postgres_data.clone().unwrap();
    // Only root has to run Postgres as somebody else.
    assert_eq!(data.starts_with(dir.path()), !find::is_root());
    wipe(dir.path()).unwrap();
    assert!(!data.exists());
}
