//! The requests of the load that places orders: one order, encoded once for each face, sent by buyers in turn under keys of their
//! own. It never signs a token while a run is measured.

use std::fmt::Write as _;
use std::sync::Arc;

use prost::Message as _;
use serde_json::json;
use stampede_pki::{Claims, Issuer};
use stampede_proto::order::v1::{CreateOrderRequest, LineItem};
use time::OffsetDateTime;
use uuid::Uuid;

use super::frames::{self, Blocks};
use super::grpc::Calls;
use super::rest::Requests;

const PATH: &str = "/stampede.order.v1.OrderService/CreateOrder";
const SERVICE: &str = "order";

/// Buyers with their bearer tokens, made before the run so that signing is not measured.
#[derive(Debug)]
pub struct Crowd {
    bearers: Vec<String>,
    run: Uuid,
}

impl Crowd {
    pub fn gather(buyers: usize, issuer: &Issuer, now: OffsetDateTime, run: Uuid) -> anyhow::Result<Self> {
        let bearers = (0..buyers)
            .map(|n| {
                let mut claims = Claims::new(format!("load-{run}-{n}"), ["buyer"]);
                claims.ttl = time::Duration::hours(4);
                Ok(format!("Bearer {}", issuer.issue(&claims, now)?))
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self { bearers, run })
    }

    /// Who sends request `number`: a fixed shuffle, so that a buyer's requests are spread over the run.
    pub fn bearer(&self, number: u64) -> &str {
        // A multiplicative hash (Knuth): neighbours in time are strangers.
        let at = number.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 16;
        &self.bearers[(at % self.bearers.len() as u64) as usize]
    }

    /// The idempotency key of request `number`.
    pub fn key(&self, number: u64) -> String {
        format!("{}-{number}", self.run)
    }
}

/// Orders of one unit each, of these SKUs in turn.
#[derive(Debug, Clone)]
pub struct Orders {
    crowd: Arc<Crowd>,
    /// gRPC frames and JSON bodies, one a SKU.
    messages: Arc<[Vec<u8>]>,
    bodies: Arc<[String]>,
    blocks: Arc<Blocks>,
    host: Arc<str>,
    key: String,
}

impl Orders {
    /// `campaign` is empty for the shelf; `host` is whom REST asks.
    pub fn new(crowd: Arc<Crowd>, skus: &[String], campaign: &str, host: &str) -> Orders {
        let message = |sku: &String| {
            let line = LineItem { sku_id: sku.clone(), campaign_id: campaign.to_owned(), quantity: 1 };
            frames::message(&CreateOrderRequest { lines: vec![line], ..Default::default() }.encode_to_vec())
        };
        let body = |sku: &String| {
            json!({ "lines": [{ "skuId": sku, "campaignId": campaign, "quantity": 1 }] }).to_string()
        };
        Orders {
            crowd,
            messages: skus.iter().map(message).collect(),
            bodies: skus.iter().map(body).collect(),
            blocks: Arc::new(Blocks::of(PATH, SERVICE)),
            host: host.into(),
            key: String::new(),
        }
    }

    /// One whole order, the same each time; `body` is the same in JSON.
    pub fn of(crowd: Arc<Crowd>, order: &CreateOrderRequest, body: String, host: &str) -> Orders {
        Orders {
            crowd,
            messages: [frames::message(&order.encode_to_vec())].into(),
            bodies: [body].into(),
            blocks: Arc::new(Blocks::of(PATH, SERVICE)),
            host: host.into(),
            key: String::new(),
        }
    }

    /// Writes the key of request `number` without a new string each time.
    fn set_key(&mut self, number: u64) {
        self.key.clear();
        write!(self.key, "{}-{number}", self.crowd.run).expect("a string takes whatever is written");
    }
}

impl Calls for Orders {
    fn block(&mut self, number: u64, first: bool, out: &mut Vec<u8>) {
        self.set_key(number);
        out.extend_from_slice(if first { &self.blocks.first } else { &self.blocks.later });
        frames::literal(out, "authorization", self.crowd.bearer(number));
        frames::literal(out, "idempotency-key", &self.key);
    }

    fn message_len(&self, number: u64) -> usize {
        self.messages[number as usize % self.messages.len()].len()
    }

    fn message(&mut self, number: u64, _: u64, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.messages[number as usize % self.messages.len()]);
    }
}

impl Requests for Orders {
    fn write(&mut self, number: u64, out: &mut Vec<u8>) {
        self.set_key(number);
        let body = &self.bodies[number as usize % self.bodies.len()];
        for part in [
            "POST /v1/orders HTTP/1.1\r\nhost: ",
            &self.host,
            "\r\nauthorization: ",
            self.crowd.bearer(number),
        ] {
            out.extend_from_slice(part.as_bytes());
        }
        let (length, key) = (body.len().to_string(), &self.key);
        for part in [
            "\r\nidempotency-key: ",
            key,
            "\r\ncontent-type: application/json\r\ncontent-length: ",
            &length,
            "\r\n\r\n",
            body,
        ] {
            out.extend_from_slice(part.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> Orders {
        let crowd = Crowd { bearers: vec!["Bearer a".into(), "Bearer b".into()], run: Uuid::nil() };
        Orders::new(Arc::new(crowd), &["tee".into(), "mug".into()], "flash", "127.0.0.1:1")
    }

    #[test]
    fn a_call_carries_buyer_key_and_the_sku_whose_turn_it_is() {
        let mut orders = orders();
        let (mut block, mut message) = (Vec::new(), Vec::new());
        orders.block(7, false, &mut block);
        orders.message(7, 0, &mut message);
        let holds = |text: &str| block.windows(text.len()).any(|window| window == text.as_bytes());
        assert!(holds("Bearer ") && holds("00000000-0000-0000-0000-000000000000-7"));
        assert_eq!(message.len(), orders.message_len(7));
        let order = CreateOrderRequest::decode(&message[5..]).unwrap();
        assert_eq!((order.lines[0].sku_id.as_str(), order.lines[0].campaign_id.as_str()), ("mug", "flash"));
    }

    #[test]
    fn a_request_is_whole_http() {
        let mut bytes = Vec::new();
        orders().write(8, &mut bytes);
        let mut headers = [httparse::EMPTY_HEADER; 8];
        let mut request = httparse::Request::new(&mut headers);
        let httparse::Status::Complete(head) = request.parse(&bytes).unwrap() else { panic!("cut short") };
        assert_eq!((request.method, request.path), (Some("POST"), Some("/v1/orders")));
        let length = request.headers.iter().find(|h| h.name == "content-length").unwrap().value;
        assert_eq!(std::str::from_utf8(length).unwrap().parse::<usize>().unwrap(), bytes.len() - head);
        let body: serde_json::Value = serde_json::from_slice(&bytes[head..]).unwrap();
        assert_eq!(body["lines"][0]["skuId"], "tee");
    }
}
