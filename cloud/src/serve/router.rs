//! Routes incoming messages: job requests to the job actor in order, stream requests to the queue of their thing, reports of
//! devices to the task that stores them.
//! This is the only place that parses topics of requests.

use std::time::Instant;

use ota_jobs::{JobsTopic, RejectCode, Topic, TopicError};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::task::JoinSet;

use super::files::Files;
use super::jobs::codec;
use super::jobs::command::Command;
use super::jobs::device_reports;
use super::jobs::handle::JobsHandle;
use super::jobs::job_actor::JobActor;
use super::jobs::messages::IncomingRequest;
use super::jobs::presence::Presence;
use super::jobs::rules::Refusal;
use super::jobs::service::JobService;
use super::jobs::sessions::{Sessions, Silences};
use super::log::{Direction, Log, quote, report_error};
use super::mqtt::outbox::{Outbox, thing_of_topic};
use super::mqtt::transport::{Connection, Incoming, Publisher};
use super::signed_url::Signer;
use super::streams::queues::StreamQueues;
use super::streams::request::{Operation, StreamRequest};
use super::streams::service::Streams;
use crate::clock::now_s;
use crate::device::DeviceReport;
use crate::limits::{JOB_REQUESTS_QUEUED_MAX, REPORTS_QUEUED_MAX, TOPIC_BYTES_MAX};
use crate::store::Store;

/// Subscriptions of the service.
pub const FILTERS: [&str; 4] = [
    "$aws/things/+/jobs/#",
    "$aws/things/+/streams/+/get/+",
    "$aws/things/+/streams/+/describe/+",
    ota_jobs::report::FILTER,
];

/// Components that the router and its targets use.
pub struct Components {
    /// Database.
    pub store: Store,
    /// Image files.
    pub files: Files,
    /// Signs URLs.
    pub signer: Signer,
    /// Connection to the broker.
    pub publisher: Publisher,
    /// Message log.
    pub log: Log,
    /// Limit each thing to AWS's bytes per second.
    pub aws_limits: bool,
    /// Whether the broker passes on the begin of sessions; otherwise the router finds them.
    pub has_sessions: bool,
    /// Where requests are noted.
    pub presence: Presence,
}

/// The queue of the job actor, which exists before it: a broker begins sessions earlier.
pub fn queue() -> (mpsc::Sender<Command>, mpsc::Receiver<Command>) {
    mpsc::channel(JOB_REQUESTS_QUEUED_MAX)
}

/// Starts the tasks of the service.
pub fn spawn(
    tasks: &mut JoinSet<()>,
    connection: Connection,
    parts: Components,
    (commands, inbox): (mpsc::Sender<Command>, mpsc::Receiver<Command>),
) -> JobsHandle {
    let outbox = Outbox { publisher: parts.publisher, log: parts.log.clone() };
    let streams = Streams::new(parts.store.clone(), parts.files);
    let queues = StreamQueues::new(streams, outbox.publisher.clone(), parts.log.clone(), parts.aws_limits);
    let subscribed = connection.subscribed();
    let (reports, reports_inbox) = mpsc::channel(REPORTS_QUEUED_MAX);
    let mut router = Router {
        commands: commands.clone(),
        queues,
        outbox: outbox.clone(),
        log: parts.log,
        presence: parts.presence.clone(),
        silences: (!parts.has_sessions).then(Silences::default),
        reports,
    };
    let sessions = Sessions::new(commands.clone());
    tasks.spawn(device_reports::store(parts.store.clone(), sessions, reports_inbox));
    tasks.spawn(connection.run(move |message| router.route(message)));
    tasks.spawn(JobActor::new(JobService::new(parts.store, parts.signer), outbox, subscribed).run(inbox));
    JobsHandle::new(commands, parts.presence)
}

/// Routes messages by topic; never blocks.
struct Router {
    commands: mpsc::Sender<Command>,
    queues: StreamQueues,
    outbox: Outbox,
    log: Log,
    presence: Presence,
    /// With a broker that does not pass on the begin of sessions.
    silences: Option<Silences>,
    reports: mpsc::Sender<(String, DeviceReport)>,
}

impl Router {
    fn route(&mut self, message: Incoming) {
        if message.topic.len() > TOPIC_BYTES_MAX {
            // The topic of a response would be too long.
            let (got, start) = (message.topic.len(), quote(message.topic.as_bytes()));
            return report_error(format_args!("a topic of {got} bytes is ignored, at most {TOPIC_BYTES_MAX}: {start}"));
        }
        if let Some(thing) = ota_jobs::report::thing_of(&message.topic) {
            return self.report(thing, &message.payload);
        }
        match Topic::parse(&message.topic) {
            Ok((thing, Topic::Jobs(topic))) if is_request(topic) => self.job_request(thing, topic, &message),
            Ok((thing, Topic::Stream { stream, topic, encoding })) => {
                let Some(operation) = Operation::of(topic) else { return };
                let (thing, stream, payload) = (thing.to_owned(), stream.to_owned(), message.payload.clone());
                self.queues.send(StreamRequest { thing, stream, operation, encoding, payload });
            }
            // Responses: a broker without support for "no local" sends back our own.
            Ok(_) | Err(TopicError::Foreign) => {}
            Err(_) if message.topic.ends_with("/rejected") || message.topic.ends_with("/accepted") => {}
            Err(error) => self.refuse(&message, &Refusal::new(RejectCode::InvalidTopic, error.to_string())),
        }
    }

    fn report(&self, thing: &str, payload: &[u8]) {
        let report = match device_reports::read(payload, now_s()) {
            Ok(report) => report,
            Err(error) => return report_error(format_args!("the report of {thing} is ignored: {error}")),
        };
        if self.reports.try_send((thing.to_owned(), report)).is_err() {
            report_error(format_args!("the report of {thing} is lost: too many are queued"));
        }
    }

    fn job_request(&mut self, thing: &str, topic: JobsTopic<'_>, message: &Incoming) {
        self.presence.sent_request(thing, now_s());
        if self.silences.as_mut().is_some_and(|silences| silences.ends(thing, Instant::now())) {
            // If the queue is full, so it is for the request, which is refused.
            let _ = self.commands.try_send(Command::Session { thing: thing.to_owned() });
        }
        self.log.message(Direction::In, &message.topic, thing, &quote(&message.payload));
        let request = codec::request(topic, &message.payload);
        let (thing, topic, payload) = (thing.to_owned(), message.topic.clone(), message.payload.clone());
        let received = IncomingRequest { thing, topic, payload, request };
        if let Err(TrySendError::Full(_)) = self.commands.try_send(Command::Request(received)) {
            self.refuse(message, &Refusal::new(RejectCode::RequestThrottled, "too many requests are queued"));
        }
    }

    fn refuse(&self, message: &Incoming, refusal: &Refusal) {
        let sent =
            codec::refusal(&message.topic, &message.payload, refusal, now_s()).map(|it| self.outbox.try_send(it));
        match sent {
            Ok(true) => {}
            Ok(false) => report_error(format_args!(
                "a rejection to {} is lost: the send queue is full",
                thing_of_topic(&message.topic)
            )),
            Err(error) => report_error(format_args!("refusal: {error}")),
        }
    }
}

fn is_request(topic: JobsTopic<'_>) -> bool {
    matches!(
        topic,
        JobsTopic::Get(None) | JobsTopic::StartNext(None) | JobsTopic::Describe(_, None) | JobsTopic::Update(_, None)
    )
}
