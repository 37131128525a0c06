//! The folder over time: made, kept, renewed, revoked.

use std::os::unix::fs::PermissionsExt as _;

use time::Duration;
use time::macros::datetime;

use super::*;

const NOW: OffsetDateTime = datetime!(2026-03-01 12:00 UTC);

fn open(path: &Path, now: OffsetDateTime) -> Folder {
    Folder::open(path, Policy::development(), now).unwrap()
}

fn requests() -> Vec<Request> {
    let policy = Policy::development();
    ["order", "client"].iter().map(|service| Request::usual(&policy, service, &[]).unwrap()).collect()
}

#[test]
fn good_certificates_are_kept_and_worn_ones_renewed() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(open(folder.path(), NOW).renew(&requests(), "dev", NOW).unwrap(), ["order", "client"]);

    let soon = NOW + Duration::hours(1);
    assert!(open(folder.path(), soon).renew(&requests(), "dev", soon).unwrap().is_empty());
    // A client certificate lives a week, a service's a month.
    let later = NOW + Duration::days(6);
    assert_eq!(open(folder.path(), later).renew(&requests(), "dev", later).unwrap(), ["client"]);
}

#[test]
fn the_authority_and_the_token_key_outlive_a_reopening_until_worn() {
    let path = tempfile::tempdir().unwrap();
    let first = open(path.path(), NOW);
    let second = open(path.path(), NOW + Duration::days(1));
    assert!(first.is_fresh() && !second.is_fresh());
    assert_eq!(first.authority().cert_pem(), second.authority().cert_pem());
    assert_eq!(first.issuer().kid(), second.issuer().kid());

    let worn = open(path.path(), NOW + Duration::days(300));
    assert!(worn.is_fresh());
    assert_eq!(worn.issuer().kid(), first.issuer().kid());
}

#[test]
fn nothing_is_written_again_while_it_is_good() {
    let path = tempfile::tempdir().unwrap();
    let read = || {
        let mut files: Vec<_> =
            std::fs::read_dir(path.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
            .into_iter()
            .map(|file| (std::fs::metadata(&file).unwrap().modified().unwrap(), file))
            .collect::<Vec<_>>()
    };
    open(path.path(), NOW).renew(&requests(), "dev", NOW).unwrap();
    let before = read();
    let soon = NOW + Duration::hours(1);
    open(path.path(), soon).renew(&requests(), "dev", soon).unwrap();
    assert_eq!(read(), before);

    let list = std::fs::read(path.path().join("crl.pem")).unwrap();
    open(path.path(), NOW + Duration::days(25));
    assert_ne!(std::fs::read(path.path().join("crl.pem")).unwrap(), list);
}

#[test]
fn another_environment_and_a_revocation_ask_for_new_certificates() {
    let path = tempfile::tempdir().unwrap();
    let mut folder = open(path.path(), NOW);
    folder.renew(&requests(), "dev", NOW).unwrap();
    assert_eq!(folder.renew(&requests(), "prod", NOW).unwrap().len(), 2);
    assert_eq!(folder.renew(&requests(), "dev", NOW).unwrap().len(), 2);

    assert_eq!(folder.revoke("order", NOW).unwrap(), 3);
    assert_eq!(folder.renew(&requests(), "dev", NOW).unwrap(), ["order"]);
}

#[test]
fn nobody_but_the_owner_reads_the_files() {
    let path = tempfile::tempdir().unwrap();
    open(path.path(), NOW).renew(&requests(), "dev", NOW).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(path.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        seen += 1;
    }
    // ca.pem ca.key crl.pem index.json jwt.key jwks.json quote.key webhook.key and two leaves with keys.
    assert_eq!(seen, 12);
}
