//! Where messages are sorted: job requests to `worker.rs` in their order, stream requests to a lane a thing;
//! and where answers and notifications leave. Nothing is decided here.

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use ota_jobs::{JobsTopic, RejectCode, StreamTopic, Topic, TopicError};

use super::files::Files;
use super::heard::Heard;
use super::jobs::{Jobs, Told};
use super::lanes::Lanes;
use super::log::{Direction, Log, problem, quote};
use super::orders::AdminError;
use super::rules::Refusal;
use super::signed_url::Signer;
use super::streams::Streams;
use super::transport::{Connection, Incoming, Outgoing, Publisher};
use super::wire;
use super::worker::Worker;
use crate::api::{Canceled, Created, NewJob};
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

/// What the worker is asked for.
pub enum Command {
    /// By a device.
    Message(Incoming),
    /// By an order: a new job.
    Create { id: String, order: Box<NewJob>, done: Answer<()> },
    /// By an order: the end of a job.
    Cancel { id: String, force: bool, done: Answer<Canceled> },
}

/// Where the outcome of an order goes. Whoever asked may have gone away meanwhile; what was done stays done.
pub type Answer<T> = oneshot::Sender<Result<T, AdminError>>;

/// How the admin requests reach the job service.
#[derive(Clone, Debug)]
pub struct JobsHandle {
    commands: mpsc::Sender<Command>,
    heard: Heard,
}

impl JobsHandle {
    /// Creates a job; it is stored when this returns, and the things are told one after the other: those that are there
    /// at once, and all that have work again whenever the broker was lost.
    ///
    /// Errors: see [`AdminError`]. Dropping it does not undo the job.
    pub async fn create(&self, id: String, order: NewJob) -> Result<Created, AdminError> {
        let unheard = self.heard.missing(&order.things);
        self.ask(|done| Command::Create { id, order: Box::new(order), done }).await?;
        Ok(Created { unheard })
    }

    /// Cancels a job; its executions are ended when this returns, and the things are told one after the other.
    ///
    /// Errors: see [`AdminError`]. Dropping it does not undo the cancellation.
    pub async fn cancel(&self, id: String, force: bool) -> Result<Canceled, AdminError> {
        self.ask(|done| Command::Cancel { id, force, done }).await
    }

    async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> Result<T, AdminError> {
        let (done, answer) = oneshot::channel();
        self.commands.send(command(done)).await.map_err(|_| AdminError::Stopping)?;
        answer.await.map_err(|_| AdminError::Stopping)?
    }
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
    JobsHandle { commands, heard }
}

/// Sends and logs.
#[derive(Clone)]
pub struct Outbox {
    /// Where messages go.
    pub publisher: Publisher,
    /// Where lines go.
    pub log: Log,
}

impl Outbox {
    /// Waits for room.
    pub async fn send(&self, message: Outgoing) {
        self.log_out(&message);
        self.publisher.publish(message).await;
    }

    /// For those who must not wait; false if the connection had no room for it.
    pub fn try_send(&self, message: Outgoing) -> bool {
        let taken = self.publisher.try_publish(message.clone());
        if taken {
            self.log_out(&message);
        }
        taken
    }

    fn log_out(&self, message: &Outgoing) {
        self.log.message(Direction::Out, &message.topic, thing_in(&message.topic), &quote(&message.payload));
    }

    /// False if one of them had no room.
    pub fn try_tell(&self, told: &[Told]) -> bool {
        told.iter().filter_map(notification).all(|message| self.try_send(message))
    }
}

fn notification(told: &Told) -> Option<Outgoing> {
    match wire::notification(told, now_s()) {
        Ok(message) => Some(message),
        Err(error) => {
            problem(format_args!("notification: {error}"));
            None
        }
    }
}

/// The thing that a topic is about; nothing, if it is about none.
fn thing_in(topic: &str) -> &str {
    let rest = topic.strip_prefix("$aws/things/").and_then(|rest| rest.split_once('/'));
    rest.map_or("", |(thing, _)| thing)
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
            Ok((thing, Topic::Jobs(topic))) if is_request(topic) => {
                self.heard.add(thing);
                self.job_request(message);
            }
            Ok((thing, Topic::Stream { topic: StreamTopic::Get | StreamTopic::Describe, .. })) => {
                let thing = thing.to_owned();
                self.lanes.send(&thing, message);
            }
            // Answers: ours come back from a broker that does not know "no local".
            Ok(_) | Err(TopicError::Foreign) => {}
            Err(_) if message.topic.ends_with("/rejected") || message.topic.ends_with("/accepted") => {}
            Err(error) => self.refuse(&message, &Refusal::new(RejectCode::InvalidTopic, error.to_string())),
        }
    }

    fn job_request(&mut self, message: Incoming) {
        self.log.message(Direction::In, &message.topic, thing_in(&message.topic), &quote(&message.payload));
        if let Err(mpsc::error::TrySendError::Full(Command::Message(message))) =
            self.commands.try_send(Command::Message(message))
        {
            let refusal = Refusal::new(RejectCode::RequestThrottled, "too many requests wait");
            self.refuse(&message, &refusal);
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
