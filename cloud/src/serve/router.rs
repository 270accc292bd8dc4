//! Where messages are sorted: job requests to the worker in their order, stream requests to a lane a thing.
//! A topic is parsed here and nowhere else. Nothing is decided here.

use ota_jobs::{JobsTopic, RejectCode, Topic, TopicError};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinSet;

use super::files::Files;
use super::jobs::handle::JobsHandle;
use super::jobs::heard::Heard;
use super::jobs::messages::Received;
use super::jobs::rules::Refusal;
use super::jobs::service::Jobs;
use super::jobs::wire;
use super::jobs::worker::{Command, Worker};
use super::log::{Direction, Log, problem, quote};
use super::mqtt::outbox::{Outbox, thing_in};
use super::mqtt::transport::{Connection, Incoming, Publisher};
use super::signed_url::Signer;
use super::streams::lanes::Lanes;
use super::streams::request::{Operation, StreamRequest};
use super::streams::service::Streams;
use crate::clock::now_s;
use crate::limits::{JOB_REQUESTS_WAITING_MAX, TOPIC_BYTES_MAX};
use crate::store::Store;

/// What the service subscribes to.
pub const FILTERS: [&str; 3] =
    ["$aws/things/+/jobs/#", "$aws/things/+/streams/+/get/+", "$aws/things/+/streams/+/describe/+"];

/// What the service is made of.
pub struct Parts {
    /// Everything durable.
    pub store: Store,
    /// The bytes of images.
    pub files: Files,
    /// Makes URLs.
    pub signer: Signer,
    /// Where answers go.
    pub publisher: Publisher,
    /// Where lines go.
    pub log: Log,
    /// Delay what exceeds AWS's bytes per second and thing.
    pub aws_limits: bool,
}

/// Starts the tasks of the service.
pub fn spawn(tasks: &mut JoinSet<()>, connection: Connection, parts: Parts) -> JobsHandle {
    let (commands, inbox) = mpsc::channel(JOB_REQUESTS_WAITING_MAX);
    let outbox = Outbox { publisher: parts.publisher, log: parts.log.clone() };
    let streams = Streams::new(parts.store.clone(), parts.files);
    let lanes = Lanes::new(streams, outbox.publisher.clone(), parts.log.clone(), parts.aws_limits);
    let (heard, subscribed) = (Heard::default(), connection.subscribed());
    let mut sorter =
        Sorter { commands: commands.clone(), lanes, outbox: outbox.clone(), log: parts.log, heard: heard.clone() };
    tasks.spawn(connection.run(move |message| sorter.sort(message)));
    tasks.spawn(Worker::new(Jobs::new(parts.store, parts.signer), outbox, subscribed).run(inbox));
    JobsHandle::new(commands, heard)
}

/// Decides by the topic alone where a message goes; never waits.
struct Sorter {
    commands: mpsc::Sender<Command>,
    lanes: Lanes,
    outbox: Outbox,
    log: Log,
    heard: Heard,
}

impl Sorter {
    fn sort(&mut self, message: Incoming) {
        if message.topic.len() > TOPIC_BYTES_MAX {
            // No answer below it could be sent.
            let (got, start) = (message.topic.len(), quote(message.topic.as_bytes()));
            return problem(format_args!("a topic of {got} bytes is ignored, at most {TOPIC_BYTES_MAX}: {start}"));
        }
        match Topic::parse(&message.topic) {
            Ok((thing, Topic::Jobs(topic))) if is_request(topic) => self.job_request(thing, topic, &message),
            Ok((thing, Topic::Stream { stream, topic, encoding })) => {
                let Some(operation) = Operation::of(topic) else { return };
                let (thing, stream, payload) = (thing.to_owned(), stream.to_owned(), message.payload.clone());
                self.lanes.send(StreamRequest { thing, stream, operation, encoding, payload });
            }
            // Answers: ours come back from a broker that does not know "no local".
            Ok(_) | Err(TopicError::Foreign) => {}
            Err(_) if message.topic.ends_with("/rejected") || message.topic.ends_with("/accepted") => {}
            Err(error) => self.refuse(&message, &Refusal::new(RejectCode::InvalidTopic, error.to_string())),
        }
    }

    fn job_request(&self, thing: &str, topic: JobsTopic<'_>, message: &Incoming) {
        self.heard.add(thing);
        self.log.message(Direction::In, &message.topic, thing, &quote(&message.payload));
        let request = wire::request(topic, &message.payload);
        let (thing, topic, payload) = (thing.to_owned(), message.topic.clone(), message.payload.clone());
        let received = Received { thing, topic, payload, request };
        if let Err(TrySendError::Full(_)) = self.commands.try_send(Command::Request(received)) {
            self.refuse(message, &Refusal::new(RejectCode::RequestThrottled, "too many requests wait"));
        }
    }

    fn refuse(&self, message: &Incoming, refusal: &Refusal) {
        let sent = wire::refusal(&message.topic, &message.payload, refusal, now_s()).map(|it| self.outbox.try_send(it));
        match sent {
            Ok(true) => {}
            Ok(false) => problem(format_args!("a refusal to {} is lost: too much waits", thing_in(&message.topic))),
            Err(error) => problem(format_args!("refusal: {error}")),
        }
    }
}

fn is_request(topic: JobsTopic<'_>) -> bool {
    matches!(
        topic,
        JobsTopic::Get(None) | JobsTopic::StartNext(None) | JobsTopic::Describe(_, None) | JobsTopic::Update(_, None)
    )
}
