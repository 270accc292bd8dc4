//! Topics of the Jobs API and of streams. Topic filters are in `filter`.

use core::fmt;

use crate::buffer::Buffer;
use crate::error::{EmitError, FieldError};
use crate::ids::{JobId, StreamName, ThingName};
use crate::limits::TOPIC_BYTES_MAX;

pub(crate) const PREFIX: &str = "$aws/things/";

/// A topic below `$aws/things/{thing}/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic<'a> {
    /// The Jobs API.
    Jobs(JobsTopic<'a>),
    /// File delivery.
    Stream {
        /// The stream's name.
        stream: &'a str,
        /// Kind of message.
        topic: StreamTopic,
        /// Encoding.
        encoding: Encoding,
    },
}

/// A topic of the Jobs API. Without a [`Response`] it is the topic of the request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobsTopic<'a> {
    /// The list of pending executions changed.
    Notify,
    /// The first pending execution changed.
    NotifyNext,
    /// The list of pending executions.
    Get(Option<Response>),
    /// Start the first pending execution.
    StartNext(Option<Response>),
    /// Describe an execution.
    Describe(JobRef<'a>, Option<Response>),
    /// Update the execution of the job with this id.
    Update(&'a str, Option<Response>),
}

/// Response of the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Response {
    /// The request succeeded.
    Accepted,
    /// The request was rejected.
    Rejected,
}

/// The job to describe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobRef<'a> {
    /// The first pending job, `$next`.
    Next,
    /// The job with this id.
    Id(&'a str),
}

/// A message of file delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamTopic {
    /// Request for the list of files.
    Describe,
    /// Request for blocks.
    Get,
    /// The list of files.
    Description,
    /// One block.
    Data,
    /// Rejection of a request.
    Rejected,
}

/// Encoding of a stream message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// RFC 8259.
    Json,
    /// RFC 8949.
    Cbor,
}

/// An error of parsing a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopicError {
    /// Not a topic of jobs or streams.
    Foreign,
    /// Below `jobs/` or `streams/`, but not a topic of the protocol. AWS answers `InvalidTopic`.
    Unknown,
    /// Longer than any topic of the protocol.
    TooLong {
        /// Size of the buffer in bytes.
        got: usize,
        /// [`TOPIC_BYTES_MAX`].
        max: usize,
    },
    /// The name of the thing, the job or the stream is invalid.
    Name(FieldError),
}

impl From<FieldError> for TopicError {
    fn from(error: FieldError) -> Self {
        TopicError::Name(error)
    }
}

impl fmt::Display for TopicError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TopicError::Foreign => f.write_str("not a topic of jobs or streams"),
            TopicError::Unknown => f.write_str("no message of the protocol has this topic"),
            TopicError::TooLong { got, max } => {
                write!(f, "the topic has {got} bytes, at most {max} are taken")
            }
            TopicError::Name(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for TopicError {}

impl<'a> Topic<'a> {
    /// Splits a topic into the name of the thing and the topic below it.
    ///
    /// Errors: [`TopicError`].
    pub fn parse(topic: &'a str) -> Result<(&'a str, Topic<'a>), TopicError> {
        let mut levels = topic.split('/');
        let head = [levels.next(), levels.next()];
        let (thing, room) = (levels.next(), levels.next());
        let below = [levels.next(), levels.next(), levels.next(), levels.next()];
        let (Some(thing), Some(room @ ("jobs" | "streams")), Some(first)) = (thing, room, below[0]) else {
            return Err(TopicError::Foreign);
        };
        if head != [Some("$aws"), Some("things")] {
            return Err(TopicError::Foreign);
        }
        if topic.len() > TOPIC_BYTES_MAX {
            return Err(TopicError::TooLong { got: topic.len(), max: TOPIC_BYTES_MAX });
        }
        ThingName::check(thing)?;
        let [_, second, third, None] = below else { return Err(TopicError::Unknown) };
        let topic = if room == "jobs" { Self::jobs(first, second, third) } else { Self::stream(first, second, third) }?;
        Ok((thing, topic))
    }

    fn jobs(first: &'a str, second: Option<&'a str>, third: Option<&'a str>) -> Result<Self, TopicError> {
        Ok(Topic::Jobs(match (first, second, third) {
            ("notify", None, _) => JobsTopic::Notify,
            ("notify-next", None, _) => JobsTopic::NotifyNext,
            ("get", _, None) if is_answer(second) => JobsTopic::Get(answer(second)?),
            ("start-next", _, None) if is_answer(second) => JobsTopic::StartNext(answer(second)?),
            ("$next", Some("get"), _) => JobsTopic::Describe(JobRef::Next, answer(third)?),
            (job, Some(verb @ ("get" | "update")), _) => {
                let answer = answer(third)?;
                JobId::check(job)?;
                if verb == "get" {
                    JobsTopic::Describe(JobRef::Id(job), answer)
                } else {
                    JobsTopic::Update(job, answer)
                }
            }
            _ => return Err(TopicError::Unknown),
        }))
    }

    fn stream(stream: &'a str, verb: Option<&str>, encoding: Option<&str>) -> Result<Self, TopicError> {
        let (Some(verb), Some(encoding)) = (verb, encoding) else { return Err(TopicError::Unknown) };
        let (topic, _) = find(&STREAM_TOPICS, verb).ok_or(TopicError::Unknown)?;
        let (encoding, _) = find(&ENCODINGS, encoding).ok_or(TopicError::Unknown)?;
        StreamName::check(stream)?;
        Ok(Topic::Stream { stream, topic, encoding })
    }

    /// Writes the topic for `thing` and returns it: at most [`TOPIC_BYTES_MAX`] bytes if the names have valid lengths.
    ///
    /// Errors: [`EmitError::BufferTooSmall`].
    pub fn emit<'o>(&self, thing: &str, out: &'o mut [u8]) -> Result<&'o str, EmitError> {
        match *self {
            Topic::Jobs(jobs) => jobs.emit(thing, out),
            Topic::Stream { stream, topic, encoding } => {
                let (verb, form) = (name(&STREAM_TOPICS, topic), name(&ENCODINGS, encoding));
                join(out, &[PREFIX, thing, "/streams/", stream, "/", verb, "/", form])
            }
        }
    }
}

impl JobsTopic<'_> {
    fn emit<'o>(self, thing: &str, out: &'o mut [u8]) -> Result<&'o str, EmitError> {
        let (job, verb, answer) = match self {
            JobsTopic::Notify => ("", "notify", None),
            JobsTopic::NotifyNext => ("", "notify-next", None),
            JobsTopic::Get(answer) => ("", "get", answer),
            JobsTopic::StartNext(answer) => ("", "start-next", answer),
            JobsTopic::Describe(JobRef::Next, answer) => ("$next", "get", answer),
            JobsTopic::Describe(JobRef::Id(job), answer) => (job, "get", answer),
            JobsTopic::Update(job, answer) => (job, "update", answer),
        };
        let slash = if job.is_empty() { "" } else { "/" };
        let answer = match answer {
            None => "",
            Some(Response::Accepted) => "/accepted",
            Some(Response::Rejected) => "/rejected",
        };
        join(out, &[PREFIX, thing, "/jobs/", job, slash, verb, answer])
    }
}

const STREAM_TOPICS: [(StreamTopic, &str); 5] = [
    (StreamTopic::Describe, "describe"),
    (StreamTopic::Get, "get"),
    (StreamTopic::Description, "description"),
    (StreamTopic::Data, "data"),
    (StreamTopic::Rejected, "rejected"),
];

const ENCODINGS: [(Encoding, &str); 2] = [(Encoding::Json, "json"), (Encoding::Cbor, "cbor")];

fn find<T: Copy>(table: &[(T, &'static str)], name: &str) -> Option<(T, &'static str)> {
    table.iter().find(|(_, known)| *known == name).copied()
}

fn name<T: Copy + PartialEq>(table: &[(T, &'static str)], value: T) -> &'static str {
    table.iter().find(|(known, _)| *known == value).map_or("", |(_, name)| name)
}

fn is_answer(rest: Option<&str>) -> bool {
    matches!(rest, None | Some("accepted" | "rejected"))
}

fn answer(rest: Option<&str>) -> Result<Option<Response>, TopicError> {
    match rest {
        None => Ok(None),
        Some("accepted") => Ok(Some(Response::Accepted)),
        Some("rejected") => Ok(Some(Response::Rejected)),
        Some(_) => Err(TopicError::Unknown),
    }
}

/// Writes `parts` one after the other and returns the text.
pub(crate) fn join<'o>(out: &'o mut [u8], parts: &[&str]) -> Result<&'o str, EmitError> {
    let mut out = Buffer::new(out);
    parts.iter().for_each(|part| out.push(part.as_bytes()));
    out.finish()?;
    Ok(out.into_text())
}

#[cfg(test)]
mod tests {
    use std::format;
    use std::string::{String, ToString};

    use proptest::prelude::*;

    use super::*;

    fn jobs(below: &str) -> Result<String, TopicError> {
        let topic = format!("$aws/things/lamp/jobs/{below}");
        Topic::parse(&topic).map(|(thing, topic)| format!("{thing} {topic:?}"))
    }

    /// Source: AWS IoT developer guide, "Reserved topics", jobs and MQTT-based file delivery.
    #[test]
    fn every_topic_of_the_guide_is_read_and_written() {
        use JobsTopic::{Describe, Get, Notify, NotifyNext, StartNext, Update};
        use Response::{Accepted, Rejected};
        let jobs = [
            ("notify", Notify),
            ("notify-next", NotifyNext),
            ("get", Get(None)),
            ("get/accepted", Get(Some(Accepted))),
            ("get/rejected", Get(Some(Rejected))),
            ("start-next", StartNext(None)),
            ("start-next/accepted", StartNext(Some(Accepted))),
            ("start-next/rejected", StartNext(Some(Rejected))),
            ("job-1/get", Describe(JobRef::Id("job-1"), None)),
            ("job-1/get/accepted", Describe(JobRef::Id("job-1"), Some(Accepted))),
            ("job-1/get/rejected", Describe(JobRef::Id("job-1"), Some(Rejected))),
            ("$next/get", Describe(JobRef::Next, None)),
            ("$next/get/accepted", Describe(JobRef::Next, Some(Accepted))),
            ("job-1/update", Update("job-1", None)),
            ("job-1/update/accepted", Update("job-1", Some(Accepted))),
            ("job-1/update/rejected", Update("job-1", Some(Rejected))),
        ];
        for (below, want) in jobs {
            check(&format!("$aws/things/lamp/jobs/{below}"), Topic::Jobs(want));
        }
        for (topic, verb) in STREAM_TOPICS {
            for (encoding, form) in ENCODINGS {
                let text = format!("$aws/things/lamp/streams/AFR_OTA-1/{verb}/{form}");
                check(&text, Topic::Stream { stream: "AFR_OTA-1", topic, encoding });
            }
        }
    }

    fn check(text: &str, want: Topic<'_>) {
        assert_eq!(Topic::parse(text), Ok(("lamp", want)), "{text}");
        assert_eq!(want.emit("lamp", &mut [0; TOPIC_BYTES_MAX]), Ok(text));
    }

    #[test]
    fn a_topic_of_the_longest_names_is_taken_and_one_byte_more_is_not() {
        let (thing, stream) = ("t".repeat(128), "s".repeat(128));
        let topic = format!("$aws/things/{thing}/streams/{stream}/description/cbor");
        assert_eq!(topic.len(), TOPIC_BYTES_MAX);
        assert!(Topic::parse(&topic).is_ok());
        let error = TopicError::TooLong { got: TOPIC_BYTES_MAX + 1, max: TOPIC_BYTES_MAX };
        assert_eq!(Topic::parse(&(topic + "r")), Err(error));
        assert_eq!(error.to_string(), format!("the topic has 295 bytes, at most {TOPIC_BYTES_MAX} are taken"));
        assert_eq!(TopicError::Foreign.to_string(), "not a topic of jobs or streams");
    }

    #[test]
    fn jobs_may_be_named_like_verbs() {
        assert_eq!(jobs("get/get").unwrap(), r#"lamp Jobs(Describe(Id("get"), None))"#);
        assert_eq!(jobs("notify/update/accepted").unwrap(), r#"lamp Jobs(Update("notify", Some(Accepted)))"#);
        assert_eq!(jobs("start-next/get").unwrap(), r#"lamp Jobs(Describe(Id("start-next"), None))"#);
    }

    #[test]
    fn what_is_no_topic_of_the_protocol_is_told_apart() {
        for below in
            ["", "x", "notify/accepted", "get/accepted/x", "job-1/delete", "job-1/get/x", "job-1/update/accepted/x"]
        {
            assert_eq!(jobs(below), Err(TopicError::Unknown), "{below}");
        }
        for topic in [
            "",
            "$aws/things/lamp",
            "$aws/things/lamp/shadow/update",
            "things/lamp/jobs/get",
            "$aws/events/job/a/completed",
        ] {
            assert_eq!(Topic::parse(topic), Err(TopicError::Foreign), "{topic}");
        }
        for below in ["s/get", "s/get/xml", "s/put/json", "s/get/json/x"] {
            let topic = format!("$aws/things/lamp/streams/{below}");
            assert_eq!(Topic::parse(&topic), Err(TopicError::Unknown), "{below}");
        }
    }

    #[test]
    fn names_that_none_can_have_are_refused_by_name() {
        let character = |field, at| Err(TopicError::Name(FieldError::Character { field, at }));
        assert_eq!(jobs("$next/update"), character("jobId", 0));
        assert_eq!(jobs("a+b/get"), character("jobId", 1));
        assert_eq!(Topic::parse("$aws/things/+/jobs/notify").map(|_| String::new()), character("thingName", 0));
        let long = format!("{}/get", "j".repeat(65));
        assert_eq!(jobs(&long), Err(TopicError::Name(FieldError::TooLong { field: "jobId", got: 65, max: 64 })));
        let long = format!("$aws/things/lamp/jobs/{}", "x".repeat(400));
        assert_eq!(Topic::parse(&long), Err(TopicError::TooLong { got: 422, max: TOPIC_BYTES_MAX }));
    }

    #[test]
    fn names_of_full_length_make_topics_that_fit() {
        let (thing, job, stream) = ("t".repeat(128), "j".repeat(64), "s".repeat(128));
        let update = Topic::Jobs(JobsTopic::Update(&job, Some(Response::Accepted)));
        let description = Topic::Stream { stream: &stream, topic: StreamTopic::Description, encoding: Encoding::Cbor };
        for topic in [update, description] {
            let mut out = [0; TOPIC_BYTES_MAX];
            let text = topic.emit(&thing, &mut out).unwrap();
            assert_eq!(Topic::parse(text), Ok((thing.as_str(), topic)));
        }
        let too_small = Err(EmitError::BufferTooSmall { have: TOPIC_BYTES_MAX - 1 });
        assert_eq!(description.emit(&thing, &mut [0; TOPIC_BYTES_MAX - 1]), too_small);
        assert_eq!(TOPIC_BYTES_MAX, 294);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(1024))]

        #[test]
        fn a_topic_that_is_read_is_written_the_same(
            text in r"\$aws/things/[a-z:]{1,3}/(jobs|streams)/(([$a-z]{1,5}|\$next|get|start-next)/)?(get|update|data|notify)(/(accepted|json|cbor|x))?"
        ) {
            if let Ok((thing, topic)) = Topic::parse(&text) {
                let mut out = [0; TOPIC_BYTES_MAX];
                prop_assert_eq!(topic.emit(thing, &mut out), Ok(text.as_str()));
            }
        }

        #[test]
        fn any_text_is_a_topic_or_none(text in "\\PC{0,300}") {
            let _ = Topic::parse(&text);
            let _ = Topic::parse(&format!("$aws/things/lamp/jobs/{text}"));
        }
    }
}
