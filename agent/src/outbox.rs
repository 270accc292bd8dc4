//! Messages out: the machine's words as topic and payload.

use heapless::String;
use ota_jobs::details::{self, Details, SelfTest};
use ota_jobs::limits::TOPIC_BYTES_MAX;
use ota_jobs::stream::{self, Bitmap};
use ota_jobs::{
    Describe, EmitError, Encoding, JobId, JobRef, JobsTopic, JsonStr, RawJson, Reason, Status, StreamTopic, ThingName,
    Topic, Update,
};

use crate::desk::Desk;
use crate::machine::{BlockRequest, Message, Outcome, Report};

/// Bytes of the longest message that the agent sends.
pub const MESSAGE_BYTES_MAX: usize = 384;
/// Bytes of the longest status details: the final report of a failure.
const DETAILS_BYTES_MAX: usize = 192;
const TOKEN_BYTES: usize = 8;

/// A message that is ready to be sent; its payload is the first `len` bytes of the buffer that was handed in.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Where to.
    pub topic: String<TOPIC_BYTES_MAX>,
    /// Bytes of the payload.
    pub len: usize,
    /// Whether it must arrive at least once. Requests for blocks need not: the blocks are asked for again.
    pub assured: bool,
}

/// Writes `message`; `None` for a request of blocks without a stream to ask.
pub(crate) fn write(
    message: &Message<'_>,
    thing: &ThingName,
    desk: &Desk<'_>,
    block_bytes: u32,
    out: &mut [u8; MESSAGE_BYTES_MAX],
) -> Option<Outgoing> {
    match *message {
        Message::NextJob { token, document } => describe(JobRef::Next, token, document, thing, out),
        Message::Describe { job, token, document } => describe(JobRef::Id(job.as_str()), token, document, thing, out),
        Message::Update { job, token, expected_version, report } => {
            update(job, token, expected_version, report, thing, out)
        }
        Message::Blocks(request) => blocks(request, block_bytes, thing, desk, out),
    }
}

fn describe(job: JobRef<'_>, token: u32, document: bool, thing: &ThingName, out: &mut [u8]) -> Option<Outgoing> {
    let token = token_text(token);
    let request =
        Describe { include_document: document, client_token: Some(JsonStr::plain(&token)), execution_number: None };
    let len = request.emit(out).expect("a description fits every message");
    Some(outgoing(Topic::Jobs(JobsTopic::Describe(job, None)), thing, len, true))
}

fn update(
    job: &JobId,
    token: u32,
    expected_version: u64,
    report: Report,
    thing: &ThingName,
    out: &mut [u8],
) -> Option<Outgoing> {
    let mut buffer = [0; DETAILS_BYTES_MAX];
    let details = details(report, &mut buffer).expect("the longest report fits");
    let token = token_text(token);
    let request = Update {
        status_details: Some(details),
        expected_version: Some(expected_version),
        include_state: true,
        client_token: Some(JsonStr::plain(&token)),
        ..Update::new(status(report))
    };
    let len = request.emit(out).expect("an update fits every message");
    Some(outgoing(Topic::Jobs(JobsTopic::Update(job.as_str(), None)), thing, len, true))
}

fn status(report: Report) -> Status {
    match report {
        Report::Progress { .. } | Report::Ready | Report::Testing => Status::InProgress,
        Report::Final(Outcome::Succeeded) => Status::Succeeded,
        Report::Final(Outcome::Failed(reason)) => reason.status(),
    }
}

fn details(report: Report, buffer: &mut [u8; DETAILS_BYTES_MAX]) -> Result<RawJson<'_>, EmitError> {
    let mut details = Details::new(buffer);
    let phase = match report {
        Report::Progress { .. } => SelfTest::Receiving,
        Report::Ready => SelfTest::Ready,
        Report::Testing => SelfTest::Active,
        Report::Final(Outcome::Succeeded) => SelfTest::Accepted,
        Report::Final(Outcome::Failed(Reason::AbortedByUser)) => SelfTest::Aborted,
        Report::Final(Outcome::Failed(_)) => SelfTest::Rejected,
    };
    details.push(details::SELF_TEST, phase.as_str())?;
    match report {
        Report::Progress { done, total } => details.push_receive(done, total)?,
        Report::Final(Outcome::Failed(reason)) => details.push_reason(reason)?,
        Report::Final(Outcome::Succeeded) => details.push(details::REASON, SelfTest::Accepted.as_str())?,
        Report::Ready | Report::Testing => {}
    }
    Ok(details.finish())
}

fn blocks(
    request: BlockRequest,
    block_bytes: u32,
    thing: &ThingName,
    desk: &Desk<'_>,
    out: &mut [u8],
) -> Option<Outgoing> {
    let (name, file_id) = desk.stream()?;
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
    let topic = Topic::Stream { stream: name, topic: StreamTopic::Get, encoding: Encoding::Cbor };
    Some(outgoing(topic, thing, len, false))
}

fn outgoing(topic: Topic<'_>, thing: &ThingName, len: usize, assured: bool) -> Outgoing {
    let mut text = String::new();
    topic.write(thing.as_str(), &mut text).expect("no topic is longer than the longest");
    Outgoing { topic: text, len, assured }
}

/// A client token: eight digits, so that an answer finds its question.
fn token_text(token: u32) -> String<TOKEN_BYTES> {
    let digit = |shift: u32| char::from_digit(token >> shift & 0xF, 16).expect("four bits are a digit");
    (0..TOKEN_BYTES as u32).rev().map(|place| digit(4 * place)).collect()
}
