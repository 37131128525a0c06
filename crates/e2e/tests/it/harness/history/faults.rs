//! What is done to the processes while a history runs: killed, frozen, restarted, emptied, one thing after another, as the seed
//! says. Whatever it breaks stands again when it ends. And which failures of ours it excuses.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};
use rand::{RngExt as _, SeedableRng as _};
use stampede_kit::clock::Clock;
use xtask::pids::Signal;
use xtask::servers::Kind;
use xtask::stack::Stack;

use super::record::{Micros, micros};

const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long something is down or frozen.
const DOWN_MS: Range<u64> = 0..900;

/// A server that was away breaks what was asked of it, and a little longer what stands in its pools.
const AFTERWARDS: Micros = 2_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// Kill -9 of a process, and its start.
    Kill,
    /// A process stands still for a while.
    Freeze,
    /// SIGTERM of a process, and its start.
    Restart,
    RedisKill,
    RedisFreeze,
    RedisFlush,
    PostgresRestart,
    PostgresKill,
    NatsKill,
}

/// What is done, and how often.
#[derive(Debug, Clone)]
pub struct Plan {
    pub seed: u64,
    pub menu: &'static [Fault],
    /// Between two faults.
    pub pause_ms: Range<u64>,
    /// Whether everything is up again before the pause begins; else a fault may strike while something starts.
    pub recovers: bool,
    /// Whether every fault of the menu strikes, also when it is over before.
    pub all: bool,
}

/// What was done, to whom, and from when until when.
#[derive(Debug, Clone)]
pub struct Struck {
    pub fault: Fault,
    /// Whom it strikes when it strikes a process.
    pub name: String,
    pub from: Micros,
    pub until: Micros,
}

impl fmt::Display for Struck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{} {:?} {}", self.from, self.until, self.fault, self.name)
    }
}

/// A line each, for a failure.
pub fn told(done: &[Struck]) -> String {
    done.iter().map(|struck| format!("{struck}\n")).collect()
}

impl Fault {
    /// Whether one of the three servers was away.
    fn is_of_a_server(self) -> bool {
        match self {
            Fault::RedisKill
            | Fault::RedisFreeze
            | Fault::PostgresRestart
            | Fault::PostgresKill
            | Fault::NatsKill => true,
            Fault::Kill | Fault::Freeze | Fault::Restart | Fault::RedisFlush => false,
        }
    }
}

/// Answers that say INTERNAL, given as (when the call began, when it ended): none that was given while all servers stood is excused.
pub fn unexcused(internal: impl Iterator<Item = (Micros, Micros)>, done: &[Struck]) -> usize {
    let excused = |(begun, ended): &(Micros, Micros)| {
        let away = |struck: &&Struck| struck.from <= *ended && *begun <= struck.until + AFTERWARDS;
        done.iter().filter(|struck| struck.fault.is_of_a_server()).any(|struck| away(&struck))
    };
    internal.filter(|call| !excused(call)).count()
}

/// Hurts the stack and these processes of it for as long as it goes on, by the whole menu before anything twice; what was done. Blocks.
pub fn hurt(
    stack: &Arc<Mutex<Stack>>,
    names: &[String],
    plan: &Plan,
    goes_on: impl Fn() -> bool,
) -> Vec<Struck> {
    let mut rng = StdRng::seed_from_u64(plan.seed);
    let now = || micros(Clock::system().now());
    let (mut done, mut left): (Vec<Struck>, Vec<Fault>) = (Vec::new(), Vec::new());
    while goes_on() || (plan.all && done.len() < plan.menu.len()) {
        std::thread::sleep(Duration::from_millis(rng.random_range(plan.pause_ms.clone())));
        if left.is_empty() {
            left = plan.menu.to_vec();
            left.shuffle(&mut rng);
        }
        let (Some(fault), Some(name)) = (left.pop(), names.choose(&mut rng)) else { break };
        let down = Duration::from_millis(rng.random_range(DOWN_MS));
        let mut stack = stack.lock().unwrap_or_else(PoisonError::into_inner);
        let from = now();
        strike(&mut stack, fault, name, down);
        if plan.recovers {
            stand_up(&mut stack, names);
        }
        done.push(Struck { fault, name: name.clone(), from, until: now() });
    }
    stand_up(&mut stack.lock().unwrap_or_else(PoisonError::into_inner), names);
    done
}

fn stand_up(stack: &mut Stack, names: &[String]) {
    for name in names {
        stack.start(name).unwrap();
        stack.wait_ready(name, READY_WITHIN).unwrap();
    }
}

fn strike(stack: &mut Stack, fault: Fault, name: &str, down: Duration) {
    let pause = || std::thread::sleep(down);
    match fault {
        Fault::Kill => {
            stack.kill9(name).unwrap();
            pause();
            stack.start(name).unwrap();
        }
        Fault::Restart => {
            stack.stop(name).unwrap();
            pause();
            stack.start(name).unwrap();
        }
        Fault::Freeze => frozen(stack.pid(name), pause),
        Fault::RedisFreeze => frozen(stack.servers().pid(Kind::Redis), pause),
        Fault::RedisKill => again(stack, Kind::Redis, true, pause),
        Fault::PostgresKill => again(stack, Kind::Postgres, true, pause),
        Fault::PostgresRestart => again(stack, Kind::Postgres, false, pause),
        Fault::NatsKill => again(stack, Kind::Nats, true, pause),
        Fault::RedisFlush => {
            let client = redis::Client::open(stack.servers().redis_url()).unwrap();
            redis::cmd("FLUSHALL").exec(&mut client.get_connection().unwrap()).unwrap();
        }
    }
}

fn frozen(pid: Option<xtask::pids::Pid>, pause: impl Fn()) {
    if let Some(pid) = pid {
        pid.signal(Signal::Stop).unwrap();
        pause();
        pid.signal(Signal::Continue).unwrap();
    }
}

fn again(stack: &mut Stack, kind: Kind, kill: bool, pause: impl Fn()) {
    let servers = stack.servers_mut();
    if kill { servers.kill9(kind) } else { servers.stop_one(kind) }.unwrap();
    pause();
    servers.restart(kind).unwrap();
}
