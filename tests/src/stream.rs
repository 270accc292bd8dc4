//! File delivery, the other half of the service model: blocks on request, at most 128 KiB a time.

use ota_jobs::stream::{Data, Get, Rejected};
use ota_jobs::{Encoding, StreamRejectCode, StreamTopic, Topic};

use crate::service::{Reply, Service};

/// Bytes that one request may return. Source: AWS IoT, MQTT-based file delivery.
pub const REQUEST_BYTES_MAX: u64 = 131_072;
/// Room for the envelope of a block, or for a rejection.
const ENVELOPE_BYTES_MAX: usize = 128;

impl Service {
    /// Answers a message on a topic of stream `name`.
    pub(crate) fn deliver(
        &mut self,
        name: &str,
        topic: StreamTopic,
        encoding: Encoding,
        payload: &[u8],
        now_ms: u64,
    ) -> Vec<Reply> {
        if (topic, encoding) != (StreamTopic::Get, Encoding::Cbor) {
            return Vec::new(); // the agent sends no other request
        }
        let refusal = match Get::parse(payload) {
            Err(error) => StreamRejectCode::from(error),
            Ok(_) if self.stream_accident(now_ms) => StreamRejectCode::InternalError,
            Ok(get) => match self.blocks(name, &get) {
                Ok(replies) => return replies,
                Err(code) => code,
            },
        };
        vec![self.stream_reply(name, StreamTopic::Rejected, 0, |out| {
            Rejected { code: refusal, message: None, token: None }.emit(out)
        })]
    }

    fn blocks(&mut self, name: &str, get: &Get<'_>) -> Result<Vec<Reply>, StreamRejectCode> {
        let wanted: Vec<u32> = get.wanted().collect();
        let bytes = wanted.len() as u64 * u64::from(get.block_bytes);
        self.largest_request_bytes = self.largest_request_bytes.max(bytes);
        let entry = self.entries.iter().find(|entry| entry.job.stream == name);
        let file = entry.and_then(|entry| entry.job.by_id(get.file_id)).cloned();
        let file = file.ok_or(StreamRejectCode::ResourceNotFound)?;
        let fits = (REQUEST_BYTES_MAX / u64::from(get.block_bytes)) as usize;
        let chunks = wanted.iter().take(fits).filter_map(|index| {
            let from = *index as usize * get.block_bytes as usize;
            let rest = file.get(from..).filter(|rest| !rest.is_empty())?;
            Some((*index, &rest[..rest.len().min(get.block_bytes as usize)]))
        });
        let replies: Vec<Reply> = chunks.map(|(index, bytes)| self.block(name, get, index, bytes)).collect();
        if replies.is_empty() { Err(StreamRejectCode::OffsetOutOfBounds) } else { Ok(replies) }
    }

    fn block(&self, name: &str, get: &Get<'_>, index: u32, payload: &[u8]) -> Reply {
        let data = Data { token: get.token, file_id: get.file_id, block_bytes: payload.len() as u32, index, payload };
        self.stream_reply(name, StreamTopic::Data, payload.len(), |out| data.emit(out))
    }

    fn stream_reply<E: std::fmt::Debug>(
        &self,
        stream: &str,
        topic: StreamTopic,
        block_bytes: usize,
        emit: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Reply {
        let mut payload = vec![0; block_bytes + ENVELOPE_BYTES_MAX];
        let len = emit(&mut payload).expect("there is room");
        payload.truncate(len);
        let topic = self.topic(Topic::Stream { stream, topic, encoding: Encoding::Cbor });
        Reply { topic, payload, assured: false }
    }
}
