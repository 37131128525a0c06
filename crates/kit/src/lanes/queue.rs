//! What waits, by what it touches. Decides what goes into the next batch; never awaits.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::Span;

use super::Manner;

/// A request that touches several places joins the batches of one of them no longer after this: it goes by itself.
const PASSED_OVER: Duration = Duration::from_millis(10);

pub struct Job<T, R> {
    pub item: T,
    pub lanes: Vec<u64>,
    pub answer: oneshot::Sender<R>,
    pub since: Instant,
    pub span: Span,
}

pub struct Batch<T, R> {
    pub jobs: Vec<Job<T, R>>,
    /// Nobody else's until they are released.
    pub lanes: Vec<u64>,
    pub manner: Manner,
}

/// The requests that touch one place and nothing else.
struct Lane<T, R> {
    jobs: VecDeque<Job<T, R>>,
    /// A batch in flight touches it; which one.
    owner: Option<u64>,
    /// It was given back: its next batch is its own, and waits.
    alone: bool,
}

impl<T, R> Default for Lane<T, R> {
    fn default() -> Self {
        Self { jobs: VecDeque::new(), owner: None, alone: false }
    }
}

pub struct Queue<T, R> {
    lanes: HashMap<u64, Lane<T, R>>,
    /// Lanes with requests whom nobody owns. One may have been taken since; then it is passed over.
    ready: VecDeque<u64>,
    /// The same for those whose next batch is their own.
    ready_alone: VecDeque<u64>,
    /// Requests that do not know yet what they touch.
    unknown: VecDeque<Job<T, R>>,
    /// Requests that touch several places.
    wide: VecDeque<Job<T, R>>,
    stragglers: VecDeque<Job<T, R>>,
    waiting: usize,
    /// Batches in flight.
    running: usize,
    /// Batches ever: the name of the one being taken.
    batches: u64,
    closed: bool,
}

impl<T, R> Default for Queue<T, R> {
    fn default() -> Self {
        Self {
            lanes: HashMap::new(),
            ready: VecDeque::new(),
            ready_alone: VecDeque::new(),
            unknown: VecDeque::new(),
            wide: VecDeque::new(),
            stragglers: VecDeque::new(),
            waiting: 0,
            running: 0,
            batches: 0,
            closed: false,
        }
    }
}

impl<T, R> Queue<T, R> {
    pub fn waiting(&self) -> usize {
        self.waiting
    }

    pub fn close(&mut self) {
        self.closed = true;
    }

    /// Nothing waits and nothing will come.
    pub fn is_over(&self) -> bool {
        self.closed && self.waiting == 0 && self.running == 0
    }

    /// Whether there is something to begin with.
    pub fn goes_on(&self) -> bool {
        !self.ready.is_empty() || !self.ready_alone.is_empty() || !self.unknown.is_empty()
    }

    pub fn has_stragglers(&self) -> bool {
        !self.stragglers.is_empty()
    }

    /// Whether a writer can begin with it at once.
    pub fn push(&mut self, job: Job<T, R>) -> bool {
        self.waiting += 1;
        match job.lanes.as_slice() {
            [] => self.unknown.push_back(job),
            [lane] => {
                let id = *lane;
                let lane = self.lanes.entry(id).or_default();
                lane.jobs.push_back(job);
                if lane.owner.is_some() || lane.jobs.len() > 1 {
                    return false;
                }
                self.ready.push_back(id);
            }
            [_, _, ..] => {
                let is_free = job.lanes.iter().all(|lane| self.is_free(*lane));
                self.wide.push_back(job);
                return is_free;
            }
        }
        true
    }

    fn is_free(&self, lane: u64) -> bool {
        self.lanes.get(&lane).is_none_or(|lane| lane.owner.is_none() && !lane.alone)
    }

    /// Gives back what was held.
    pub fn put_back(&mut self, job: Job<T, R>) {
        self.waiting += 1;
        let [id] = job.lanes.as_slice() else {
            self.stragglers.push_back(job);
            return;
        };
        let id = *id;
        let lane = self.lanes.entry(id).or_default();
        lane.jobs.push_front(job);
        lane.alone = true;
        if lane.owner.is_none() {
            self.ready_alone.push_back(id);
        }
    }

    /// The next batch.
    pub fn take(&mut self, at_most: usize) -> Option<Batch<T, R>> {
        self.batches += 1;
        let mut batch = Batch { jobs: Vec::new(), lanes: Vec::new(), manner: Manner::Brisk };
        self.running += 1;
        self.take_alone(&mut batch, at_most);
        if !batch.jobs.is_empty() {
            batch.manner = Manner::Patient;
            return Some(batch);
        }
        self.take_wide(&mut batch, at_most);
        while batch.jobs.len() < at_most
            && let Some(job) = self.unknown.pop_front()
        {
            self.enter(&mut batch, job);
        }
        let is_mixed = !batch.jobs.is_empty();
        self.take_ready(&mut batch, at_most);
        if batch.jobs.is_empty() {
            self.finish(&batch.lanes);
            return None;
        }
        if !is_mixed && batch.lanes.len() == 1 {
            batch.manner = Manner::Patient;
        }
        Some(batch)
    }

    /// Requests that touch several places, when all of them are free.
    fn take_wide(&mut self, batch: &mut Batch<T, R>, at_most: usize) {
        for _ in 0..self.wide.len().min(at_most) {
            let Some(job) = self.wide.pop_front() else { return };
            let mine = |lane: &u64| self.lanes.get(lane).is_some_and(|lane| lane.owner == Some(self.batches));
            if job.lanes.iter().all(|lane| mine(lane) || self.is_free(*lane)) {
                for lane in &job.lanes {
                    self.own(*lane, batch);
                }
                self.enter(batch, job);
            } else if job.since.elapsed() > PASSED_OVER {
                self.stragglers.push_back(job);
            } else {
                self.wide.push_back(job);
            }
        }
    }

    /// One lane that was given back, and nothing else.
    fn take_alone(&mut self, batch: &mut Batch<T, R>, at_most: usize) {
        while batch.jobs.is_empty()
            && let Some(id) = self.ready_alone.pop_front()
        {
            if self.lanes.get(&id).is_some_and(|lane| lane.owner.is_none()) {
                self.take_lane(id, batch, at_most);
            }
        }
    }

    fn take_ready(&mut self, batch: &mut Batch<T, R>, at_most: usize) {
        while batch.jobs.len() < at_most
            && let Some(id) = self.ready.pop_front()
        {
            // Whoever owns it makes it ready again.
            let is_mine =
                |lane: &Lane<T, R>| lane.owner.is_none_or(|owner| owner == self.batches) && !lane.alone;
            if self.lanes.get(&id).is_some_and(is_mine) {
                self.take_lane(id, batch, at_most);
            }
        }
    }

    fn take_lane(&mut self, id: u64, batch: &mut Batch<T, R>, at_most: usize) {
        self.own(id, batch);
        let Some(lane) = self.lanes.get_mut(&id) else { return };
        lane.alone = false;
        let count = lane.jobs.len().min(at_most - batch.jobs.len());
        let jobs: Vec<_> = lane.jobs.drain(..count).collect();
        jobs.into_iter().for_each(|job| self.enter(batch, job));
    }

    fn own(&mut self, id: u64, batch: &mut Batch<T, R>) {
        let lane = self.lanes.entry(id).or_default();
        if lane.owner.replace(self.batches) != Some(self.batches) {
            batch.lanes.push(id);
        }
    }

    /// Whoever has gone is left out.
    fn enter(&mut self, batch: &mut Batch<T, R>, job: Job<T, R>) {
        self.waiting -= 1;
        if !job.answer.is_closed() {
            batch.jobs.push(job);
        }
    }

    /// The batch is over.
    pub fn finish(&mut self, lanes: &[u64]) {
        self.running -= 1;
        for id in lanes {
            let Some(lane) = self.lanes.get_mut(id) else { continue };
            lane.owner = None;
            if lane.jobs.is_empty() {
                self.lanes.remove(id);
            } else if lane.alone {
                self.ready_alone.push_back(*id);
            } else {
                self.ready.push_back(*id);
            }
        }
    }

    /// One that waits by itself, with those that touch the same. It owns nothing: the store keeps the order.
    pub fn take_straggler(&mut self, at_most: usize) -> Option<Batch<T, R>> {
        let mut batch = Batch { jobs: Vec::new(), lanes: Vec::new(), manner: Manner::Patient };
        let lanes = self.stragglers.front()?.lanes.clone();
        for _ in 0..self.stragglers.len() {
            let Some(job) = self.stragglers.pop_front() else { break };
            if job.lanes == lanes && batch.jobs.len() < at_most {
                self.enter(&mut batch, job);
            } else {
                self.stragglers.push_back(job);
            }
        }
        self.running += 1;
        Some(batch)
    }
}
