//! How a settlement file comes in: in pieces, once, whoever brings it and whoever dies meanwhile; what cannot be read is kept nowhere.

use stampede_payment::reconcile::Refusal;
use stampede_payment::{Error, FileState};

use crate::bench::{Bench, TIMEOUT, service};
use crate::settlement::{SAM, pieces};

#[tokio::test]
async fn the_same_file_again_changes_nothing_and_other_bytes_under_its_name_are_refused() {
    let bench = Bench::without_resolver().await;
    bench.captured("tok_visa").await;
    let text = bench.file("f1", "").await;
    let pieces_of = pieces("f1", &text, 1);
    let first = bench.import(&pieces_of).await.unwrap();
    assert_eq!(bench.import(&pieces_of).await.unwrap(), first);
    assert_eq!((bench.rows("settlement_line").await, bench.rows("settlement_transfer").await), (1, 1));
    let other = text.replace("9850", "9849").replace(",150,", ",151,");
    let refused = bench.import(&pieces("f1", &other, 1)).await;
    assert!(matches!(refused, Err(Error::Settling(Refusal::FileConflict))), "{refused:?}");
    let mut forged = pieces_of[1].clone();
    forged.content = other.split_inclusive('\n').nth(1).unwrap().to_owned();
    let refused = bench.payments.import_settlement(&forged, SAM).await;
    assert!(matches!(refused, Err(Error::Settling(Refusal::FileConflict))), "{refused:?}");
    bench.assert_settled(9_850, 150, 0, 0).await;
}

#[tokio::test]
async fn two_importers_at_once_settle_every_line_once() {
    let bench = Bench::without_resolver().await;
    for _ in 0..8 {
        bench.captured("tok_visa").await;
    }
    let text = bench.file("f1", "").await;
    let pieces = pieces("f1", &text, 2);
    let patient = async || {
        for piece in &pieces {
            loop {
                match bench.payments.import_settlement(piece, SAM).await {
                    Ok(_) => break,
                    Err(Error::Settling(Refusal::ChunkUnexpected { .. })) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                }
            }
        }
    };
    tokio::join!(patient(), patient(), patient());
    assert_eq!((bench.rows("settlement_line").await, bench.rows("settlement_transfer").await), (8, 8));
    assert_eq!(bench.kinds().await, []);
    bench.assert_settled(8 * 9_850, 8 * 150, 0, 0).await;
}

#[tokio::test]
async fn an_importer_that_dies_between_pieces_or_before_matching_is_followed_by_another() {
    let bench = Bench::without_resolver().await;
    bench.captured("tok_visa").await;
    bench.captured("tok_visa").await;
    let pieces = pieces("f1", &bench.file("f1", "").await, 1);
    let last = &pieces[2];
    assert!(matches!(
        bench.payments.import_settlement(last, SAM).await,
        Err(Error::Settling(Refusal::ChunkUnexpected { expected: 0 }))
    ));
    for piece in &pieces[..2] {
        let imported = bench.payments.import_settlement(piece, SAM).await.unwrap();
        assert_eq!((imported.state, imported.matched), (FileState::Receiving, 0));
    }
    // Half a file moves nothing, whoever looks.
    bench.payments.settle_pending().await.unwrap();
    bench.assert_settled(0, 0, 0, 20_000).await;
    // Another process takes the last piece and dies behind its commit; a third one finds what is left.
    service(&bench.database, &bench.psp, TIMEOUT).take_chunk(last, SAM).await.unwrap();
    bench.assert_settled(0, 0, 0, 20_000).await;
    service(&bench.database, &bench.psp, TIMEOUT).settle_pending().await.unwrap();
    bench.assert_settled(2 * 9_850, 300, 0, 0).await;
    assert_eq!(bench.payments.import_settlement(last, SAM).await.unwrap().state, FileState::Done);
}

#[tokio::test]
async fn a_line_that_cannot_be_read_refuses_its_piece_and_a_mended_file_takes_the_name() {
    let bench = Bench::without_resolver().await;
    bench.captured("tok_visa").await;
    let good = bench.file("f1", "").await;
    let bad = good.replace("9850", "9851");
    let refused = bench.import(&pieces("f1", &bad, 1)).await.unwrap_err();
    let Error::Settling(Refusal::BadLine(at)) = refused else { panic!("{refused}") };
    assert_eq!((at.line, at.column), (2, "net_minor"));
    assert_eq!(bench.rows("settlement_line").await, 0);
    // A digest that is not the file's: nothing of it is kept.
    let mut torn = pieces("f1", &good, usize::MAX);
    torn[0].digest = [7; 32];
    let refused = bench.import(&torn).await;
    assert!(matches!(refused, Err(Error::Settling(Refusal::Digest))), "{refused:?}");
    assert_eq!(bench.rows("settlement_file").await, 0);
    assert_eq!(bench.import(&pieces("f1", &good, 1)).await.unwrap().state, FileState::Done);
    let mut elsewhere = pieces("f2", &good, 1);
    elsewhere[0].provider = "nobody".into();
    assert!(matches!(bench.import(&elsewhere).await, Err(Error::NoProvider)));
    let mut early = pieces("f2", &good, 1);
    early[0].period_end += time::Duration::hours(1);
    assert!(matches!(bench.import(&early).await, Err(Error::Invalid { field: "period_end", .. })));
}
