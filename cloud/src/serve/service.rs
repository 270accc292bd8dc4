//! Where messages are sorted: job requests to one task in their order, stream requests to a lane a thing;
//! and where answers and notifications leave. Nothing is decided here.

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use ota_jobs::{JobsTopic, RejectCode, StreamTopic, Topic, TopicError};

use super::files::Files;
use super::jobs::{Jobs, Told};
use super::lanes::Lanes;
use super::log::{Direction, Log, problem, quote};
use super::orders::AdminError;
use super::rules::Refusal;
use super::signed_url::Signer;
use super::streams::Streams;
use super::transport::{Connection, Incoming, Outgoing, Publisher};
use super::wire;
use crate::api::NewJob;
use crate::clock::now_s;
use crate::limits::{JOB_REQUESTS_WAITING_MAX, TIMER_TICK};
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

enum Command {
    Message(Incoming),
    Create { id: String, order: Box<NewJob>, done: oneshot::Sender<Result<(), AdminError>> },
    Cancel { id: String, force: bool, done: oneshot::Sender<Result<(), AdminError>> },
}

/// How the admin requests reach the job service.
#[derive(Clone, Debug)]
pub struct JobsHandle {
    commands: mpsc::Sender<Command>,
}

impl JobsHandle {
    /// Creates a job; the things are told when this returns.
    ///
    /// Errors: see [`AdminError`]. Dropping it does not undo the job.
    pub async fn create(&self, id: String, order: NewJob) -> Result<(), AdminError> {
        self.ask(|done| Command::Create { id, order: Box::new(order), done }).await
    }

    /// Cancels a job; the things are told when this returns.
    ///
    /// Errors: see [`AdminError`]. Dropping it does not undo the cancellation.
    pub async fn cancel(&self, id: String, force: bool) -> Result<(), AdminError> {
        self.ask(|done| Command::Cancel { id, force, done }).await
    }

    async fn ask(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<(), AdminError>>) -> Command,
    ) -> Result<(), AdminError> {
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
    let mut sorter = Sorter { commands: commands.clone(), lanes, outbox: outbox.clone(), log: parts.log };
    tasks.spawn(connection.run(move |message| sorter.sort(message)));
    tasks.spawn(work(Jobs::new(parts.store, parts.signer), inbox, outbox));
    JobsHandle { commands }
}

/// Sends and logs.
#[derive(Clone)]
struct Outbox {
    publisher: Publisher,
    log: Log,
}

impl Outbox {
    async fn send(&self, message: Outgoing) {
        self.log_out(&message);
        self.publisher.publish(message).await;
    }

    /// For those who must not wait; lost if the connection has too much to do.
    fn try_send(&self, message: Outgoing) {
        self.log_out(&message);
        self.publisher.try_publish(message);
    }

    fn log_out(&self, message: &Outgoing) {
        self.log.message(Direction::Out, &message.topic, thing_in(&message.topic), &quote(&message.payload));
    }

    async fn tell(&self, told: Vec<Told>) {
        for told in &told {
            match wire::notification(told, now_s()) {
                Ok(message) => self.send(message).await,
                Err(error) => problem(format_args!("notification: {error}")),
            }
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
}

impl Sorter {
    fn sort(&mut self, message: Incoming) {
        match Topic::parse(&message.topic) {
            Ok((_, Topic::Jobs(topic))) if is_request(topic) => self.job_request(message),
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
        match wire::refusal(&message.topic, &message.payload, refusal, now_s()) {
            Ok(answer) => self.outbox.try_send(answer),
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

/// The one task that changes executions.
async fn work(jobs: Jobs, mut inbox: mpsc::Receiver<Command>, outbox: Outbox) {
    let mut tick = interval(TIMER_TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            command = inbox.recv() => match command {
                Some(command) => carry_out(&jobs, command, &outbox).await,
                None => return,
            },
            _ = tick.tick() => match jobs.time_out(now_s()).await {
                Ok(told) => outbox.tell(told).await,
                Err(error) => problem(format_args!("timers: {error}")),
            },
        }
    }
}

async fn carry_out(jobs: &Jobs, command: Command, outbox: &Outbox) {
    match command {
        Command::Message(message) => answer(jobs, &message, outbox).await,
        Command::Create { id, order, done } => {
            let created = jobs.create(&id, &order, now_s()).await;
            finish(created, done, outbox).await;
        }
        Command::Cancel { id, force, done } => {
            let canceled = jobs.cancel(&id, force, now_s()).await;
            finish(canceled, done, outbox).await;
        }
    }
}

async fn finish(done: Result<Vec<Told>, AdminError>, answer: oneshot::Sender<Result<(), AdminError>>, outbox: &Outbox) {
    let result = match done {
        Ok(told) => {
            outbox.tell(told).await;
            Ok(())
        }
        Err(error) => Err(error),
    };
    // Whoever asked may have gone away meanwhile; what was done stays done.
    let _ = answer.send(result);
}

async fn answer(jobs: &Jobs, message: &Incoming, outbox: &Outbox) {
    let Ok((thing, Topic::Jobs(topic))) = Topic::parse(&message.topic) else { return };
    let now_s = now_s();
    let (answer, told) = match wire::request(topic, &message.payload) {
        Ok(request) => {
            let (reply, told) = jobs.handle(thing, request, now_s).await;
            (wire::answer(&message.topic, &message.payload, &reply, now_s), told)
        }
        Err(refusal) => (wire::refusal(&message.topic, &message.payload, &refusal, now_s), Vec::new()),
    };
    match answer {
        Ok(answer) => outbox.send(answer).await,
        Err(error) => problem(format_args!("answer to {thing}: {error}")),
    }
    // The answer first: a device that hears of the next job has heard of the end of this one.
    outbox.tell(told).await;
}
