//! Messages in: which of them concern us, and what they say in the machine's words. A message that cannot be read costs
//! itself and nothing else.

use heapless::String;
use ota_jobs::limits::TOPIC_BYTES_MAX;
use ota_jobs::{
    DescribeResponse, Encoding, Filter, JobRef, JobsTopic, JsonStr, Notify, RawJson, Reason, Rejected, Response,
    StreamTopic, ThingName, Topic, UpdateResponse, stream,
};

use crate::desk::Desk;
use crate::machine::{Event, Execution};

/// What a message says.
pub(crate) enum Heard<'m> {
    /// An event, whole.
    Event(Event),
    /// A job, and its document unless it was not asked for.
    Offer { execution: Execution, document: Option<RawJson<'m>> },
    /// A block of our stream.
    Block { index: u32, bytes: &'m [u8] },
    /// Nothing that concerns us, or nothing that can be read.
    Nothing,
}

/// Filters that the agent subscribes to: those whose answers it asks for.
pub(crate) const FILTERS: usize = 6;

/// The filters for `thing`, each at most [`TOPIC_BYTES_MAX`] bytes.
pub(crate) fn filters(thing: &ThingName) -> [String<TOPIC_BYTES_MAX>; FILTERS] {
    let wanted =
        [Filter::Notify, Filter::NotifyNext, Filter::Describe, Filter::Update, Filter::Data, Filter::StreamRejected];
    wanted.map(|filter| {
        let mut text = String::new();
        filter.write(thing.as_str(), &mut text).expect("no filter is longer than a topic");
        text
    })
}

/// What the message on `topic` says.
pub(crate) fn read<'m>(topic: Topic<'_>, payload: &'m [u8], desk: &Desk<'_>) -> Heard<'m> {
    match topic {
        Topic::Jobs(topic) => read_jobs(topic, payload),
        Topic::Stream { stream, topic, encoding: Encoding::Cbor } => read_stream(stream, topic, payload, desk),
        Topic::Stream { encoding: Encoding::Json, .. } => Heard::Nothing,
    }
}

fn read_jobs<'m>(topic: JobsTopic<'_>, payload: &'m [u8]) -> Heard<'m> {
    match topic {
        JobsTopic::Notify => Notify::parse(payload).map_or(Heard::Nothing, |_| Heard::Event(Event::JobsChanged)),
        // Said unasked: what cannot be read is at least a hint to ask.
        JobsTopic::NotifyNext => read_next(payload, |_| Event::JobsChanged),
        JobsTopic::Describe(JobRef::Next, Some(Response::Accepted)) => read_next(payload, Event::OfferUnreadable),
        JobsTopic::Describe(JobRef::Next, Some(Response::Rejected)) => {
            read_rejected(payload, |rejected, _| Event::OfferRefused(rejected.code))
        }
        JobsTopic::Describe(JobRef::Id(_), Some(Response::Accepted)) => read_description(payload),
        JobsTopic::Update(_, Some(Response::Accepted)) => read_update(payload),
        JobsTopic::Describe(JobRef::Id(_), Some(Response::Rejected))
        | JobsTopic::Update(_, Some(Response::Rejected)) => {
            read_rejected(payload, |rejected, token| Event::UpdateRejected {
                token,
                code: rejected.code,
                standing: rejected.state.as_ref().map(|state| (state.status, state.version_number)),
            })
        }
        // Requests, and answers to requests that the agent does not make.
        JobsTopic::Get(_) | JobsTopic::StartNext(_) | JobsTopic::Describe(_, None) | JobsTopic::Update(_, None) => {
            Heard::Nothing
        }
    }
}

fn read_next(payload: &[u8], unreadable: impl FnOnce(Reason) -> Event) -> Heard<'_> {
    match DescribeResponse::parse(payload) {
        Err(error) => Heard::Event(unreadable(error.into())),
        Ok(DescribeResponse { execution: None, .. }) => Heard::Event(Event::NoJob),
        Ok(DescribeResponse { execution: Some(execution), .. }) => {
            let document = execution.document;
            Heard::Offer { execution: known(execution), document }
        }
    }
}

fn read_description(payload: &[u8]) -> Heard<'_> {
    match DescribeResponse::parse(payload) {
        Ok(DescribeResponse { execution: Some(execution), .. }) => match execution.document {
            Some(document) => Heard::Offer { execution: known(execution), document: Some(document) },
            None => Heard::Event(Event::Described(known(execution))),
        },
        Ok(DescribeResponse { execution: None, .. }) | Err(_) => Heard::Nothing,
    }
}

fn read_update(payload: &[u8]) -> Heard<'_> {
    let Ok(updated) = UpdateResponse::parse(payload) else { return Heard::Nothing };
    let Some(token) = updated.client_token.and_then(token) else { return Heard::Nothing };
    Heard::Event(Event::UpdateAccepted { token, version: updated.state.map(|state| state.version_number) })
}

fn read_rejected(payload: &[u8], event: impl FnOnce(&Rejected<'_>, u32) -> Event) -> Heard<'_> {
    let Ok(rejected) = Rejected::parse(payload) else { return Heard::Nothing };
    let Some(token) = rejected.client_token.and_then(token) else { return Heard::Nothing };
    Heard::Event(event(&rejected, token))
}

fn read_stream<'m>(name: &str, topic: StreamTopic, payload: &'m [u8], desk: &Desk<'_>) -> Heard<'m> {
    let Some((ours, file_id)) = desk.stream() else { return Heard::Nothing };
    if ours != name {
        return Heard::Nothing;
    }
    match topic {
        StreamTopic::Data => match stream::Data::parse(payload) {
            Ok(data) if data.file_id == file_id => Heard::Block { index: data.index, bytes: data.payload },
            Ok(_) | Err(_) => Heard::Nothing,
        },
        StreamTopic::Rejected => match stream::Rejected::parse(payload) {
            Ok(rejected) => Heard::Event(Event::StreamRejected(rejected.code)),
            Err(_) => Heard::Nothing,
        },
        StreamTopic::Describe | StreamTopic::Description | StreamTopic::Get => Heard::Nothing,
    }
}

fn known(execution: ota_jobs::Execution<'_>) -> Execution {
    Execution { job: execution.job_id, status: execution.status, version: execution.version_number }
}

/// The number that a client token of ours stands for.
fn token(text: JsonStr<'_>) -> Option<u32> {
    u32::from_str_radix(text.as_plain()?, 16).ok()
}
