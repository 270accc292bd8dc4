//! A broker for one client, in MQTT 5: as much of it as the device uses. The service behind it is the model of the simulation. No
//! session outlives a connection.
//!
//! Source: OASIS, "MQTT Version 5.0", chapter 3.

use ota_tests::service::{Reply, Service};

const CONNECT: u8 = 1;
const CONNACK: u8 = 2;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const SUBSCRIBE: u8 = 8;
const SUBACK: u8 = 9;
const PINGREQ: u8 = 12;
const PINGRESP: u8 = 13;
const DISCONNECT: u8 = 14;
/// Bits of the first byte of a PUBLISH, and of the options of a subscription.
const QOS_BITS: u8 = 0b0110;
const QOS_1: u8 = 0b0010;

pub struct Broker {
    pub service: Service,
    /// Bytes of a packet that has not arrived completely.
    rest: Vec<u8>,
    filters: Vec<String>,
    last_id: u16,
}

impl Broker {
    pub fn new(service: Service) -> Self {
        Self { service, rest: Vec::new(), filters: Vec::new(), last_id: 0 }
    }

    /// A new connection begins.
    pub fn connected(&mut self) {
        self.rest.clear();
        self.filters.clear();
    }

    /// Returns what is sent for these bytes.
    pub fn receive(&mut self, bytes: &[u8], now_ms: u64) -> Vec<u8> {
        self.rest.extend(bytes);
        let mut out = Vec::new();
        while let Some((head, body)) = self.packet() {
            self.handle(head, &body, now_ms, &mut out);
        }
        out
    }

    fn packet(&mut self) -> Option<(u8, Vec<u8>)> {
        let (head, rest) = self.rest.split_first()?;
        let (len, at) = variable(rest)?;
        let body = rest.get(at..at + len)?.to_vec();
        let head = *head;
        self.rest.drain(..1 + at + len);
        Some((head, body))
    }

    fn handle(&mut self, head: u8, body: &[u8], now_ms: u64, out: &mut Vec<u8>) {
        match head >> 4 {
            CONNECT => emit(CONNACK << 4, &[&[0, 0, 0]], out), // no session, success, no properties
            SUBSCRIBE => {
                let (id, payload) = body.split_at(2);
                let mut filters = without_properties(payload);
                let mut codes = Vec::new();
                while !filters.is_empty() {
                    let (filter, rest) = text(filters);
                    self.filters.push(filter);
                    codes.push(rest[0] & 1);
                    filters = &rest[1..];
                }
                emit(SUBACK << 4, &[id, &[0], &codes], out);
            }
            PUBLISH => {
                let (topic, mut rest) = text(body);
                if head & QOS_BITS != 0 {
                    let (id, after) = rest.split_at(2);
                    emit(PUBACK << 4, &[id], out);
                    rest = after;
                }
                for reply in self.service.handle(&topic, without_properties(rest), now_ms) {
                    self.publish(&reply, out);
                }
            }
            PINGREQ => emit(PINGRESP << 4, &[], out),
            PUBACK | DISCONNECT => {}
            other => panic!("the device sends no packet of type {other}"),
        }
    }

    fn publish(&mut self, Reply { topic, payload, assured }: &Reply, out: &mut Vec<u8>) {
        if !self.filters.iter().any(|filter| matches(filter, topic)) {
            return;
        }
        self.last_id = self.last_id % u16::MAX + 1;
        let (id, len) = (self.last_id.to_be_bytes(), (topic.len() as u16).to_be_bytes());
        let (flags, id) = if *assured { (QOS_1, &id[..]) } else { (0, &[][..]) };
        emit(PUBLISH << 4 | flags, &[&len, topic.as_bytes(), id, &[0], payload], out);
    }
}

fn emit(head: u8, parts: &[&[u8]], out: &mut Vec<u8>) {
    out.push(head);
    let mut len: usize = parts.iter().map(|part| part.len()).sum();
    loop {
        let more = if len > 0x7F { 0x80 } else { 0 };
        out.push((len & 0x7F) as u8 | more);
        len >>= 7;
        if more == 0 {
            break;
        }
    }
    parts.iter().for_each(|part| out.extend(*part));
}

/// A variable byte integer and its length; `None` if it is not complete.
fn variable(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7F) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

fn without_properties(bytes: &[u8]) -> &[u8] {
    let (len, at) = variable(bytes).expect("a length of properties");
    &bytes[at + len..]
}

/// A text with its length before it, and the rest.
fn text(bytes: &[u8]) -> (String, &[u8]) {
    let len = usize::from(u16::from_be_bytes([bytes[0], bytes[1]]));
    let (text, rest) = bytes[2..].split_at(len);
    (String::from_utf8(text.to_vec()).expect("topics are text"), rest)
}

fn matches(filter: &str, topic: &str) -> bool {
    let (filter, topic): (Vec<&str>, Vec<&str>) = (filter.split('/').collect(), topic.split('/').collect());
    filter.len() == topic.len() && filter.iter().zip(&topic).all(|(level, name)| *level == "+" || level == name)
}
