//! Webhooks are kept for as long as they may come again, and no longer.

use crate::bench::Bench;

#[tokio::test]
async fn webhooks_of_long_ago_are_forgotten_however_many_there_are_and_parked_ones_are_kept() {
    let bench = Bench::without_resolver().await;
    sqlx::query(
        "INSERT INTO webhook (provider, event_id, payment_id, payload, state, received_at)
         SELECT 'simulator', 'e' || nth, gen_random_uuid(), '', CASE nth WHEN 1 THEN 'PARKED' ELSE 'APPLIED' END,
                now() - CASE nth WHEN 2 THEN interval '29 days' ELSE interval '31 days' END
         FROM generate_series(1, 12000) AS nth",
    )
    .execute(&bench.database.pool)
    .await
    .unwrap();
    bench.payments.forget().await.unwrap();
    assert_eq!((bench.webhooks("APPLIED").await, bench.webhooks("PARKED").await), (1, 1));
}
