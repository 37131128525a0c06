//! What the gate's scripts should do, said again without Redis: one bucket of one pool with its cells, and a clock that stands
//! still during a call. The scripts are compared with it, step by step.

use std::collections::{BTreeMap, BTreeSet};

pub type Held = (i64, i64, String);

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Counters {
    pub free: i64,
    pub limit: i64,
    pub opens_ms: i64,
    pub closes_ms: i64,
    pub version: i64,
    pub loaded: i64,
    pub layout: i64,
    /// The highest number heard of, and when units were last given back; neither before something was settled.
    pub settled: Option<(i64, i64)>,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Cell {
    pub counters: Option<Counters>,
    pub used: BTreeMap<String, i64>,
    /// Units put aside, since when, for whom.
    pub tokens: BTreeMap<String, Held>,
}

#[derive(Debug, Clone)]
pub struct Ask {
    pub token: String,
    pub buyer: String,
    pub lines: Vec<(usize, i64)>,
}

#[derive(Debug, Clone)]
pub struct Told {
    pub cell: usize,
    pub what: &'static str,
    pub token: String,
    pub buyer: String,
    pub units: i64,
    pub number: i64,
}

#[derive(Debug, Clone)]
pub struct Load {
    pub cell: usize,
    pub number: i64,
    pub units: i64,
    pub limit: i64,
    pub opens_ms: i64,
    pub closes_ms: i64,
    pub layout: i64,
    pub longest_us: i64,
    pub forget: bool,
}

#[derive(Debug, Clone)]
pub struct Shift {
    pub cell: usize,
    pub layout: i64,
    pub units: i64,
    pub number: i64,
}

pub const CELLS: usize = 2;

#[derive(Debug, Clone, Default)]
pub struct Pool {
    pub cells: [Cell; CELLS],
    pub now_us: i64,
}

impl Pool {
    /// Code, cell, value and version of each.
    pub fn admit(&mut self, layout: i64, asks: &[Ask]) -> Vec<i64> {
        let cells = in_order(asks.iter().flat_map(|ask| ask.lines.iter().map(|(cell, _)| *cell)));
        let place = |cell: usize| cells.iter().position(|known| *known == cell).unwrap() as i64 + 1;
        let version = |cell: &Cell| cell.counters.as_ref().map_or(0, |counters| counters.version);
        let versions: Vec<i64> = self.cells.iter().map(version).collect();
        let next: Vec<i64> = versions.iter().map(|version| (version + 1).max(self.now_us)).collect();
        let mut changed = BTreeSet::new();
        let mut reply = Vec::new();
        for ask in asks {
            let (code, about, value) = match self.refusal(layout, ask) {
                Some(refusal) => refusal,
                None => {
                    for (cell, quantity) in &ask.lines {
                        self.put_aside(ask, *cell, *quantity, next[*cell]);
                        changed.insert(*cell);
                    }
                    (0, ask.lines[0].0, None)
                }
            };
            let free = self.cells[about].counters.as_ref().map_or(0, |counters| counters.free);
            reply.extend([code, place(about), value.unwrap_or(free), versions[about]]);
        }
        for cell in changed {
            self.cells[cell].counters.as_mut().unwrap().version = next[cell];
        }
        reply
    }

    fn refusal(&self, layout: i64, ask: &Ask) -> Option<(i64, usize, Option<i64>)> {
        let cells = || ask.lines.iter().map(|(at, quantity)| (*at, &self.cells[*at], *quantity));
        let layout_of = |cell: &Cell| cell.counters.as_ref().map_or(0, |counters| counters.layout);
        if let Some((at, cell, _)) = cells().find(|(_, cell, _)| layout_of(cell) != layout) {
            return Some((6, at, Some(layout_of(cell))));
        }
        if let Some((at, ..)) = cells().find(|(_, cell, _)| cell.tokens.contains_key(&ask.token)) {
            return Some((1, at, None));
        }
        let now_ms = self.now_us / 1_000;
        cells().find_map(|(at, cell, quantity)| {
            let counters = cell.counters.as_ref()?;
            let used = cell.used.get(&ask.buyer).copied().unwrap_or(0);
            if now_ms < counters.opens_ms {
                Some((4, at, None))
            } else if now_ms >= counters.closes_ms {
                Some((5, at, None))
            } else if counters.limit > 0 && used + quantity > counters.limit {
                Some((3, at, Some(counters.limit)))
            } else {
                (quantity > counters.free).then_some((2, at, None))
            }
        })
    }

    fn put_aside(&mut self, ask: &Ask, cell: usize, quantity: i64, at: i64) {
        let cell = &mut self.cells[cell];
        let counters = cell.counters.as_mut().unwrap();
        counters.free -= quantity;
        cell.tokens.insert(ask.token.clone(), (quantity, at, ask.buyer.clone()));
        if counters.limit > 0 {
            *cell.used.entry(ask.buyer.clone()).or_default() += quantity;
        }
    }

    /// Version and whether units came back, of each cell; 0 and its layout where nothing was done.
    pub fn settle(&mut self, layout: i64, told: &[Told]) -> Vec<i64> {
        let now = self.now_us;
        let mut reply = Vec::new();
        for at in in_order(told.iter().map(|told| told.cell)) {
            let cell = &mut self.cells[at];
            let Some(counters) = cell.counters.as_ref().filter(|counters| counters.layout == layout) else {
                reply.extend([0, cell.counters.as_ref().map_or(0, |counters| counters.layout)]);
                continue;
            };
            let (before, version) = (counters.free, counters.version);
            let mut heard = false;
            for told in told.iter().filter(|told| told.cell == at) {
                heard |= cell.hear(told, now);
            }
            let counters = cell.counters.as_mut().unwrap();
            if counters.free != before {
                counters.version = (version + 1).max(now);
            }
            if counters.free != before || heard {
                counters.settled.get_or_insert((0, 0));
            }
            reply.extend([counters.version, i64::from(counters.free > before)]);
        }
        reply
    }

    /// Whether it was taken, and the version or what had been heard of.
    pub fn load(&mut self, load: &Load) -> Vec<i64> {
        let now = self.now_us;
        let cell = &mut self.cells[load.cell];
        let before = cell.counters.clone();
        let heard_of = before.as_ref().map_or(0, |c| c.loaded.max(c.settled.map_or(0, |(seen, _)| seen)));
        let version = before.as_ref().map_or(0, |counters| counters.version);
        if load.number < heard_of {
            return vec![0, heard_of];
        }
        let same_layout = before.as_ref().is_some_and(|counters| counters.layout == load.layout);
        let stays = |held: &Held| same_layout && now - held.1 <= load.longest_us;
        let gone: Vec<Held> = cell.tokens.values().filter(|held| !stays(held)).cloned().collect();
        cell.tokens.retain(|_, held| stays(held));
        if load.forget {
            cell.used.clear();
            for (quantity, _, buyer) in cell.tokens.values().filter(|_| load.limit > 0) {
                *cell.used.entry(buyer.clone()).or_default() += quantity;
            }
        } else {
            for (quantity, _, buyer) in gone.iter().filter(|_| load.limit > 0) {
                cell.uses(buyer, -quantity);
            }
        }
        let version = (version + 1).max(now);
        cell.counters = Some(Counters {
            free: load.units - cell.tokens.values().map(|(quantity, ..)| quantity).sum::<i64>(),
            limit: load.limit,
            opens_ms: load.opens_ms,
            closes_ms: load.closes_ms,
            version,
            loaded: load.number,
            layout: load.layout,
            settled: before.and_then(|counters| counters.settled),
        });
        vec![1, version]
    }

    /// Units moved, and the number the cell was loaded at.
    pub fn shift(&mut self, shift: &Shift) -> Vec<i64> {
        let Some(counters) = &mut self.cells[shift.cell].counters else { return vec![0, 0] };
        let fits = shift.number == 0 || shift.number == counters.loaded;
        let units = shift.units.max(-counters.free.max(0));
        if counters.layout != shift.layout || !fits || units == 0 {
            return vec![0, counters.loaded];
        }
        counters.free += units;
        counters.version = (counters.version + 1).max(self.now_us);
        vec![units.abs(), counters.loaded]
    }
}

impl Cell {
    /// Whether it was news.
    fn hear(&mut self, told: &Told, now: i64) -> bool {
        let counters = self.counters.clone().unwrap();
        let mut free = counters.free;
        let (seen, mut gave) = counters.settled.unwrap_or((0, 0));
        let aside = if told.what == "moved" { None } else { self.tokens.remove(&told.token) };
        let limited = counters.limit > 0;
        match (told.what, aside) {
            ("taken", Some((quantity, ..))) if told.number <= counters.loaded => free += quantity,
            ("taken", None) => {
                if told.number > counters.loaded {
                    free -= told.units;
                }
                if limited {
                    self.uses(&told.buyer, told.units);
                }
            }
            (what @ ("refused" | "over"), Some((quantity, admitted, buyer))) => {
                free += quantity;
                if limited {
                    self.uses(&buyer, -quantity);
                    if what == "over" && gave <= admitted {
                        let least = told.units - quantity + 1;
                        let used = self.used.get(&buyer).copied().unwrap_or(0);
                        if used < least {
                            self.used.insert(buyer, least);
                        }
                    }
                }
            }
            ("moved", _) => {
                if told.number > counters.loaded {
                    free += told.units;
                }
                if limited {
                    self.uses(&told.buyer, -told.units);
                }
                gave = now;
            }
            _ => {}
        }
        let heard = told.what == "moved" || told.number > seen;
        let counters = self.counters.as_mut().unwrap();
        counters.free = free;
        if heard || counters.settled.is_some() {
            counters.settled = Some((seen.max(told.number), gave));
        }
        heard
    }

    fn uses(&mut self, buyer: &str, units: i64) {
        if buyer.is_empty() {
            return;
        }
        let used = self.used.get(buyer).copied().unwrap_or(0) + units;
        if used > 0 {
            self.used.insert(buyer.to_owned(), used);
        } else {
            self.used.remove(buyer);
        }
    }
}

fn in_order(cells: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut known = Vec::new();
    for cell in cells {
        if !known.contains(&cell) {
            known.push(cell);
        }
    }
    known
}
