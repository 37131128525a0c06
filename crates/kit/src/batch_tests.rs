//! What group commit promises.

use std::sync::Mutex as Shared;
use std::time::Duration;

use futures::future::join_all;
use tokio::sync::Semaphore;
use tracing_subscriber::Layer;

use super::*;

/// A store that counts its batches and commits one each time the gate is opened.
#[derive(Clone)]
struct Store {
    gate: Arc<Semaphore>,
    batches: Arc<Shared<Vec<Vec<u32>>>>,
}

impl Store {
    fn new(open: usize) -> Self {
        Self { gate: Arc::new(Semaphore::new(open)), batches: Arc::default() }
    }

    fn batcher(&self, limits: Limits) -> Batcher<u32, u32> {
        let store = self.clone();
        Batcher::start("test", limits, move |items| {
            let store = store.clone();
            async move {
                store.batches.lock().unwrap().push(items.clone());
                store.gate.acquire().await.unwrap().forget();
                items.into_iter().map(|item| item * 2).collect()
            }
        })
    }

    fn sizes(&self) -> Vec<usize> {
        self.batches.lock().unwrap().iter().map(Vec::len).collect()
    }
}

const LIMITS: Limits = Limits { batch: 10, writers: 1, queue: 100 };

/// Lets every task that can run do so.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_alone_waits_for_nobody() {
    let started = tokio::time::Instant::now();
    let batcher = Store::new(1).batcher(LIMITS);
    assert_eq!(batcher.submit(21).await, Ok(42));
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test]
async fn requests_gather_while_the_writer_is_busy_and_no_batch_exceeds_its_limit() {
    let store = Store::new(0);
    let batcher = store.batcher(LIMITS);
    let first = task::spawn("test", {
        let batcher = batcher.clone();
        async move { batcher.submit(0).await }
    });
    settle().await;
    let rest = task::spawn("test", async move {
        join_all((1..=25).map(|item| {
            let batcher = batcher.clone();
            async move { batcher.submit(item).await }
        }))
        .await
    });
    settle().await;
    store.gate.add_permits(10);
    assert_eq!(first.await.unwrap(), Ok(0));
    assert_eq!(rest.await.unwrap(), (1..=25).map(|item| Ok(item * 2)).collect::<Vec<_>>());
    assert_eq!(store.sizes(), [1, 10, 10, 5]);
}

#[tokio::test]
async fn two_writers_keep_two_batches_in_flight() {
    let store = Store::new(0);
    let batcher = store.batcher(Limits { writers: 2, ..LIMITS });
    for item in 0..3 {
        let batcher = batcher.clone();
        task::spawn("test", async move { batcher.submit(item).await });
        settle().await;
    }
    assert_eq!(store.sizes(), [1, 1]);
    assert_eq!(batcher.waiting(), 1);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once() {
    let store = Store::new(0);
    let batcher = store.batcher(Limits { batch: 1, writers: 1, queue: 2 });
    for item in 0..3 {
        let batcher = batcher.clone();
        task::spawn("test", async move { batcher.submit(item).await });
        settle().await;
    }
    assert_eq!(batcher.submit(4).await, Err(Refused::Full));
}

#[tokio::test]
async fn a_caller_that_gives_up_breaks_nobody_elses_answer() {
    let store = Store::new(0);
    let batcher = store.batcher(LIMITS);
    let mut callers: Vec<_> = (0..4)
        .map(|item| {
            let batcher = batcher.clone();
            task::spawn("test", async move { batcher.submit(item).await })
        })
        .collect();
    settle().await;
    let gone = callers.remove(2);
    gone.abort();
    settle().await;
    store.gate.add_permits(10);
    let answers = join_all(callers).await.into_iter().map(Result::unwrap).collect::<Vec<_>>();
    assert_eq!(answers, [Ok(0), Ok(2), Ok(6)]);
}

#[tokio::test]
async fn a_panic_is_lost_to_its_own_callers_and_the_writer_goes_on() {
    let batcher = Batcher::start("test", LIMITS, |items: Vec<u32>| async move {
        assert!(!items.contains(&13), "unlucky");
        items
    });
    assert_eq!(batcher.submit(13).await, Err(Refused::Lost));
    assert_eq!(batcher.submit(14).await, Ok(14));
}

#[tokio::test]
async fn a_batch_that_answers_too_few_is_lost_to_all_its_callers() {
    let batcher = Batcher::start("test", LIMITS, |mut items: Vec<u32>| async move {
        items.retain(|item| *item != 13);
        items
    });
    assert_eq!(batcher.submit(13).await, Err(Refused::Lost));
    assert_eq!(batcher.submit(14).await, Ok(14));
}

#[tokio::test]
async fn what_was_queued_is_finished_after_the_last_handle_is_gone() {
    let store = Store::new(0);
    let batcher = store.batcher(LIMITS);
    let caller = task::spawn("test", async move { batcher.submit(5).await });
    settle().await;
    store.gate.add_permits(1);
    assert_eq!(caller.await.unwrap(), Ok(10));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn everybody_gets_exactly_their_own_answer(
        batch in 1_usize..8, writers in 1_usize..4, items in proptest::collection::vec(0_u32..1000, 0..60),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let batcher = Batcher::start("test", Limits { batch, writers, queue: 64 }, move |items: Vec<u32>| async move {
                assert!(items.len() <= batch);
                tokio::task::yield_now().await;
                items.into_iter().map(|item| item + 1).collect()
            });
            let answers = join_all(items.iter().map(|item| batcher.submit(*item))).await;
            let expected: Vec<_> = items.iter().map(|item| Ok(item + 1)).collect();
            assert_eq!(answers, expected);
        });
    }
}

#[tokio::test]
async fn a_batch_of_one_is_in_its_callers_trace_and_a_shared_one_in_none() {
    let provider = opentelemetry_sdk::trace::SdkTracerProvider::default();
    let tracer = opentelemetry::trace::TracerProvider::tracer(&provider, "test");
    let filter = tracing_subscriber::filter::filter_fn(crate::telemetry::is_traced);
    let traces = Layer::with_filter(tracing_opentelemetry::layer().with_tracer(tracer), filter);
    let subscriber = tracing_subscriber::layer::SubscriberExt::with(tracing_subscriber::registry(), traces);
    let _traced = tracing::subscriber::set_default(subscriber);
    let gate = Arc::new(Semaphore::new(0));
    let batcher = Batcher::start("test", LIMITS, {
        let gate = gate.clone();
        move |items: Vec<u32>| {
            let gate = gate.clone();
            async move {
                let trace = crate::telemetry::current_traceparent();
                gate.acquire().await.unwrap().forget();
                items.into_iter().map(|_| trace.clone()).collect()
            }
        }
    });
    let call = |item| {
        let batcher = batcher.clone();
        let span = tracing::info_span!("call", item);
        task::spawn("caller", async move { batcher.submit(item).await.unwrap() }.instrument(span))
    };
    let alone = call(1);
    settle().await;
    let together = [call(2), call(3)];
    settle().await;
    gate.add_permits(2);
    assert!(alone.await.unwrap().is_some());
    for answer in join_all(together).await {
        assert_eq!(answer.unwrap(), None);
    }
}
