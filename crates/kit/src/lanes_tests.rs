//! What group commit apart promises.

use std::collections::HashSet;
use std::sync::Mutex as Plain;

use futures::future::join_all;
use tokio::task::JoinHandle;

use super::*;

/// Touches these places.
type Request = Vec<u64>;

/// What was run together, and how.
type Run = (Vec<Request>, Manner);

/// A store with places that somebody else may hold, which sees who is at work where.
#[derive(Clone, Default)]
struct Store {
    held: Arc<Plain<HashSet<u64>>>,
    at_work: Arc<Plain<Vec<u64>>>,
    batches: Arc<Plain<Vec<Run>>>,
    freed: Arc<Notify>,
    /// Each batch takes one; closed for ever when it is `None`.
    gate: Option<Arc<Semaphore>>,
}

impl Store {
    fn lanes(&self, limits: Limits, touched: fn(&Request) -> Vec<u64>) -> Lanes<Request, usize> {
        let store = self.clone();
        Lanes::start("test", limits, touched, move |items, manner| {
            let store = store.clone();
            async move { store.run(items, manner).await }
        })
    }

    async fn run(&self, items: Vec<Request>, manner: Manner) -> Vec<Outcome<Request, usize>> {
        self.batches.lock().unwrap().push((items.clone(), manner));
        let is_held = |item: &Request| item.iter().any(|place| self.held.lock().unwrap().contains(place));
        if manner == Manner::Patient {
            while items.iter().any(is_held) {
                self.freed.notified().await;
            }
        }
        let places: HashSet<u64> = items.iter().filter(|item| !is_held(item)).flatten().copied().collect();
        {
            let mut at_work = self.at_work.lock().unwrap();
            for place in &places {
                // A straggler owns nothing: the store keeps it apart, which this one does not do.
                assert!(manner == Manner::Patient || !at_work.contains(place), "two batches touch {place}");
                at_work.push(*place);
            }
        }
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        self.at_work.lock().unwrap().retain(|place| !places.contains(place));
        let size = items.len();
        items
            .into_iter()
            .map(|item| if is_held(&item) { Outcome::Held(item) } else { Outcome::Done(size) })
            .collect()
    }

    fn sizes(&self) -> Vec<usize> {
        self.batches.lock().unwrap().iter().map(|(items, _)| items.len()).collect()
    }

    fn free(&self, place: u64) {
        self.held.lock().unwrap().remove(&place);
        self.freed.notify_waiters();
    }
}

const LIMITS: Limits = Limits { batch: 10, writers: 2, queue: 100 };

fn places(request: &Request) -> Vec<u64> {
    request.clone()
}

/// Lets every task that can run do so.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

/// So many requests for the first place; the first of them is at work.
async fn crowd(lanes: &Lanes<Request, usize>, count: usize) -> Vec<JoinHandle<Result<usize, Refused>>> {
    let mut asked = Vec::new();
    for _ in 0..count {
        let lanes = lanes.clone();
        asked.push(task::spawn("test", async move { lanes.submit(vec![1]).await }));
        settle().await;
    }
    asked
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_alone_waits_for_nobody() {
    let started = Instant::now();
    let store = Store::default();
    let lanes = store.lanes(LIMITS, places);
    assert_eq!(lanes.submit(vec![1]).await, Ok(1));
    assert_eq!(lanes.submit(vec![1, 2]).await, Ok(1));
    assert_eq!(started.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_touches_the_same_gathers_behind_one_batch_although_writers_are_free() {
    let store = Store { gate: Some(Arc::new(Semaphore::new(0))), ..Store::default() };
    let lanes = store.lanes(LIMITS, places);
    let asked = crowd(&lanes, 14).await;
    assert_eq!(store.sizes(), [1], "the others wait for the place, not for a writer");
    store.gate.as_ref().unwrap().add_permits(100);
    assert!(join_all(asked).await.into_iter().all(|answer| answer.unwrap().is_ok()));
    assert_eq!(store.sizes(), [1, 10, 3]);
}

#[tokio::test(start_paused = true)]
async fn what_somebody_else_holds_holds_up_nothing_else() {
    let store = Store { held: Arc::new(Plain::new(HashSet::from([1]))), ..Store::default() };
    let lanes = store.lanes(LIMITS, places);
    let stuck: Vec<_> = [vec![1], vec![1, 2], vec![1], vec![1, 3]]
        .into_iter()
        .map(|request| {
            let lanes = lanes.clone();
            task::spawn("test", async move { lanes.submit(request).await })
        })
        .collect();
    settle().await;
    for _ in 0..50 {
        for request in [vec![2], vec![3], vec![2, 3], vec![4]] {
            lanes.submit(request).await.unwrap();
        }
    }
    assert!(stuck.iter().all(|answer| !answer.is_finished()));
    store.free(1);
    assert!(join_all(stuck).await.into_iter().all(|answer| answer.unwrap().is_ok()));
}

#[tokio::test(start_paused = true)]
async fn what_was_gathered_with_something_held_is_done_without_it() {
    let store = Store { gate: Some(Arc::new(Semaphore::new(0))), ..Store::default() };
    let lanes = store.lanes(Limits { writers: 1, ..LIMITS }, places);
    let ask = |request: Request| {
        let lanes = lanes.clone();
        task::spawn("test", async move { lanes.submit(request).await })
    };
    let first = ask(vec![9]);
    settle().await;
    let (held, free) = (ask(vec![1]), ask(vec![2]));
    settle().await;
    store.held.lock().unwrap().insert(1);
    store.gate.as_ref().unwrap().add_permits(100);
    assert_eq!((first.await.unwrap(), free.await.unwrap()), (Ok(1), Ok(2)));
    settle().await;
    assert!(!held.is_finished());
    assert_eq!(store.batches.lock().unwrap().last().unwrap(), &(vec![vec![1]], Manner::Patient));
    store.free(1);
    assert_eq!(held.await.unwrap(), Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_know_what_it_touches_learns_it_when_it_is_given_back() {
    let store = Store { held: Arc::new(Plain::new(HashSet::from([1]))), ..Store::default() };
    // Unknown until it was refused once: the first batch has seen it.
    static SEEN: std::sync::atomic::AtomicBool = std::sync::atomic::AtomicBool::new(false);
    let lanes = store.lanes(LIMITS, |request| {
        if SEEN.swap(true, std::sync::atomic::Ordering::SeqCst) { request.clone() } else { Vec::new() }
    });
    let asked = {
        let lanes = lanes.clone();
        task::spawn("test", async move { lanes.submit(vec![1]).await })
    };
    settle().await;
    let manners: Vec<_> = store.batches.lock().unwrap().iter().map(|(_, manner)| *manner).collect();
    assert_eq!(manners, [Manner::Brisk, Manner::Patient]);
    store.free(1);
    assert_eq!(asked.await.unwrap(), Ok(1));
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_and_the_last_handle_lets_the_writers_finish() {
    let store = Store { gate: Some(Arc::new(Semaphore::new(0))), ..Store::default() };
    let lanes = store.lanes(Limits { queue: 3, ..LIMITS }, places);
    let asked = crowd(&lanes, 4).await;
    assert_eq!((lanes.waiting(), lanes.submit(vec![2]).await), (3, Err(Refused::Full)));
    let shared = Arc::downgrade(&lanes.shared);
    drop(lanes);
    store.gate.as_ref().unwrap().add_permits(100);
    assert!(join_all(asked).await.into_iter().all(|answer| answer.unwrap().is_ok()));
    settle().await;
    assert!(shared.upgrade().is_none(), "a writer is left behind");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_panics_loses_its_answers_and_frees_its_places() {
    let lanes: Lanes<Request, usize> =
        Lanes::start("test", LIMITS, places, |items: Vec<Request>, _| async move {
            assert!(items[0].len() < 3, "poison");
            items.into_iter().map(|_| Outcome::Done(0)).collect()
        });
    assert_eq!(lanes.submit(vec![1, 2, 3]).await, Err(Refused::Lost));
    assert_eq!(lanes.submit(vec![1, 2]).await, Ok(0));
    assert_eq!(lanes.submit(vec![3]).await, Ok(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_crowd_at_random_places_is_answered_and_never_meets_itself() {
    let store = Store::default();
    let lanes = store.lanes(Limits { batch: 16, writers: 3, queue: 10_000 }, places);
    let asked = (0..4_000_u64).map(|n| {
        let lanes = lanes.clone();
        // One in eight touches two places.
        let request = if n % 8 == 0 { vec![n % 5, 5 + n % 3] } else { vec![n % 9] };
        task::spawn("test", async move { lanes.submit(request).await })
    });
    assert!(join_all(asked).await.into_iter().all(|answer| answer.unwrap().is_ok()));
    assert_eq!(lanes.waiting(), 0);
}
