//! Threads with a scheduler each, for connections that are many and short of work: a connection lives on one of them from its first byte to
//! its last, with every task it starts and every call it makes, so that cores neither wake nor lock each other. What one of them
//! computes holds up its neighbours on the same thread: this is for passing things on, not for thinking.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, mpsc};
use std::thread;

use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// More threads than this are not started, however many cores there are.
const MAX_WORKERS: usize = 64;

thread_local! {
    /// Which worker this thread is, from 1; 0 is everything else.
    static PLACE: Cell<usize> = const { Cell::new(0) };
}

/// The workers of a process. They end when this is dropped, and what they carry is dropped there.
pub struct Workers {
    workers: Vec<Worker>,
    stop: CancellationToken,
}

struct Worker {
    runtime: Handle,
    carried: Arc<AtomicUsize>,
}

/// One a core. Asked for once: who made room for so many is called by no more.
static COUNT: LazyLock<usize> =
    LazyLock::new(|| thread::available_parallelism().map_or(1, NonZero::get).min(MAX_WORKERS));

/// How many there are when they are started.
pub fn count() -> usize {
    *COUNT
}

/// Places there are: one for each worker, and one, 0, for everything that is on none.
pub fn places() -> usize {
    count() + 1
}

/// The place of whoever asks, below [`places`].
pub fn place() -> usize {
    PLACE.get()
}

impl Workers {
    /// # Errors
    /// The system has no more threads or descriptors.
    pub fn start() -> io::Result<Workers> {
        let stop = CancellationToken::new();
        let mut workers = Workers { workers: Vec::new(), stop: stop.clone() };
        for place in 1..places() {
            let (stop, (tell, told)) = (stop.clone(), mpsc::channel());
            thread::Builder::new()
                .name(format!("worker-{place}"))
                .spawn(move || carry(place, &stop, &tell))?;
            let runtime = told.recv().unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))?;
            workers.workers.push(Worker { runtime, carried: Arc::default() });
        }
        Ok(workers)
    }

    /// Carries `work` on the worker that carries least.
    pub fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let Some(worker) = self.workers.iter().min_by_key(|worker| worker.carried.load(Ordering::Relaxed))
        else {
            return;
        };
        let carried = Carried::on(&worker.carried);
        worker.runtime.spawn(async move {
            work.await;
            drop(carried);
        });
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// A worker's thread. Its scheduler begins and ends here: one may not end inside another.
fn carry(place: usize, stop: &CancellationToken, tell: &mpsc::Sender<io::Result<Handle>>) {
    PLACE.set(place);
    let built = Builder::new_current_thread().enable_all().build();
    let told = tell
        .send(built.as_ref().map(|runtime| runtime.handle().clone()).map_err(|error| error.kind().into()));
    if let (Ok(runtime), Ok(())) = (built, told) {
        runtime.block_on(stop.cancelled());
    }
}

/// Counts for as long as it lives.
struct Carried(Arc<AtomicUsize>);

impl Carried {
    fn on(count: &Arc<AtomicUsize>) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Carried(count.clone())
    }
}

impl Drop for Carried {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::{mpsc, oneshot};

    use super::{Workers, count, place, places};

    #[tokio::test]
    async fn work_stays_where_it_began_and_is_spread() {
        let workers = Workers::start().unwrap();
        let (tell, mut told) = mpsc::channel(64);
        let mut held = Vec::new();
        for _ in 0..2 * count() {
            let (hold, release) = oneshot::channel::<()>();
            held.push(hold);
            let tell = tell.clone();
            workers.spawn(async move {
                let began = place();
                #[expect(clippy::disallowed_methods, reason = "a task of the work's own")]
                let started = tokio::spawn(async { place() }).await.unwrap();
                tell.send((began, started)).await.unwrap();
                release.await.ok();
            });
        }
        let mut carried = vec![0; places()];
        for _ in 0..2 * count() {
            let (began, started) = told.recv().await.unwrap();
            assert_eq!(began, started);
            carried[began] += 1;
        }
        assert_eq!(carried[0], 0, "nothing of it is carried by the caller's runtime");
        assert!(carried[1..].iter().all(|carried| *carried == 2), "{carried:?}");
        assert_eq!(place(), 0);
    }

    #[tokio::test]
    async fn what_they_carry_ends_with_them() {
        let workers = Workers::start().unwrap();
        let (hold, held) = oneshot::channel::<()>();
        workers.spawn(async move {
            let _hold = hold;
            std::future::pending().await
        });
        drop(workers);
        assert!(held.await.is_err());
    }
}
