//! A stream request of a device, with its topic parsed.

use bytes::Bytes;
use ota_jobs::limits::TOPIC_BYTES_MAX;
use ota_jobs::{Encoding, StreamTopic, Topic};

/// Operation of a stream request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Request blocks of a file.
    Get,
    /// Request the list of files.
    Describe,
}

impl Operation {
    /// Returns the operation of a request topic; `None` for topics of responses.
    pub fn of(topic: StreamTopic) -> Option<Self> {
        match topic {
            StreamTopic::Get => Some(Self::Get),
            StreamTopic::Describe => Some(Self::Describe),
            StreamTopic::Description | StreamTopic::Data | StreamTopic::Rejected => None,
        }
    }
}

/// A stream request whose topic is parsed; the payload is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRequest {
    /// Requesting thing.
    pub thing: String,
    /// Name of the stream.
    pub stream: String,
    /// Requested operation.
    pub operation: Operation,
    /// Encoding of the request and of its response.
    pub encoding: Encoding,
    /// Unparsed payload.
    pub payload: Bytes,
}

impl StreamRequest {
    /// Returns the topic of the request.
    pub fn topic(&self) -> String {
        self.answer_topic(match self.operation {
            Operation::Get => StreamTopic::Get,
            Operation::Describe => StreamTopic::Describe,
        })
    }

    /// Returns the topic of a response.
    pub fn answer_topic(&self, topic: StreamTopic) -> String {
        let topic = Topic::Stream { stream: &self.stream, topic, encoding: self.encoding };
        topic.emit(&self.thing, &mut [0; TOPIC_BYTES_MAX]).expect("the names were part of a topic").to_owned()
    }
}
