//! What is done to the processes while a history runs: killed, frozen, restarted, emptied, one thing after another, as the seed
//! says. Whatever it breaks stands again when it ends.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use xtask::pids::Signal;
use xtask::servers::Kind;
use xtask::stack::Stack;

const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long something is down or frozen.
const DOWN_MS: Range<u64> = 0..900;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
}

/// Hurts the stack and these processes of it for as long as it goes on; what was done and when, in words. Blocks.
pub fn hurt(
    stack: &Arc<Mutex<Stack>>,
    names: &[String],
    plan: &Plan,
    goes_on: impl Fn() -> bool,
) -> Vec<String> {
    let mut rng = StdRng::seed_from_u64(plan.seed);
    let began = Instant::now();
    let mut done = Vec::new();
    while goes_on() {
        std::thread::sleep(Duration::from_millis(rng.random_range(plan.pause_ms.clone())));
        let (fault, name) = (plan.menu.choose(&mut rng).unwrap(), names.choose(&mut rng).unwrap());
        let down = Duration::from_millis(rng.random_range(DOWN_MS));
        let mut stack = stack.lock().unwrap_or_else(PoisonError::into_inner);
        strike(&mut stack, *fault, name, down);
        if plan.recovers {
            stand_up(&mut stack, names);
        }
        done.push(format!("{:?} {fault:?} {name} for {down:?}", began.elapsed()));
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
