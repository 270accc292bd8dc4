//! A device's request to a stream, as the router hands it on.

use bytes::Bytes;
use ota_jobs::{Encoding, StreamTopic, Topic};

/// What is asked of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Blocks of a file.
    Get,
    /// The list of the files.
    Describe,
}

impl Operation {
    /// `None` for the topic of an answer.
    pub fn of(topic: StreamTopic) -> Option<Self> {
        match topic {
            StreamTopic::Get => Some(Self::Get),
            StreamTopic::Describe => Some(Self::Describe),
            StreamTopic::Description | StreamTopic::Data | StreamTopic::Rejected => None,
        }
    }
}

/// One request: its topic is read, its payload is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamRequest {
    /// Who asks.
    pub thing: String,
    /// Of which stream.
    pub stream: String,
    /// What for.
    pub operation: Operation,
    /// Of the request, and of its answer.
    pub encoding: Encoding,
    /// Not read yet.
    pub payload: Bytes,
}

impl StreamRequest {
    /// The topic that it came in on.
    pub fn topic(&self) -> String {
        self.answer_topic(match self.operation {
            Operation::Get => StreamTopic::Get,
            Operation::Describe => StreamTopic::Describe,
        })
    }

    /// The topic of an answer to it.
    pub fn answer_topic(&self, topic: StreamTopic) -> String {
        let mut text = String::new();
        let topic = Topic::Stream { stream: &self.stream, topic, encoding: self.encoding };
        topic.write(&self.thing, &mut text).expect("a string takes everything");
        text
    }
}
