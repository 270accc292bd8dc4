//! Encodes the machine's messages as topic and payload.

use heapless::String;
use ota_jobs::details::{self, Details, SelfTest};
use ota_jobs::limits::TOPIC_BYTES_MAX;
use ota_jobs::stream::{self, Bitmap};
use ota_jobs::{
    Describe, EmitError, Encoding, JobRef, JobsTopic, JsonStr, RawJson, Reason, Status, StreamTopic, Topic, Update,
};

use crate::machine::{AgentConfig, BlockRequest, ExecutionId, Message, Outcome, Report, Step};
use crate::transport::QoS;

/// The size of a buffer for a message that the agent sends, with its topic.
pub const MESSAGE_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + TOPIC_BYTES_MAX;
/// The size of the longest payload: the final report of a failure.
const PAYLOAD_BYTES_MAX: usize = 236;
/// The size of the longest status details, in that report.
const DETAILS_BYTES_MAX: usize = 88;
const TOKEN_BYTES: usize = 8;

/// A message to publish, in the caller's buffer.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'m> {
    /// The topic.
    pub topic: &'m str,
    /// The payload.
    pub payload: &'m [u8],
    /// The quality of service. Requests for blocks are sent at most once, since lost blocks are requested again; but at least
    /// once when none arrives any more.
    pub qos: QoS,
    /// Whether the broker keeps the message for later subscribers of the topic. None of the agent's own is.
    pub retain: bool,
}

/// Encodes `message`; `None` for a request for blocks without a stream.
pub(crate) fn encode<'m>(
    message: &Message<'_>,
    config: &AgentConfig,
    stream: Option<(&str, u32)>,
    buffer: &'m mut [u8; MESSAGE_BYTES_MAX],
) -> Option<Outgoing<'m>> {
    let (out, topic_out) = buffer.split_at_mut(PAYLOAD_BYTES_MAX);
    let (topic, len, qos) = match *message {
        Message::NextJob { token, document } => describe(JobRef::Next, token, document, out),
        Message::Describe { job, token, document } => describe(JobRef::Id(job.as_str()), token, document, out),
        Message::Update { execution, token, expected_version, report } => {
            update(execution, token, expected_version, report, out)
        }
        Message::Blocks(request) => blocks(request, config.block_bytes, stream?, out),
    };
    let topic = topic.emit(config.thing.as_str(), topic_out).expect("every topic fits");
    Some(Outgoing { topic, payload: &out[..len], qos, retain: false })
}

/// A message whose payload is written: its topic, the length of the payload, and the quality of service.
type Payload<'t> = (Topic<'t>, usize, QoS);

fn describe<'t>(job: JobRef<'t>, token: u32, document: bool, out: &mut [u8]) -> Payload<'t> {
    let token = token_text(token);
    let request =
        Describe { include_document: document, client_token: Some(JsonStr::plain(&token)), execution_number: None };
    let len = request.emit(out).expect("a description fits every message");
    (Topic::Jobs(JobsTopic::Describe(job, None)), len, QoS::AtLeastOnce)
}

fn update<'t>(
    execution: &'t ExecutionId,
    token: u32,
    expected_version: u64,
    report: Report,
    out: &mut [u8],
) -> Payload<'t> {
    let mut buffer = [0; DETAILS_BYTES_MAX];
    let details = details(report, &mut buffer).expect("the longest report fits");
    let token = token_text(token);
    let request = Update {
        status_details: Some(details),
        expected_version: Some(expected_version),
        execution_number: Some(u64::from(execution.number)).filter(|number| *number != 0),
        include_state: true,
        client_token: Some(JsonStr::plain(&token)),
        ..Update::new(status(report))
    };
    let len = request.emit(out).expect("an update fits every message");
    (Topic::Jobs(JobsTopic::Update(execution.job.as_str(), None)), len, QoS::AtLeastOnce)
}

fn status(report: Report) -> Status {
    match report {
        Report::Progress { .. } | Report::Waiting(..) | Report::Ready | Report::Testing => Status::InProgress,
        Report::Final(Outcome::Succeeded) => Status::Succeeded,
        Report::Final(Outcome::Failed(reason)) => reason.status(),
    }
}

fn details(report: Report, buffer: &mut [u8; DETAILS_BYTES_MAX]) -> Result<RawJson<'_>, EmitError> {
    let mut details = Details::new(buffer);
    let phase = match report {
        Report::Progress { .. } | Report::Waiting(Step::Download, _) => SelfTest::Receiving,
        Report::Ready | Report::Waiting(Step::Reset, _) => SelfTest::Ready,
        Report::Testing => SelfTest::Active,
        Report::Final(Outcome::Succeeded) => SelfTest::Accepted,
        Report::Final(Outcome::Failed(Reason::AbortedByUser)) => SelfTest::Aborted,
        Report::Final(Outcome::Failed(_)) => SelfTest::Rejected,
    };
    details.push(details::SELF_TEST, phase.as_str())?;
    match report {
        Report::Progress { done, total } => details.push_receive(done, total)?,
        Report::Waiting(step, why) => {
            let step = match step {
                Step::Download => details::WAITING_DOWNLOAD,
                Step::Reset => details::WAITING_RESET,
            };
            details.push(details::WAITING, step)?;
            details.push(details::WHY, why.as_str())?;
        }
        Report::Final(Outcome::Failed(reason)) => details.push_reason(reason)?,
        Report::Final(Outcome::Succeeded) => details.push(details::REASON, SelfTest::Accepted.as_str())?,
        Report::Ready | Report::Testing => {}
    }
    Ok(details.finish())
}

fn blocks<'t>(request: BlockRequest, block_bytes: u32, (name, file_id): (&'t str, u32), out: &mut [u8]) -> Payload<'t> {
    let bytes = request.missing.unwrap_or_default().to_le_bytes();
    let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let bitmap = request.missing.and_then(|_| Bitmap::new(&bytes[..used]).ok());
    let get = stream::Get {
        token: None,
        version: None,
        file_id,
        block_bytes,
        offset_blocks: request.first,
        count: Some(request.count),
        bitmap,
    };
    let len = get.emit(out).expect("a request of blocks fits every message");
    (Topic::Stream { stream: name, topic: StreamTopic::Get, encoding: Encoding::Cbor }, len, QoS::AtMostOnce)
}

/// A client token: eight hexadecimal digits.
fn token_text(token: u32) -> String<TOKEN_BYTES> {
    let digit = |shift: u32| char::from_digit(token >> shift & 0xF, 16).expect("four bits are a digit");
    (0..TOKEN_BYTES as u32).rev().map(|place| digit(4 * place)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::WhyLater;
    use ota_jobs::JobId;
    use std::vec::Vec;

    /// Every report, with the longest numbers.
    fn reports() -> Vec<Report> {
        let failures =
            (0..=u16::MAX).filter_map(Reason::from_code).map(|reason| Report::Final(Outcome::Failed(reason)));
        let others = [
            Report::Progress { done: u32::MAX, total: u32::MAX },
            Report::Waiting(Step::Download, WhyLater::Application),
            Report::Waiting(Step::Reset, WhyLater::Application),
            Report::Ready,
            Report::Testing,
            Report::Final(Outcome::Succeeded),
        ];
        failures.chain(others).collect()
    }

    #[test]
    fn the_longest_messages_fit_and_little_room_is_left() {
        let (mut details_bytes, mut payload_bytes) = (0, 0);
        let job = ExecutionId { number: u32::MAX, ..ExecutionId::of(JobId::new(&"j".repeat(64)).unwrap()) };
        for report in reports() {
            details_bytes = details(report, &mut [0; DETAILS_BYTES_MAX]).unwrap().as_str().len().max(details_bytes);
            let (_, len, _) = update(&job, u32::MAX, u64::MAX, report, &mut [0; PAYLOAD_BYTES_MAX]);
            payload_bytes = len.max(payload_bytes);
        }
        assert!((DETAILS_BYTES_MAX - 16..=DETAILS_BYTES_MAX).contains(&details_bytes), "{details_bytes}");
        assert!((PAYLOAD_BYTES_MAX - 16..=PAYLOAD_BYTES_MAX).contains(&payload_bytes), "{payload_bytes}");
        let request = BlockRequest { first: 98_304, count: 128, missing: Some(u128::MAX) };
        let (_, len, _) = blocks(request, 131_072, ("s", 255), &mut [0; PAYLOAD_BYTES_MAX]);
        assert!(len < payload_bytes, "{len}");
    }

    fn encoded<'m>(message: &Message<'_>, out: &'m mut [u8; MESSAGE_BYTES_MAX]) -> Outgoing<'m> {
        let config = AgentConfig::new("thing").expect("a plain name");
        encode(message, &config, Some(("stream", 7)), out).expect("there is a stream")
    }

    #[test]
    fn a_request_of_blocks_names_the_missing_ones_in_as_few_bytes_as_possible() {
        for (missing, bytes) in [
            (None, &[][..]),
            (Some(0b101), &[0b101][..]),
            (Some(1 | 1 << 7), &[0x81][..]),
            (Some(1 | 1 << 8), &[1, 1][..]),
            (Some(1 | 1 << 127), &[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x80][..]),
        ] {
            let mut out = [0; MESSAGE_BYTES_MAX];
            let outgoing = encoded(&Message::Blocks(BlockRequest { first: 5, count: 2, missing }), &mut out);
            let get = stream::Get::parse(outgoing.payload).expect("a request");
            assert_eq!((get.file_id, get.block_bytes, get.offset_blocks, get.count), (7, 4_096, 5, Some(2)));
            assert_eq!(get.bitmap.map(|bitmap| bitmap.bytes().collect::<Vec<u8>>()).unwrap_or_default(), bytes);
            assert_eq!((outgoing.topic, outgoing.qos), ("$aws/things/thing/streams/stream/get/cbor", QoS::AtMostOnce));
        }
    }

    #[test]
    fn an_update_asks_for_the_executions_state_and_names_number_version_and_token() {
        let unnumbered = ExecutionId::of(JobId::new("job").expect("a plain id"));
        let execution = ExecutionId { number: 3, ..unnumbered.clone() };
        let report = Report::Final(Outcome::Failed(Reason::ImageTooShort));
        let mut out = [0; MESSAGE_BYTES_MAX];
        let outgoing =
            encoded(&Message::Update { execution: &execution, token: 0x1A, expected_version: 9, report }, &mut out);
        let update = Update::parse(outgoing.payload).expect("an update");
        assert_eq!((update.status, update.expected_version, update.include_state), (Status::Failed, Some(9), true));
        assert_eq!(update.client_token.as_ref().and_then(JsonStr::as_plain), Some("0000001a"));
        assert_eq!(update.execution_number, Some(3));
        assert_eq!((outgoing.topic, outgoing.qos), ("$aws/things/thing/jobs/job/update", QoS::AtLeastOnce));
        let unnumbered = Message::Update { execution: &unnumbered, token: 0x1A, expected_version: 9, report };
        let update = Update::parse(encoded(&unnumbered, &mut out).payload).expect("an update");
        assert_eq!(update.execution_number, None);
    }
}
