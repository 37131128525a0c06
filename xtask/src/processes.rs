//! What processes cost, from `/proc`: CPU time and memory of each with all its children. It only reads.

use std::collections::BTreeMap;
use std::fs;

use anyhow::Context as _;

/// `/proc` counts CPU time in these, whatever the kernel's own ticks are (`USER_HZ`).
const TICKS_PER_S: f64 = 100.0;
const KIB_PER_MIB: f64 = 1024.0;

/// A process that is measured, by the name the report gives it.
#[derive(Debug, Clone)]
pub struct Measured {
    pub name: String,
    pub pid: u32,
    /// Whether what it has started counts as part of it.
    pub with_children: bool,
}

impl Measured {
    pub fn new(name: &str, pid: u32) -> Measured {
        Measured { name: name.to_owned(), pid, with_children: true }
    }

    /// This process: it has started all the others.
    pub fn own(name: &str) -> Measured {
        Measured { with_children: false, ..Measured::new(name, std::process::id()) }
    }
}

/// CPU time so far and memory now, by name.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    ticks: BTreeMap<String, u64>,
    memory_mib: BTreeMap<String, f64>,
}

/// One line of `/proc/<pid>/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stat {
    parent: u32,
    /// In user and system mode, of all threads.
    ticks: u64,
    /// Of children that have ended and been waited for.
    ended_ticks: u64,
}

impl Stat {
    /// proc(5): the second field is the name in parentheses and may hold anything, so count from its end.
    fn parse(text: &str) -> Option<Stat> {
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
        Some(Stat {
            parent: u32::try_from(number(1)?).ok()?,
            ticks: number(11)? + number(12)?,
            ended_ticks: number(13)? + number(14)?,
        })
    }
}

impl Snapshot {
    /// Of these processes.
    pub fn take(measured: &[Measured]) -> Snapshot {
        let all = all();
        let mut snapshot = Snapshot::default();
        for Measured { name, pid, with_children } in measured {
            let mut family = family(&all, *pid);
            if !with_children {
                family.truncate(1);
            }
            let ticks = family.iter().map(|pid| all[pid].ticks + all[pid].ended_ticks).sum::<u64>();
            let memory = family.iter().filter_map(|pid| memory_mib(*pid)).sum::<f64>();
            *snapshot.ticks.entry(name.clone()).or_default() += ticks;
            *snapshot.memory_mib.entry(name.clone()).or_default() += memory;
        }
        snapshot
    }

    /// CPU microseconds since `earlier`, by name.
    pub fn cpu_us_since(&self, earlier: &Snapshot) -> BTreeMap<String, f64> {
        let since = |(name, ticks): (&String, &u64)| {
            let before = earlier.ticks.get(name).copied().unwrap_or(0);
            (name.clone(), ticks.saturating_sub(before) as f64 / TICKS_PER_S * 1e6)
        };
        self.ticks.iter().map(since).collect()
    }

    /// MiB in memory, by name. Postgres's shared buffers count once: what a process shares with its parent is not its own.
    pub fn memory_mib(&self) -> &BTreeMap<String, f64> {
        &self.memory_mib
    }
}

fn all() -> BTreeMap<u32, Stat> {
    let Ok(entries) = fs::read_dir("/proc") else { return BTreeMap::new() };
    let stat = |pid: u32| Some((pid, Stat::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)?));
    entries.flatten().filter_map(|entry| stat(entry.file_name().to_str()?.parse().ok()?)).collect()
}

/// The process and its descendants.
fn family(all: &BTreeMap<u32, Stat>, pid: u32) -> Vec<u32> {
    let mut family: Vec<u32> = all.contains_key(&pid).then_some(pid).into_iter().collect();
    let mut at = 0;
    while let Some(parent) = family.get(at).copied() {
        family.extend(all.iter().filter(|(_, stat)| stat.parent == parent).map(|(child, _)| *child));
        at += 1;
    }
    family
}

/// The proportional set: pages shared by several processes are divided among them.
fn memory_mib(pid: u32) -> Option<f64> {
    let proportional = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok();
    let kib = proportional.and_then(|text| kib(&text, "Pss:"));
    let kib = kib.or_else(|| kib_of_status(pid))?;
    Some(kib / KIB_PER_MIB)
}

fn kib_of_status(pid: u32) -> Option<f64> {
    kib(&fs::read_to_string(format!("/proc/{pid}/status")).ok()?, "VmRSS:")
}

/// `Pss:      1234 kB` is 1234.
fn kib(text: &str, field: &str) -> Option<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// How many threads a process has.
///
/// # Errors
/// There is no such process.
pub fn threads(pid: u32) -> anyhow::Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let threads = status.lines().find_map(|line| line.strip_prefix("Threads:"));
    Ok(threads.context("no line for threads")?.trim().parse()?)
}

/// Connections of this machine to a port of it.
///
/// # Errors
/// `/proc` cannot be read.
pub fn to_port(port: u16) -> anyhow::Result<u64> {
    Ok(established(&fs::read_to_string("/proc/net/tcp")?, port))
}

/// proc(5): local address, remote address and state are the second to the fourth field; 01 is established.
fn established(table: &str, port: u16) -> u64 {
    let remote = format!(":{port:04X}");
    let is_one = |line: &&str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().take(4).collect();
        matches!(fields[..], [_, _, to, "01"] if to.ends_with(&remote))
    };
    table.lines().filter(is_one).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_is_read_past_a_name_that_looks_like_one() {
        let text = "42 (a) b (c) S 7 42 42 0 -1 4194560 1 2 3 4 100 50 30 20 20 0 9 0 12345 1 1";
        assert_eq!(Stat::parse(text), Some(Stat { parent: 7, ticks: 150, ended_ticks: 50 }));
        assert_eq!(Stat::parse("nonsense"), None);
    }

    #[test]
    fn a_family_is_a_process_and_all_below_it() {
        let stat = |parent| Stat { parent, ticks: 0, ended_ticks: 0 };
        let all = BTreeMap::from([(1, stat(0)), (2, stat(1)), (3, stat(2)), (4, stat(1)), (5, stat(9))]);
        assert_eq!(family(&all, 2), [2, 3]);
        assert_eq!(family(&all, 1), [1, 2, 4, 3]);
        assert_eq!(family(&all, 77), Vec::<u32>::new());
    }

    #[test]
    fn cpu_time_is_what_came_since() {
        let snapshot =
            |ticks| Snapshot { ticks: BTreeMap::from([("a".to_owned(), ticks)]), ..Snapshot::default() };
        assert_eq!(snapshot(250).cpu_us_since(&snapshot(50))["a"], 2_000_000.0);
        assert_eq!(snapshot(10).cpu_us_since(&snapshot(50))["a"], 0.0);
    }

    #[test]
    fn this_process_has_memory() {
        let own = [Measured::own("own")];
        assert!(Snapshot::take(&own).memory_mib()["own"] > 1.0);
        assert_eq!(kib("Rss:  5 kB\nPss:   12 kB\n", "Pss:"), Some(12.0));
    }

    #[test]
    fn connections_are_counted_from_the_side_that_made_them() {
        let table = "  sl  local_address rem_address   st\n   0: 0100007F:1F90 00000000:0000 0A 0\n\
                     1: 0100007F:C001 0100007F:1F90 01 0\n   2: 0100007F:1F90 0100007F:C001 01 0\n\
                     3: 0100007F:C002 0100007F:1F90 06 0\n";
        assert_eq!(established(table, 0x1F90), 1);
    }

    #[test]
    fn this_process_has_threads() {
        assert!(threads(std::process::id()).unwrap() > 0);
    }
}
