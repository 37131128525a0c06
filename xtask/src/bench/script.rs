//! The gate's script alone, under redis-benchmark: the service's own `admit.lua` on keys of its own, one request a call and many.
//! It asks once itself first and believes the figures only when that request was admitted.

use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context as _, bail, ensure};
use redis::aio::MultiplexedConnection;

use crate::measure::Figures;
use crate::processes::{Measured, Snapshot};
use crate::servers::find;
use crate::terminal::Step;

/// The script of the gate. Its keys and arguments are described at its top; `request` and `KEYS` here follow it.
const SCRIPT: &str = include_str!("../../../crates/inventory/src/gate/admit.lua");
const KEYS: [&str; 3] = ["bare:{pool}:counters", "bare:{pool}:quotas", "bare:{pool}:tokens"];
/// May run the script on these keys and nothing else, so it needs no password on a command line.
const USER: &str = "bare";
/// Requests of one measurement.
const REQUESTS: usize = 200_000;
const CONNECTIONS: &str = "50";
const PIPELINE: &str = "16";
/// How many `__rand_int__` is drawn from: hardly two tokens are alike, and redis-benchmark reads 32 bits.
const TOKENS: &str = "2000000000";
/// A pool in one piece.
const LAYOUT: &str = "1";
/// The code of an admitted request.
const ADMITTED: i64 = 0;

/// The script in a Redis, ready to be called.
pub struct Bare {
    redis: MultiplexedConnection,
    sha: String,
    port: u16,
}

impl Bare {
    pub async fn prepare(url: &str, step: &Step) -> anyhow::Result<Bare> {
        find::or_install("redis-benchmark", "redis-tools", step)?;
        let client = redis::Client::open(url).context("the Redis address")?;
        let port = reqwest::Url::parse(url).ok().and_then(|url| url.port()).context("Redis has a port")?;
        let mut redis = client.get_multiplexed_async_connection().await?;
        let sha: String = redis::cmd("SCRIPT").arg("LOAD").arg(SCRIPT).query_async(&mut redis).await?;
        let allowed =
            ["reset", "on", "nopass", "~bare:*", "+evalsha", "+time", "+hmget", "+hset", "+hget", "+hincrby"];
        redis::cmd("ACL").arg("SETUSER").arg(USER).arg(&allowed).query_async::<()>(&mut redis).await?;
        Ok(Bare { redis, sha, port })
    }

    /// Calls with so many requests each; the figures are of requests.
    pub async fn call(&mut self, requests: usize, processes: &[Measured]) -> anyhow::Result<Figures> {
        self.open().await?;
        let arguments = std::iter::once(LAYOUT.to_owned()).chain((0..requests).flat_map(|_| request()));
        self.check(requests).await?;
        let calls = (REQUESTS / requests).max(1_000);
        let mut command = Command::new("redis-benchmark");
        command
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "--user", USER, "-a", "none"])
            .args(["-n", &calls.to_string(), "-c", CONNECTIONS, "-P", PIPELINE, "-r", TOKENS, "--csv"])
            .args(["EVALSHA", &self.sha, &KEYS.len().to_string()])
            .args(KEYS)
            .args(arguments)
            .stdin(Stdio::null());
        let (cpu, began) = (Snapshot::take(processes), Instant::now());
        let output = tokio::task::block_in_place(|| command.output()).context("redis-benchmark")?;
        let (later, _) = (Snapshot::take(processes), began.elapsed());
        let text = String::from_utf8_lossy(&output.stdout);
        let Some(per_second) = calls_per_second(&text) else {
            bail!("redis-benchmark says {:?}", String::from_utf8_lossy(&output.stderr).lines().last());
        };
        self.count(calls * requests).await?;
        let rate = per_second * requests as f64;
        let mut cpu = later.cpu_us_since(&cpu);
        // redis-benchmark is a child of this process.
        cpu.values_mut().for_each(|us| *us /= (calls * requests) as f64);
        Ok(Figures { accepted_per_s: rate, cpu_us: cpu, ..Figures::default() })
    }

    /// A pool with a limit, open, with units for everybody.
    async fn open(&mut self) -> anyhow::Result<()> {
        let [counters, quotas, tokens] = KEYS;
        let mut pipeline = redis::pipe();
        pipeline.cmd("UNLINK").arg(&[counters, quotas, tokens]).ignore();
        let fields = [
            ("free", 1_000_000_000_i64),
            ("limit", 1_000_000),
            ("opens_ms", 0),
            ("closes_ms", 1 << 53),
            ("version", 1),
            ("layout", 1),
        ];
        pipeline.hset_multiple(counters, &fields).ignore();
        pipeline.query_async::<()>(&mut self.redis).await.context("the keys of the bare script")
    }

    /// One call as redis-benchmark makes them must be admitted whole: the script may have changed its arguments.
    async fn check(&mut self, requests: usize) -> anyhow::Result<()> {
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.sha).arg(KEYS.len()).arg(&KEYS).arg(LAYOUT);
        for n in 0..requests {
            let number = format!("{n:012}");
            for argument in request() {
                call.arg(argument.replace("__rand_int__", &number));
            }
        }
        let reply: Vec<i64> = call.query_async(&mut self.redis).await.context("the gate's script")?;
        ensure!(
            reply.len() >= requests && reply.len().is_multiple_of(requests) && reply[0] == ADMITTED,
            "the gate's script takes other arguments than `bench` gives it: {reply:?}"
        );
        Ok(())
    }

    /// What redis-benchmark did not tell: whether the requests were admitted.
    async fn count(&mut self, requests: usize) -> anyhow::Result<()> {
        let admitted: usize = redis::cmd("HLEN").arg(KEYS[2]).query_async(&mut self.redis).await?;
        // A few tokens are drawn twice; those are answered as known.
        ensure!(admitted > requests * 9 / 10, "only {admitted} of {requests} were admitted");
        redis::cmd("UNLINK").arg(&KEYS).query_async::<()>(&mut self.redis).await?;
        Ok(())
    }
}

/// One request of one line: token, buyer, lines, cell, quantity.
fn request() -> [String; 5] {
    ["token-__rand_int__", "buyer-__rand_int__", "1", "1", "1"].map(str::to_owned)
}

/// `"EVALSHA …","12345.67","0.1",…` in the line of the test is 12345.67.
fn calls_per_second(csv: &str) -> Option<f64> {
    let line = csv.lines().find(|line| line.starts_with("\"EVALSHA"))?;
    line.split("\",\"").nth(1)?.trim_matches('"').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_read_from_the_line_of_the_test() {
        let csv = "\"test\",\"rps\",\"avg_latency_ms\"\n\"EVALSHA abc 3 k\",\"98039.22\",\"0.263\",\"0.1\"\n";
        assert_eq!(calls_per_second(csv), Some(98_039.22));
        assert_eq!(calls_per_second("\"test\",\"rps\"\n"), None);
    }
}
