//! The gate's real scripts on a real Redis against the model: random histories, the same answers and the same keys. And the proof
//! that this finds something: a script with any one of its guards changed answers differently.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;

use crate::gate_model::{Ask, CELLS, Cell, Counters, Load, Pool, Shift, Told};
use crate::redis_nodes::Raw;
use crate::shop;

/// So many that each mutant below fails the comparison itself.
const HISTORIES: usize = 100;
const STEPS: usize = 40;
/// A mutant that many histories do not tell from the script would live.
const HISTORIES_OF_A_MUTANT: usize = 300;
const POOLS: usize = 2;
/// Where the clock begins; windows open and close some milliseconds around it.
const BEGIN_MS: i64 = 1_700_000_000_000;

/// Instead of the server's time. The same text in every run: Redis keeps each script it has seen.
const CLOCK: &str = "redis.call('HMGET', string.match(KEYS[1], '^[^:]+') .. ':clock', 's', 'us')";

#[derive(Debug, Clone)]
enum Step {
    Wait { micros: i64 },
    Admit { pool: usize, layout: i64, asks: Vec<Ask> },
    Settle { pool: usize, layout: i64, told: Vec<Told> },
    Load { pool: usize, load: Load },
    Shift { pool: usize, shift: Shift },
    Forget { pool: usize, cell: usize, whole: bool },
}

#[derive(Clone)]
struct Scripts {
    admit: String,
    settle: String,
    load: String,
    shift: String,
}

impl Scripts {
    fn real() -> Self {
        Self {
            admit: include_str!("../../src/gate/admit.lua").to_owned(),
            settle: include_str!("../../src/gate/settle.lua").to_owned(),
            load: include_str!("../../src/gate/load.lua").to_owned(),
            shift: include_str!("../../src/gate/shift.lua").to_owned(),
        }
    }

    /// The same scripts with one passage of one of them changed.
    fn changed(which: &str, from: &str, to: &str) -> Self {
        let mut scripts = Self::real();
        let script = match which {
            "admit" => &mut scripts.admit,
            "settle" => &mut scripts.settle,
            "load" => &mut scripts.load,
            "shift" => &mut scripts.shift,
            _ => panic!("there is no script {which}"),
        };
        assert_eq!(script.matches(from).count(), 1, "{which}.lua has {from:?} once");
        *script = script.replace(from, to);
        scripts
    }
}

#[tokio::test]
async fn random_histories_have_the_same_answers_from_the_scripts_and_from_the_model() {
    let redis = Raw::shared().await;
    let mut runner = TestRunner::deterministic();
    for _ in 0..HISTORIES {
        let history = prop::collection::vec(step(), STEPS).new_tree(&mut runner).unwrap().current();
        if let Err(difference) = compare(&redis, &Scripts::real(), &history).await {
            panic!("{difference}");
        }
    }
}

/// Which script, what is changed, into what.
const MUTANTS: [(&str, &str, &str); 28] = [
    ("admit", "if not cell.loaded then", "if false then"),
    ("admit", "layout == tonumber(ARGV[1])", "layout"),
    ("admit", "if cell.held[token] then", "if false then"),
    ("admit", "cell.held[token] = true", ""),
    ("admit", "now_ms < cell.opens_ms", "now_ms <= cell.opens_ms"),
    ("admit", "if now_ms < cell.opens_ms then return NOT_OPEN, cell end", ""),
    ("admit", "now_ms >= cell.closes_ms", "now_ms > cell.closes_ms"),
    ("admit", "if now_ms >= cell.closes_ms then return CLOSED, cell end", ""),
    ("admit", "+ quantity > cell.limit then", "+ quantity > cell.limit + 1 then"),
    ("admit", "cell.new_used[buyer] = cell.used[buyer]", ""),
    ("admit", "if quantity > cell.free then", "if quantity > cell.free + 1 then"),
    ("admit", "cell.free = cell.free - quantity", ""),
    ("settle", "layout == tonumber(ARGV[1])", "layout"),
    ("settle", "held and number <= cell.loaded", "held and number < cell.loaded"),
    (
        "settle",
        "if number > cell.loaded then cell.delta = cell.delta - units end",
        "cell.delta = cell.delta - units",
    ),
    (
        "settle",
        "if number > cell.loaded then cell.delta = cell.delta + units end",
        "cell.delta = cell.delta + units",
    ),
    ("settle", "cell.held[token] = nil", ""),
    ("settle", "cell.gave <= admitted", "true"),
    ("settle", "use(cell, holder, -aside)", ""),
    ("settle", "cell.seen = number", ""),
    ("load", "number < (tonumber(c[1]) or 0) or", ""),
    ("load", "or number < (tonumber(c[2]) or 0)", ""),
    ("load", "<= longest", "< longest"),
    ("load", "c[4] == layout and", ""),
    ("shift", "or c[4] ~= layout", ""),
    ("shift", "number > 0 and number ~= loaded", "false"),
    ("shift", "math.min(-units, math.max(tonumber(c[1]), 0))", "-units"),
    ("shift", "math.max(tonumber(c[1]), 0)", "tonumber(c[1])"),
];

#[tokio::test]
async fn a_script_with_any_guard_changed_answers_differently() {
    let redis = Raw::shared().await;
    let mut alive = String::new();
    for (which, from, to) in MUTANTS {
        let scripts = Scripts::changed(which, from, to);
        let mut runner = TestRunner::deterministic();
        let mut found = false;
        for _ in 0..HISTORIES_OF_A_MUTANT {
            let history = prop::collection::vec(step(), STEPS).new_tree(&mut runner).unwrap().current();
            if compare(&redis, &scripts, &history).await.is_err() {
                found = true;
                break;
            }
        }
        if !found {
            writeln!(alive, "{which}.lua: {from:?} may be {to:?}").unwrap();
        }
    }
    assert_eq!(alive, "", "nothing tells these from the script");
}

fn step() -> impl Strategy<Value = Step> {
    let (pool, layout) = (0..POOLS, prop_oneof![19 => Just(1_i64), 1 => Just(2)]);
    let token = || (0..5_u8).prop_map(|n| format!("token-{n}"));
    let buyer = || (0..3_u8).prop_map(|n| format!("buyer:{n}"));
    let lines = prop_oneof![
        (0..CELLS, 1..4_i64).prop_map(|line| vec![line]),
        (1..3_i64, 1..3_i64).prop_map(|(one, two)| vec![(1, one), (0, two)]),
    ];
    let ask = (token(), buyer(), lines).prop_map(|(token, buyer, lines)| Ask { token, buyer, lines });
    let what = prop::sample::select(vec!["taken", "refused", "over", "unknown", "moved"]);
    let anybody = prop_oneof![4 => buyer(), 1 => Just(String::new())];
    let told = (0..CELLS, what, token(), anybody, -2..5_i64, 0..8_i64).prop_map(
        |(cell, what, token, buyer, units, number)| {
            // The units of the others are a quantity or a limit, and only what the ledger did has a number.
            let units = if what == "moved" { units } else { units.abs() + 1 };
            let number = if ["taken", "moved"].contains(&what) { number } else { 0 };
            Told { cell, what, token, buyer, units, number }
        },
    );
    let window = (
        prop_oneof![3 => Just(0), 1 => BEGIN_MS..BEGIN_MS + 4],
        prop_oneof![
            3 => Just(1_i64 << 53),
            1 => BEGIN_MS + 2..BEGIN_MS + 8
        ],
    );
    let longest = prop::sample::select(vec![-1_i64, 1, 2, 3, 1_000, 1 << 40]);
    let load = (0..CELLS, 0..8_i64, 0..9_i64, 0..4_i64, window, layout.clone(), longest, any::<bool>())
        .prop_map(|(cell, number, units, limit, (opens_ms, closes_ms), layout, longest_us, forget)| Load {
            cell,
            number,
            units,
            limit,
            opens_ms,
            closes_ms,
            layout,
            longest_us,
            forget,
        });
    let shift = (0..CELLS, layout.clone(), -6..7_i64, 0..8_i64)
        .prop_map(|(cell, layout, units, number)| Shift { cell, layout, units, number });
    let many = |asks| prop::collection::vec(asks, 1..6);
    prop_oneof![
        2 => prop_oneof![Just(500_i64), Just(1_000), 1..3_000_i64].prop_map(|micros| Step::Wait { micros }),
        6 => (pool.clone(), layout.clone(), many(ask.boxed()))
            .prop_map(|(pool, layout, asks)| Step::Admit { pool, layout, asks }),
        5 => (pool.clone(), layout, prop::collection::vec(told, 1..6))
            .prop_map(|(pool, layout, told)| Step::Settle { pool, layout, told }),
        2 => (pool.clone(), shift).prop_map(|(pool, shift)| Step::Shift { pool, shift }),
        4 => (pool.clone(), load).prop_map(|(pool, load)| Step::Load { pool, load }),
        1 => (pool, 0..CELLS, any::<bool>())
            .prop_map(|(pool, cell, whole)| Step::Forget { pool, cell, whole }),
    ]
}

/// The first step after which the two differ, in words.
async fn compare(redis: &Raw, scripts: &Scripts, history: &[Step]) -> Result<(), String> {
    let mut bench = Bench { redis: redis.clone(), prefix: shop::prefix(), scripts: scripts.clone() };
    let mut pools: [Pool; POOLS] = Default::default();
    let mut now_us = BEGIN_MS * 1_000;
    let mut result = Ok(());
    for (at, step) in history.iter().enumerate() {
        if let Step::Wait { micros } = step {
            now_us += micros;
            continue;
        }
        // Two calls never see one microsecond.
        now_us += 1;
        pools.iter_mut().for_each(|pool| pool.now_us = now_us);
        bench.set_clock(now_us).await;
        let (said, expected) = bench.both(step, &mut pools).await;
        if said != expected {
            result = Err(format!("{said:?} instead of {expected:?} after {:?}", &history[..=at]));
            break;
        }
    }
    for (pool, model) in pools.iter().enumerate() {
        for (cell, expected) in model.cells.iter().enumerate() {
            let found = bench.cell(pool, cell).await;
            if result.is_ok() && found != *expected {
                result = Err(format!("{found:?} instead of {expected:?} after {history:?}"));
            }
        }
    }
    bench.clear().await;
    result
}

/// The scripts on keys of their own, with a clock that is set.
struct Bench {
    redis: Raw,
    prefix: String,
    scripts: Scripts,
}

impl Bench {
    fn keys(&self, pool: usize, cell: usize) -> [String; 3] {
        ["counters", "quotas", "tokens"].map(|part| format!("{}:{{{pool}}}:{part}:{cell}", self.prefix))
    }

    fn clock(&self) -> String {
        format!("{}:clock", self.prefix)
    }

    async fn set_clock(&mut self, now_us: i64) {
        let mut set = redis::cmd("HSET");
        set.arg(self.clock()).arg(&[("s", now_us / 1_000_000), ("us", now_us % 1_000_000)]);
        set.exec_async(&mut self.redis).await.unwrap();
    }

    /// What the script says and what the model says. A script that fails says something else.
    async fn both(
        &mut self,
        step: &Step,
        pools: &mut [Pool],
    ) -> (Result<Vec<i64>, String>, Result<Vec<i64>, String>) {
        match step {
            Step::Wait { .. } => (Ok(Vec::new()), Ok(Vec::new())),
            Step::Admit { pool, layout, asks } => {
                let cells = asks.iter().flat_map(|ask| ask.lines.iter().map(|(cell, _)| *cell));
                let (mut call, place) = self.call(&self.scripts.admit, *pool, cells);
                call.arg(*layout);
                for ask in asks {
                    call.arg(&ask.token).arg(&ask.buyer).arg(ask.lines.len());
                    for (cell, quantity) in &ask.lines {
                        call.arg(place[cell]).arg(*quantity);
                    }
                }
                (self.run(&call).await, Ok(pools[*pool].admit(*layout, asks)))
            }
            Step::Settle { pool, layout, told } => {
                let cells = told.iter().map(|told| told.cell);
                let (mut call, place) = self.call(&self.scripts.settle, *pool, cells);
                call.arg(*layout);
                for told in told {
                    call.arg(place[&told.cell]).arg(told.what).arg(&told.token).arg(&told.buyer);
                    call.arg(told.units).arg(told.number);
                }
                (self.run(&call).await, Ok(pools[*pool].settle(*layout, told)))
            }
            Step::Load { pool, load } => {
                let (mut call, _) = self.call(&self.scripts.load, *pool, std::iter::once(load.cell));
                call.arg(load.number).arg(load.units).arg(load.limit).arg(load.opens_ms).arg(load.closes_ms);
                call.arg(load.layout).arg(load.longest_us).arg(i64::from(load.forget));
                (self.run(&call).await, Ok(pools[*pool].load(load)))
            }
            Step::Shift { pool, shift } => {
                let mut call = redis::cmd("EVAL");
                call.arg(self.scripts.shift.replace("redis.call('TIME')", CLOCK)).arg(1);
                call.arg(&self.keys(*pool, shift.cell)[0]);
                call.arg(shift.layout).arg(shift.units).arg(shift.number);
                (self.run(&call).await, Ok(pools[*pool].shift(shift)))
            }
            Step::Forget { pool, cell, whole } => {
                let keys = self.keys(*pool, *cell);
                let keys = if *whole { &keys[..] } else { &keys[..1] };
                redis::cmd("DEL").arg(keys).exec_async(&mut self.redis).await.unwrap();
                let model = &mut pools[*pool].cells[*cell];
                if *whole {
                    *model = Cell::default();
                }
                model.counters = None;
                (Ok(Vec::new()), Ok(Vec::new()))
            }
        }
    }

    /// The script's call with its keys, and which of them each cell is.
    fn call(
        &self,
        script: &str,
        pool: usize,
        cells: impl Iterator<Item = usize>,
    ) -> (redis::Cmd, BTreeMap<usize, usize>) {
        let mut order = Vec::new();
        let mut place = BTreeMap::new();
        for cell in cells {
            place.entry(cell).or_insert_with(|| {
                order.push(cell);
                order.len()
            });
        }
        let mut call = redis::cmd("EVAL");
        call.arg(script.replace("redis.call('TIME')", CLOCK)).arg(order.len() * 3);
        for cell in order {
            call.arg(&self.keys(pool, cell));
        }
        (call, place)
    }

    async fn run(&mut self, call: &redis::Cmd) -> Result<Vec<i64>, String> {
        call.query_async(&mut self.redis).await.map_err(|error| error.to_string())
    }

    async fn cell(&mut self, pool: usize, cell: usize) -> Cell {
        let [counters, quotas, tokens] = self.keys(pool, cell);
        let counters: BTreeMap<String, i64> = self.hash(&counters).await;
        let tokens: BTreeMap<String, String> = self.hash(&tokens).await;
        let field = |name: &str| counters.get(name).copied();
        let all = (!counters.is_empty()).then(|| Counters {
            free: field("free").unwrap_or(i64::MIN),
            limit: field("limit").unwrap_or(-1),
            opens_ms: field("opens_ms").unwrap_or(-1),
            closes_ms: field("closes_ms").unwrap_or(-1),
            version: field("version").unwrap_or(-1),
            loaded: field("loaded").unwrap_or(-1),
            layout: field("layout").unwrap_or(-1),
            settled: field("seen").zip(field("gave")),
        });
        let held = |held: String| {
            let mut parts = held.splitn(3, ':');
            let mut number = || parts.next().and_then(|part| part.parse().ok()).unwrap_or(-1);
            (number(), number(), parts.next().unwrap_or_default().to_owned())
        };
        let tokens = tokens.into_iter().map(|(token, aside)| (token, held(aside))).collect();
        Cell { counters: all, used: self.hash(&quotas).await, tokens }
    }

    async fn hash<T: redis::FromRedisValue>(&mut self, key: &str) -> BTreeMap<String, T> {
        redis::cmd("HGETALL").arg(key).query_async(&mut self.redis).await.unwrap()
    }

    async fn clear(&mut self) {
        let cells = (0..POOLS).flat_map(|pool| (0..CELLS).map(move |cell| (pool, cell)));
        let keys: Vec<String> =
            cells.flat_map(|(pool, cell)| self.keys(pool, cell)).chain([self.clock()]).collect();
        redis::cmd("DEL").arg(keys).exec_async(&mut self.redis).await.unwrap();
    }
}
