//! Decodes incoming messages into events. A message is ignored if it cannot be parsed, belongs to another stream, or is the
//! late response to a request that was sent again. Only a next job that cannot be parsed is an event, because it is to be
//! rejected with a reason.

use core::mem;

use ota_jobs::limits::FILTER_BYTES_MAX;
use ota_jobs::{
    DescribeResponse, Encoding, Filter, JobRef, JobsTopic, JsonStr, ParseError, RawJson, Rejected, Response,
    StreamTopic, ThingName, Topic, UpdateResponse, stream,
};

use crate::machine::{Event, Execution, ExecutionId};

/// A decoded message.
pub(crate) enum Decoded<'m> {
    /// An event.
    Event(Event),
    /// A job, with its document unless the response has none.
    Offer { execution: Execution, document: Option<RawJson<'m>> },
    /// A block of the stream.
    Block { index: u32, bytes: &'m [u8] },
    /// A message without effect.
    Ignored,
}

/// The number of filters the agent subscribes to.
pub const FILTERS: usize = 6;
/// The size of a buffer for these filters.
pub const FILTERS_BYTES_MAX: usize = FILTERS * FILTER_BYTES_MAX;

/// The filters for `thing`.
pub(crate) fn filters<'t>(thing: &ThingName, mut buffer: &'t mut [u8]) -> [&'t str; FILTERS] {
    let wanted =
        [Filter::Notify, Filter::NotifyNext, Filter::Describe, Filter::Update, Filter::Data, Filter::StreamRejected];
    wanted.map(|filter| {
        let (place, rest) = mem::take(&mut buffer).split_at_mut(FILTER_BYTES_MAX);
        buffer = rest;
        filter.emit(thing.as_str(), place).expect("every filter fits")
    })
}

/// Decodes the message on `topic`; `stream` is the name and the file number of the active stream, `asked` the token of the
/// active job's last describe request.
pub(crate) fn decode<'m>(
    topic: Topic<'_>,
    payload: &'m [u8],
    stream: Option<(&str, u32)>,
    asked: Option<u32>,
) -> Decoded<'m> {
    match topic {
        Topic::Jobs(topic) => read_jobs(topic, payload, asked),
        Topic::Stream { stream: name, topic, encoding: Encoding::Cbor } => {
            read_stream(topic, payload, stream.filter(|(active, _)| *active == name))
        }
        Topic::Stream { encoding: Encoding::Json, .. } => Decoded::Ignored,
    }
}

fn read_jobs<'m>(topic: JobsTopic<'_>, payload: &'m [u8], asked: Option<u32>) -> Decoded<'m> {
    match topic {
        // Whatever it holds: the next job is requested.
        JobsTopic::Notify => Decoded::Event(Event::JobsChanged),
        // Sent without a request: unless it is a job that can be parsed, the next job is requested.
        JobsTopic::NotifyNext => match read_next(payload, asked) {
            Decoded::Event(_) => Decoded::Event(Event::JobsChanged), // it answers no request
            decoded => decoded,
        },
        JobsTopic::Describe(JobRef::Next, Some(Response::Accepted)) => read_next(payload, asked),
        JobsTopic::Describe(JobRef::Next, Some(Response::Rejected)) => {
            read_rejected(payload, |rejected, _| Event::OfferRefused(rejected.code))
        }
        JobsTopic::Describe(JobRef::Id(_), Some(Response::Accepted)) => read_description(payload, asked),
        JobsTopic::Update(_, Some(Response::Accepted)) => read_update(payload),
        JobsTopic::Describe(JobRef::Id(_), Some(Response::Rejected))
        | JobsTopic::Update(_, Some(Response::Rejected)) => {
            read_rejected(payload, |rejected, token| Event::UpdateRejected {
                token,
                code: rejected.code,
                status: rejected.state.as_ref().map(|state| state.status),
            })
        }
        // Requests, and responses to requests that the agent does not send.
        JobsTopic::Get(_) | JobsTopic::StartNext(_) | JobsTopic::Describe(_, None) | JobsTopic::Update(_, None) => {
            Decoded::Ignored
        }
    }
}

fn read_next(payload: &[u8], asked: Option<u32>) -> Decoded<'_> {
    match DescribeResponse::parse(payload) {
        Ok(response) if is_late(&response, asked) => Decoded::Ignored,
        Err(ParseError::TooDeep { .. }) if !contains(payload, DOCUMENT_MEMBER) => Decoded::Event(Event::OtherJob),
        Err(error) => Decoded::Event(Event::OfferUnreadable(error.into())),
        Ok(DescribeResponse { execution: None, .. }) => Decoded::Event(Event::NoJob),
        Ok(DescribeResponse { execution: Some(execution), .. }) => {
            let document = execution.document;
            Decoded::Offer { execution: execution_of(execution), document }
        }
    }
}

/// Whether a response is of another request than the active job's last: its state is that of an earlier time. Notifications
/// have no token, and without an active job every offer counts.
fn is_late(response: &DescribeResponse<'_>, asked: Option<u32>) -> bool {
    response.client_token.is_some_and(|text| asked.is_some() && token(text) != asked)
}

/// The member that makes a document one for this agent.
const DOCUMENT_MEMBER: &[u8] = b"\"afr_ota\"";

fn contains(payload: &[u8], part: &[u8]) -> bool {
    payload.windows(part.len()).any(|window| window == part)
}

fn read_description(payload: &[u8], asked: Option<u32>) -> Decoded<'_> {
    match DescribeResponse::parse(payload) {
        Ok(response) if is_late(&response, asked) => Decoded::Ignored,
        Ok(DescribeResponse { execution: Some(execution), .. }) => match execution.document {
            Some(document) => Decoded::Offer { execution: execution_of(execution), document: Some(document) },
            None => Decoded::Event(Event::Described(execution_of(execution))),
        },
        Ok(DescribeResponse { execution: None, .. }) | Err(_) => Decoded::Ignored,
    }
}

fn read_update(payload: &[u8]) -> Decoded<'_> {
    let Ok(updated) = UpdateResponse::parse(payload) else { return Decoded::Ignored };
    let Some(token) = updated.client_token.and_then(token) else { return Decoded::Ignored };
    Decoded::Event(Event::UpdateAccepted { token, version: updated.state.map(|state| state.version_number) })
}

fn read_rejected(payload: &[u8], event: impl FnOnce(&Rejected<'_>, u32) -> Event) -> Decoded<'_> {
    let Ok(rejected) = Rejected::parse(payload) else { return Decoded::Ignored };
    let Some(token) = rejected.client_token.and_then(token) else { return Decoded::Ignored };
    Decoded::Event(event(&rejected, token))
}

fn read_stream<'m>(topic: StreamTopic, payload: &'m [u8], active: Option<(&str, u32)>) -> Decoded<'m> {
    let Some((_, file_id)) = active else { return Decoded::Ignored };
    match topic {
        StreamTopic::Data => match stream::Data::parse(payload) {
            Ok(data) if data.file_id == file_id => Decoded::Block { index: data.index, bytes: data.payload },
            Ok(_) | Err(_) => Decoded::Ignored,
        },
        StreamTopic::Rejected => match stream::Rejected::parse(payload) {
            Ok(rejected) => Decoded::Event(Event::StreamRejected(rejected.code)),
            Err(_) => Decoded::Ignored,
        },
        StreamTopic::Describe | StreamTopic::Description | StreamTopic::Get => Decoded::Ignored,
    }
}

#[inline(never)] // for size
fn execution_of(execution: ota_jobs::Execution<'_>) -> Execution {
    let number = execution.execution_number.and_then(|number| number.try_into().ok()).unwrap_or(0);
    let id = ExecutionId { job: execution.job_id, number, queued_at: execution.queued_at.unwrap_or(0) as u32 };
    Execution { id, status: execution.status, version: execution.version_number }
}

/// The number in a client token of the agent.
fn token(text: JsonStr<'_>) -> Option<u32> {
    u32::from_str_radix(text.as_plain()?, 16).ok()
}
