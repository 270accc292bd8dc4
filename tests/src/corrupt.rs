//! Corruption of messages, such that the result is never another valid message of the same meaning. Well-formed but wrong
//! messages are built by the tests themselves.

use ota_jobs::stream::Data;

use crate::rng::Rng;

/// A corrupted copy of a message.
pub fn corrupted(topic: &str, payload: &[u8], rng: &mut Rng) -> Vec<u8> {
    let block = topic.ends_with("/data/cbor").then(|| Data::parse(payload).ok()).flatten();
    match (rng.below(5), block) {
        (0, _) => noise(rng),
        // The files of a job have consecutive numbers.
        (1, Some(data)) => emit(Data { file_id: (data.file_id + 128) % 256, ..data }),
        (2, Some(data)) => emit(Data { index: 1_000_000 + rng.below(1_000) as u32, ..data }),
        (3, Some(data)) => shorter(data, rng),
        _ => truncated(payload, rng),
    }
}

/// A few random bytes.
pub fn noise(rng: &mut Rng) -> Vec<u8> {
    let len = rng.below(64) as usize;
    rng.bytes(len)
}

/// The message without its end: never a whole value, since both encodings are one value with its length or its brackets.
pub fn truncated(payload: &[u8], rng: &mut Rng) -> Vec<u8> {
    let end = rng.below(payload.len() as u64) as usize;
    payload[..end].to_vec()
}

fn shorter(data: Data<'_>, rng: &mut Rng) -> Vec<u8> {
    let len = rng.below(data.payload.len() as u64) as usize;
    emit(Data { payload: &data.payload[..len], block_bytes: len as u32, ..data })
}

fn emit(data: Data<'_>) -> Vec<u8> {
    let mut out = vec![0; data.payload.len() + 64];
    let len = data.emit(&mut out).expect("a block that was one before");
    out.truncate(len);
    out
}
