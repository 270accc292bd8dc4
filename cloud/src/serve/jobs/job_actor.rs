//! Single writer of executions. Handles requests in order; bulk work is interleaved in batches so that requests are not
//! delayed.

use std::collections::VecDeque;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::codec;
use super::job_admin::AdminError;
use super::messages::{IncomingRequest, Notification};
use super::notify_queue::{NotifyQueue, PendingNotify};
use super::service::{Cancellation, JobService};
use crate::api::{CancelResponse, NewJob};
use crate::clock::now_s;
use crate::limits::{CHANGES_PER_TRANSACTION_MAX, TIMER_TICK};
use crate::serve::log::{quote, report_error};
use crate::serve::mqtt::outbox::Outbox;
use crate::serve::mqtt::transport::Outgoing;

/// A command to the job actor.
pub enum Command {
    /// Request of a device.
    Request(IncomingRequest),
    /// Admin request: create a job.
    Create { id: String, job: Box<NewJob>, done: Answer<()> },
    /// Admin request: cancel a job.
    Cancel { id: String, force: bool, done: Answer<CancelResponse> },
}

/// Receives the result of an admin request. If the receiver is dropped, the change still takes effect.
pub type Answer<T> = oneshot::Sender<Result<T, AdminError>>;

/// The job actor's state.
pub struct JobActor {
    jobs: JobService,
    outbox: Outbox,
    notify_queue: NotifyQueue,
    cancellations: VecDeque<(Cancellation, Answer<CancelResponse>)>,
    subscribed: watch::Receiver<bool>,
}

impl JobActor {
    /// Creates an actor without work.
    ///
    /// `subscribed`: whether the broker is connected.
    pub fn new(jobs: JobService, outbox: Outbox, subscribed: watch::Receiver<bool>) -> Self {
        let notify_queue = NotifyQueue::new(subscribed.clone());
        Self { jobs, outbox, notify_queue, cancellations: VecDeque::new(), subscribed }
    }

    /// Runs until all senders are dropped.
    ///
    /// # Cancel safety
    ///
    /// Every acknowledged change is on disk.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut tick = interval(TIMER_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.execute(command).await,
                    None => return,
                },
                _ = tick.tick() => if self.expire_timers().await { tick.reset_immediately() },
                Ok(()) = self.subscribed.changed() => self.broker_changed(),
                () = std::future::ready(()), if !self.cancellations.is_empty() => self.cancel_batch().await,
                () = self.notify_queue.ready(), if self.notify_queue.has_pending() => self.notify_one().await,
            }
        }
    }

    async fn execute(&mut self, command: Command) {
        match command {
            Command::Request(received) => self.answer(received).await,
            Command::Create { id, job, done } => self.create(&id, &job, done).await,
            Command::Cancel { id, force, done } => match self.jobs.begin_cancel(&id, force).await {
                Ok(cancellation) => self.cancellations.push_back((cancellation, done)),
                Err(error) => drop(done.send(Err(error))),
            },
        }
    }

    async fn answer(&mut self, received: IncomingRequest) {
        let now_s = now_s();
        let IncomingRequest { thing, topic, payload, request } = received;
        let (answer, notifications) = match request {
            Ok(request) => {
                let (reply, notifications) = self.jobs.handle(&thing, request, now_s).await;
                (codec::answer(&topic, &payload, &reply, now_s), notifications)
            }
            Err(refusal) => (codec::refusal(&topic, &payload, &refusal, now_s), Vec::new()),
        };
        match answer {
            Ok(answer) => self.send(answer).await,
            Err(error) => report_error(format_args!("response to {thing}: {error}")),
        }
        // The response is sent before the notification: a device learns the end of one job before the next job.
        if !self.try_notify(&notifications) {
            self.notify_queue.add(vec![PendingNotify::all(thing)]);
        }
    }

    /// Returns false if the send queue is full.
    fn try_notify(&self, notifications: &[Notification]) -> bool {
        notifications.iter().filter_map(notification).all(|message| self.outbox.try_send(message))
    }

    /// Waits for room in the queue only while the broker is connected; otherwise the response is dropped and the device
    /// retries.
    async fn send(&self, answer: Outgoing) {
        if *self.subscribed.borrow() {
            return self.outbox.send(answer).await;
        }
        let line = format!("a response on {} is lost: no connection to the broker", quote(answer.topic.as_bytes()));
        if !self.outbox.try_send(answer) {
            report_error(line);
        }
    }

    async fn create(&mut self, id: &str, job: &NewJob, done: Answer<()>) {
        let created = self.jobs.create(id, job).await;
        let _ = done.send(created.map(|due| self.notify_queue.add(due)));
    }

    async fn cancel_batch(&mut self) {
        let Some((mut cancellation, done)) = self.cancellations.pop_front() else { return };
        match self.jobs.cancel_batch(&mut cancellation, now_s()).await {
            Ok(Some(due)) => {
                self.notify_queue.add(due);
                // At the end of the queue: a small cancellation does not wait for a large one.
                self.cancellations.push_back((cancellation, done));
            }
            Ok(None) => drop(done.send(Ok(cancellation.done))),
            Err(error) => drop(done.send(Err(error.into()))),
        }
    }

    /// Ends overdue executions; returns whether more may be overdue.
    async fn expire_timers(&mut self) -> bool {
        let due = self.jobs.time_out(now_s()).await.unwrap_or_else(|error| {
            report_error(format_args!("timers: {error}"));
            Vec::new()
        });
        let more = due.len() >= CHANGES_PER_TRANSACTION_MAX;
        self.notify_queue.add(due);
        more
    }

    /// Messages may be lost when a connection ends: after a reconnect all things with pending executions are notified.
    fn broker_changed(&mut self) {
        if *self.subscribed.borrow_and_update() {
            self.notify_queue.add_all();
        }
    }

    async fn notify_one(&mut self) {
        if let Some(after) = self.notify_queue.page_after() {
            let page = self.jobs.things_with_work(after).await.unwrap_or_else(|error| {
                report_error(format_args!("pending things: {error}"));
                Vec::new()
            });
            return self.notify_queue.add_page(page);
        }
        let Some(due) = self.notify_queue.pop() else { return };
        match self.jobs.notifications(&due, now_s()).await {
            Ok(notifications) if self.try_notify(&notifications) => {}
            Ok(_) => self.notify_queue.retry(due),
            Err(error) => report_error(format_args!("notification of {}: {error}", due.thing)),
        }
    }
}

fn notification(message: &Notification) -> Option<Outgoing> {
    match codec::notification(message, now_s()) {
        Ok(message) => Some(message),
        Err(error) => {
            report_error(format_args!("notification: {error}"));
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::messages::Request;
    use super::*;
    use crate::limits::{DATABASE_BYTES_MAX, PUBLISHES_QUEUED_MAX};
    use crate::serve::log::{Format, Log};
    use crate::serve::signed_url::Signer;
    use crate::serve::transport::{BrokerAddress, Connection, connect};
    use crate::store::Store;
    use crate::testing::TempDir;
    use tokio::sync::oneshot;
    use tokio::task::JoinSet;

    const TIMEOUT: Duration = Duration::from_secs(10);

    /// An actor whose broker state is set by the test, and whose messages stay in the queue.
    struct TestService {
        _dir: TempDir,
        _tasks: JoinSet<()>,
        commands: mpsc::Sender<Command>,
        broker: watch::Sender<bool>,
        connection: Connection,
    }

    impl TestService {
        async fn new(broker: bool) -> Self {
            let dir = TempDir::new();
            let store = Store::open(dir.path(), DATABASE_BYTES_MAX).await.unwrap();
            let signer = Signer::new(&[1; 32], "http://h:1".into(), Duration::from_secs(60));
            let address = BrokerAddress { host: "127.0.0.1".into(), port: 1, tls: None, login: None, resume: false };
            let (publisher, connection) = connect(&address, &[]);
            let (broker, subscribed) = watch::channel(broker);
            let (commands, inbox) = mpsc::channel(8);
            let outbox = Outbox { publisher, log: Log::new(Format::Quiet) };
            let mut tasks = JoinSet::new();
            tasks.spawn(JobActor::new(JobService::new(store, signer), outbox, subscribed).run(inbox));
            Self { _dir: dir, _tasks: tasks, commands, broker, connection }
        }

        async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> T {
            let (done, answer) = oneshot::channel();
            assert!(self.commands.send(command(done)).await.is_ok());
            tokio::time::timeout(TIMEOUT, answer).await.unwrap().unwrap().unwrap()
        }

        async fn create(&self, things: Vec<String>) {
            let document = Some(serde_json::value::RawValue::from_string("{}".to_owned()).unwrap());
            let job = NewJob { things, document, ..NewJob::default() };
            self.ask(|done| Command::Create { id: "one".into(), job: Box::new(job), done }).await;
        }

        /// Returns the topics of the next `count` messages, sorted.
        async fn topics(&mut self, count: usize) -> Vec<String> {
            let mut topics = Vec::new();
            let all = async {
                while topics.len() < count {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    topics.extend(self.connection.take_queued());
                }
            };
            assert!(tokio::time::timeout(TIMEOUT, all).await.is_ok(), "only {topics:?}");
            topics.sort();
            topics
        }
    }

    fn both(thing: &str) -> [String; 2] {
        ["notify", "notify-next"].map(|end| format!("$aws/things/{thing}/jobs/{end}"))
    }

    #[tokio::test]
    async fn after_a_reconnect_all_pending_executions_are_notified_again() {
        let mut world = TestService::new(true).await;
        world.create(vec!["b".into(), "a".into()]).await;
        let all = [both("a"), both("b")].concat();
        assert_eq!(world.topics(4).await, all);
        world.broker.send_replace(false);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(world.connection.take_queued(), Vec::<String>::new());
        world.broker.send_replace(true);
        assert_eq!(world.topics(4).await, all);
        world.ask(|done| Command::Cancel { id: "one".into(), force: false, done }).await;
        assert_eq!(world.topics(4).await, all, "nothing is left");
        world.broker.send_replace(true);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(world.connection.take_queued(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn requests_before_a_disconnect_do_not_delay_an_admin_request() {
        let mut world = TestService::new(false).await;
        let begin = std::time::Instant::now();
        for _ in 0..PUBLISHES_QUEUED_MAX + 10 {
            let (topic, payload) = ("$aws/things/a/jobs/get".into(), "{}".into());
            let received = IncomingRequest { thing: "a".into(), topic, payload, request: Ok(Request::Pending) };
            assert!(world.commands.send(Command::Request(received)).await.is_ok());
        }
        world.create(vec!["a".into()]).await;
        assert!(begin.elapsed() < crate::limits::PUBLISH_TIMEOUT, "{:?}", begin.elapsed());
        assert_eq!(world.connection.take_queued().len(), PUBLISHES_QUEUED_MAX);
    }

    #[tokio::test]
    async fn a_job_for_many_things_needs_no_broker_and_all_are_notified_when_it_connects() {
        let mut world = TestService::new(false).await;
        let things: Vec<String> = (0..PUBLISHES_QUEUED_MAX + 10).map(|i| format!("t{i}")).collect();
        let mut all: Vec<String> = things.iter().flat_map(|thing| both(thing)).collect();
        all.sort();
        world.create(things).await;
        assert_eq!(world.connection.take_queued(), Vec::<String>::new());
        // The state changes without a disconnect, so nothing is sent again.
        world.broker.send_modify(|there| *there = true);
        let mut topics = world.topics(all.len()).await;
        topics.dedup();
        assert_eq!(topics, all);
    }
}
