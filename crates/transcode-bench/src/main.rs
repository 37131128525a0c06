//! JSON to wire and back on the order, beside what else does it: hand-written structs for serde and prost, pbjson, and
//! prost-reflect. One run, every case in every round, medians. Before anything is measured all of them must agree.
//!
//! `cargo xtask bench transcode [--json]`. Each message goes into a buffer of its own, as it does in a server.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write as _;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use prost::Message;
use prost_reflect::{DescriptorPool, DynamicMessage, MessageDescriptor, SerializeOptions};
use serde::Serialize;
use serde::de::DeserializeOwned;
use stampede_transcode::{MessageId, RequestOptions, ResponseOptions, Schema};
use stampede_transcode_bench::{generated, typed};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How long each case is measured in each round.
const SPAN: Duration = Duration::from_millis(200);
/// Messages between two looks at the clock.
const BATCH: u32 = 64;
const ROUNDS: usize = 9;

/// A way to do it: the text and the wire bytes of one message, each to the other.
trait Way {
    fn to_wire(&self, json: &[u8]) -> anyhow::Result<Vec<u8>>;
    fn to_json(&self, wire: &[u8]) -> anyhow::Result<Vec<u8>>;
}

struct Ours(Schema, MessageId);

impl Way for Ours {
    fn to_wire(&self, json: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut out = Vec::new();
        self.0.to_wire(self.1, json, &RequestOptions::default(), &mut out)?;
        Ok(out)
    }

    fn to_json(&self, wire: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut out = Vec::new();
        self.0.to_json(self.1, wire, &ResponseOptions::default(), &mut out)?;
        Ok(out)
    }
}

struct Typed<M>(std::marker::PhantomData<M>);

impl<M: Message + Default + Serialize + DeserializeOwned> Way for Typed<M> {
    fn to_wire(&self, json: &[u8]) -> anyhow::Result<Vec<u8>> {
        Ok(serde_json::from_slice::<M>(json)?.encode_to_vec())
    }

    fn to_json(&self, wire: &[u8]) -> anyhow::Result<Vec<u8>> {
        Ok(serde_json::to_vec(&M::decode(wire)?)?)
    }
}

struct Reflected(MessageDescriptor);

impl Way for Reflected {
    fn to_wire(&self, json: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut from = serde_json::Deserializer::from_slice(json);
        Ok(DynamicMessage::deserialize(self.0.clone(), &mut from)?.encode_to_vec())
    }

    fn to_json(&self, wire: &[u8]) -> anyhow::Result<Vec<u8>> {
        let mut out = Vec::new();
        let options = SerializeOptions::new().skip_default_fields(false);
        let message = DynamicMessage::decode(self.0.clone(), wire)?;
        message.serialize_with_options(&mut serde_json::Serializer::new(&mut out), &options)?;
        Ok(out)
    }
}

/// One message, its two forms and the ways, ours first.
struct Subject {
    name: &'static str,
    json: &'static [u8],
    wire: Vec<u8>,
    ways: Vec<(&'static str, Box<dyn Way>)>,
}

fn subject<M, G>(pool: &DescriptorPool, name: &'static str, json: &'static str) -> anyhow::Result<Subject>
where
    M: Message + Default + Serialize + DeserializeOwned + 'static,
    G: Message + Default + Serialize + DeserializeOwned + 'static,
{
    let schema = Schema::build(pool);
    let (Some(id), Some(descriptor)) = (schema.message(name), pool.get_message_by_name(name)) else {
        anyhow::bail!("the contract has no {name}");
    };
    let ways: Vec<(_, Box<dyn Way>)> = vec![
        ("ours", Box::new(Ours(schema, id))),
        ("typed serde + prost", Box::new(Typed::<M>(std::marker::PhantomData))),
        ("pbjson + prost", Box::new(Typed::<G>(std::marker::PhantomData))),
        ("prost-reflect", Box::new(Reflected(descriptor))),
    ];
    let json = json.trim_ascii_end().as_bytes();
    let wire = ways[0].1.to_wire(json)?;
    let value: serde_json::Value = serde_json::from_slice(json)?;
    for (way, codec) in &ways {
        anyhow::ensure!(codec.to_wire(json)? == wire, "{way} makes other bytes of {name}");
        // pbjson spells UTC so.
        let text = String::from_utf8(codec.to_json(&wire)?)?.replace("+00:00\"", "Z\"");
        let back: serde_json::Value = serde_json::from_str(&text)?;
        anyhow::ensure!(back == value, "{way} makes another text of {name}: {back}");
    }
    Ok(Subject { name, json, wire, ways })
}

/// Nanoseconds a message.
fn measure(mut one: impl FnMut() -> anyhow::Result<Vec<u8>>) -> anyhow::Result<f64> {
    let began = Instant::now();
    let mut messages = 0u32;
    loop {
        for _ in 0..BATCH {
            black_box(one()?);
        }
        messages += BATCH;
        let took = began.elapsed();
        if took >= SPAN {
            return Ok(took.as_nanos() as f64 / f64::from(messages));
        }
    }
}

#[derive(Serialize)]
struct Figure {
    message: &'static str,
    direction: &'static str,
    way: &'static str,
    json_bytes: usize,
    wire_bytes: usize,
    ns_per_message: f64,
    /// Of JSON, in both directions.
    gb_per_s: f64,
    /// How many times faster ours is, in this run.
    ours_is_faster: f64,
}

type Rounds = BTreeMap<(usize, &'static str, usize), Vec<f64>>;

fn run(subjects: &[Subject], rounds: usize) -> anyhow::Result<Rounds> {
    let mut measured = Rounds::new();
    for round in 0..=rounds {
        for (place, subject) in subjects.iter().enumerate() {
            for (index, (_, way)) in subject.ways.iter().enumerate() {
                let to_wire = measure(|| way.to_wire(black_box(subject.json)))?;
                let to_json = measure(|| way.to_json(black_box(&subject.wire)))?;
                // The first round warms up.
                if round > 0 {
                    measured.entry((place, "JSON -> wire", index)).or_default().push(to_wire);
                    measured.entry((place, "wire -> JSON", index)).or_default().push(to_json);
                }
            }
        }
    }
    Ok(measured)
}

fn figures(subjects: &[Subject], rounds: Rounds) -> Vec<Figure> {
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let medians: BTreeMap<_, f64> = rounds.into_iter().map(|(case, values)| (case, median(values))).collect();
    let figure = |(case, ns): (&(usize, &'static str, usize), &f64)| {
        let (place, direction, way) = *case;
        let subject = &subjects[place];
        Figure {
            message: subject.name,
            direction,
            way: subject.ways[way].0,
            json_bytes: subject.json.len(),
            wire_bytes: subject.wire.len(),
            ns_per_message: *ns,
            gb_per_s: subject.json.len() as f64 / ns,
            ours_is_faster: ns / medians[&(place, direction, 0)],
        }
    };
    medians.iter().map(figure).collect()
}

fn main() -> anyhow::Result<()> {
    let json = std::env::args().any(|argument| argument == "--json");
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../proto");
    let mut compiler = protox::Compiler::new([root.clone(), root.join("third_party")])?;
    compiler.include_imports(true).open_file("stampede/order/v1/order.proto")?;
    let pool = DescriptorPool::decode(compiler.encode_file_descriptor_set().as_slice())?;
    let order = include_str!("order.json");
    let request = include_str!("request.json");
    let subjects = [
        subject::<typed::Order, generated::order::v1::Order>(&pool, "stampede.order.v1.Order", order)?,
        subject::<typed::CreateOrderRequest, generated::order::v1::CreateOrderRequest>(
            &pool,
            "stampede.order.v1.CreateOrderRequest",
            request,
        )?,
    ];
    let figures = figures(&subjects, run(&subjects, ROUNDS)?);
    let mut out = std::io::stdout().lock();
    if json {
        writeln!(out, "{}", serde_json::to_string(&figures)?)?;
        return Ok(());
    }
    writeln!(out, "| message | direction | way | ns a message | GB/s of JSON | time / ours |")?;
    writeln!(out, "| --- | --- | --- | --- | --- | --- |")?;
    for figure in &figures {
        let message = figure.message.rsplit('.').next().unwrap_or_default();
        let Figure { direction, way, json_bytes, ns_per_message, gb_per_s, ours_is_faster, .. } = figure;
        writeln!(
            out,
            "| {message}, {json_bytes} bytes | {direction} | {way} | {ns_per_message:.0} | {gb_per_s:.2} | {ours_is_faster:.2} |"
        )?;
    }
    Ok(())
}
