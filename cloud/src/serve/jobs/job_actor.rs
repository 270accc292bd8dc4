//! Single writer of executions. Handles requests in order; bulk work is interleaved in batches so that requests are not
//! delayed.

use std::collections::VecDeque;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::admin_error::AdminError;
use super::codec;
use super::expiry_gate::ExpiryGate;
use super::messages::{IncomingRequest, Notification};
use super::notify_queue::{NotifyQueue, PendingNotify};
use super::rollouts::{Advanced, Rollouts};
use super::service::{Cancellation, JobService};
use super::wall_clock::WallClock;
use crate::api::{CancelResponse, NewJob};
use crate::clock::now_s;
use crate::limits::{CHANGES_PER_TRANSACTION_MAX, NOTIFY_RETRY, TIMER_TICK};
use crate::serve::log::{quote, report_error};
use crate::serve::mqtt::outbox::Outbox;
use crate::serve::mqtt::transport::Outgoing;
use crate::store::StoreError;

/// A command to the job actor.
pub enum Command {
    /// Request of a device.
    Request(IncomingRequest),
    /// Admin request: create a job; the response has the things that are pinned.
    Create { id: String, job: Box<NewJob>, done: Answer<Vec<String>> },
    /// Admin request: cancel a job.
    Cancel { id: String, force: bool, done: Answer<CancelResponse> },
    /// Admin request: delete a group; whether it existed.
    DeleteGroup { group: String, done: Answer<bool> },
    /// Admin request: add things to a group.
    Join { group: String, things: Vec<String>, done: Answer<()> },
}

/// Receives the result of an admin request. If the receiver is dropped, the change still takes effect.
pub type Answer<T> = oneshot::Sender<Result<T, AdminError>>;

/// The job actor's state.
pub struct JobActor {
    jobs: JobService,
    outbox: Outbox,
    notify_queue: NotifyQueue,
    /// A cancellation that a restart interrupted has no receiver.
    cancellations: VecDeque<(Cancellation, Option<Answer<CancelResponse>>)>,
    /// Cancellations to be tried again with the next tick.
    failed_cancellations: Vec<Cancellation>,
    subscribed: watch::Receiver<bool>,
    expiry_gate: ExpiryGate,
    wall_clock: WallClock,
    rollouts: Rollouts,
    /// When the rollouts were advanced last.
    advanced_at: Option<Instant>,
    /// Whether the work that the last run of the service left was read.
    has_resumed: bool,
}

impl JobActor {
    /// Creates an actor without work.
    ///
    /// `subscribed`: whether the broker is connected.
    pub fn new(jobs: JobService, outbox: Outbox, subscribed: watch::Receiver<bool>) -> Self {
        let notify_queue = NotifyQueue::new(subscribed.clone());
        let expiry_gate = ExpiryGate::new(*subscribed.borrow(), Instant::now());
        let wall_clock = WallClock::new(Instant::now(), now_s());
        Self {
            jobs,
            outbox,
            notify_queue,
            cancellations: VecDeque::new(),
            failed_cancellations: Vec::new(),
            subscribed,
            expiry_gate,
            wall_clock,
            rollouts: Rollouts::default(),
            advanced_at: None,
            has_resumed: false,
        }
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
                _ = tick.tick() => {
                    self.resume().await;
                    self.advance_rollouts(Instant::now(), now_s()).await;
                    if self.expire_timers(Instant::now(), now_s()).await {
                        tick.reset_immediately();
                    }
                }
                Ok(()) = self.subscribed.changed() => self.broker_changed(Instant::now()),
                () = std::future::ready(()), if !self.cancellations.is_empty() => self.cancel_batch().await,
                () = self.notify_queue.ready(), if self.notify_queue.has_pending() => self.notify_one().await,
            }
        }
    }

    /// Takes up what the last run of the service left, and cancellations that failed.
    async fn resume(&mut self) {
        let failed = self.failed_cancellations.drain(..);
        self.cancellations.extend(failed.map(|cancellation| (cancellation, None)));
        if self.has_resumed {
            return;
        }
        let left = async {
            Ok::<_, StoreError>((self.jobs.interrupted_cancellations().await?, self.jobs.unfinished_rollouts().await?))
        };
        match left.await {
            Ok((cancellations, rollouts)) => {
                self.cancellations.extend(cancellations.into_iter().map(|cancellation| (cancellation, None)));
                for job in rollouts {
                    self.rollouts.add(job.id, job.config, job.continuous, Instant::now());
                }
                self.has_resumed = true;
            }
            Err(error) => report_error(format_args!("jobs of the last run, tried again: {error}")),
        }
    }

    /// Does nothing within a tick of the last time: a batch of timers that expire brings the next tick forward.
    async fn advance_rollouts(&mut self, now: Instant, now_s: u64) {
        if self.advanced_at.is_some_and(|at| now < at + TIMER_TICK) {
            return;
        }
        self.advanced_at = Some(now);
        let Advanced { due, canceled } = self.rollouts.advance(&self.jobs, now, now_s).await;
        self.notify_queue.add(due);
        self.cancellations.extend(canceled.into_iter().map(|cancellation| (cancellation, None)));
    }

    async fn execute(&mut self, command: Command) {
        match command {
            Command::Request(received) => self.answer(received).await,
            Command::Create { id, job, done } => self.create(&id, &job, done).await,
            Command::DeleteGroup { group, done } => {
                let _ = done.send(self.jobs.delete_group(&group).await);
            }
            Command::Join { group, things, done } => {
                let joined = self.jobs.join(&group, &things, now_s()).await;
                let _ = done.send(joined.map(|due| self.notify_queue.add(due)));
            }
            Command::Cancel { id, force, done } => match self.jobs.begin_cancel(&id, force).await {
                Ok(cancellation) => {
                    self.rollouts.remove(&id);
                    self.cancellations.push_back((cancellation, Some(done)));
                }
                Err(error) => drop(done.send(Err(error))),
            },
        }
    }

    async fn answer(&mut self, received: IncomingRequest) {
        let now_s = now_s();
        self.follow_wall_clock(Instant::now(), now_s).await;
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

    async fn create(&mut self, id: &str, job: &NewJob, done: Answer<Vec<String>>) {
        let created = self.jobs.create(id, job).await;
        if created.is_ok() {
            self.rollouts.add(id.to_owned(), job.config.clone(), job.continuous, Instant::now());
        }
        let _ = done.send(created.map(|(due, pinned)| {
            self.notify_queue.add(due);
            pinned
        }));
    }

    async fn cancel_batch(&mut self) {
        let Some((mut cancellation, done)) = self.cancellations.pop_front() else { return };
        match self.jobs.cancel_batch(&mut cancellation, now_s()).await {
            Ok(Some(due)) => {
                self.notify_queue.add(due);
                // At the end of the queue: a small cancellation does not wait for a large one.
                self.cancellations.push_back((cancellation, done));
            }
            Ok(None) => drop(done.map(|done| done.send(Ok(cancellation.done)))),
            Err(error) => {
                report_error(format_args!("cancellation: {error}"));
                // The job is marked as cancelled: the rest is done later.
                self.failed_cancellations.push(cancellation);
                drop(done.map(|done| done.send(Err(error.into()))));
            }
        }
    }

    /// Ends overdue executions if devices had time to report; returns whether more may be overdue.
    async fn expire_timers(&mut self, now: Instant, now_s: u64) -> bool {
        // The loop may select the tick before a change of the connection that came first.
        if self.subscribed.has_changed().unwrap_or(false) {
            self.broker_changed(now);
        }
        if !self.follow_wall_clock(now, now_s).await || !self.expiry_gate.is_open(now) {
            return false;
        }
        let due = self.jobs.time_out(now_s).await.unwrap_or_else(|error| {
            report_error(format_args!("timers: {error}"));
            Vec::new()
        });
        let more = due.len() >= CHANGES_PER_TRANSACTION_MAX;
        self.notify_queue.add(due);
        more
    }

    /// Moves the timers with the wall clock if that was set: they count the time in which the service ran. Returns false if they
    /// could not be moved; the next call does it.
    async fn follow_wall_clock(&mut self, now: Instant, now_s: u64) -> bool {
        if let Some(step_s) = self.wall_clock.step_s(now, now_s) {
            report_error(format_args!("the clock was set by {step_s} s: the timers of executions are moved"));
            if let Err(error) = self.jobs.move_timers(step_s).await {
                report_error(format_args!("timers: {error}"));
                return false;
            }
        }
        self.wall_clock = WallClock::new(now, now_s);
        true
    }

    /// Messages may be lost when a connection ends: after a reconnect all things with pending executions are notified.
    fn broker_changed(&mut self, now: Instant) {
        let subscribed = *self.subscribed.borrow_and_update();
        self.expiry_gate.broker_changed(subscribed, now);
        if subscribed {
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
            Ok(_) => self.notify_queue.retry(due, Instant::now() + NOTIFY_RETRY),
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

    use super::super::messages::{Reply, Request};
    use super::super::rules::{Change, StepTimer};
    use super::*;
    use crate::limits::{DATABASE_BYTES_MAX, EXPIRY_GRACE, PUBLISHES_QUEUED_MAX};
    use crate::serve::log::{Format, Log};
    use crate::serve::signed_url::Signer;
    use crate::serve::transport::{BrokerAddress, Connection, connect};
    use crate::store::Store;
    use crate::testing::TempDir;
    use ota_jobs::Status;
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

    /// An actor that does not run yet.
    struct Idle {
        dir: TempDir,
        actor: JobActor,
        broker: watch::Sender<bool>,
        connection: Connection,
    }

    impl Idle {
        async fn new(broker: bool) -> Self {
            Self::over(TempDir::new(), broker).await
        }

        /// An actor over the database in this directory.
        async fn over(dir: TempDir, broker: bool) -> Self {
            let store = Store::open(dir.path(), DATABASE_BYTES_MAX).await.unwrap();
            let signer = Signer::new(&[1; 32], "http://h:1".into(), Duration::from_secs(60));
            let address = BrokerAddress { host: "127.0.0.1".into(), port: 1, tls: None, login: None, resume: false };
            let (publisher, connection) = connect(&address, &[]);
            let (broker, subscribed) = watch::channel(broker);
            let outbox = Outbox { publisher, log: Log::new(Format::Quiet) };
            let actor = JobActor::new(JobService::new(store, signer), outbox, subscribed);
            Self { dir, actor, broker, connection }
        }

        fn run(self) -> TestService {
            let Self { dir, actor, broker, connection } = self;
            let (commands, inbox) = mpsc::channel(8);
            let mut tasks = JoinSet::new();
            tasks.spawn(actor.run(inbox));
            TestService { _dir: dir, _tasks: tasks, commands, broker, connection }
        }

        /// Creates a job with a timer and starts its execution for the thing `lamp`.
        async fn start(&self, id: &str, now_s: u64) {
            let job = NewJob { timeout_minutes: Some(30), ..job(vec!["lamp".into()]) };
            self.actor.jobs.create(id, &job).await.unwrap();
            assert!(matches!(self.update(id, Status::InProgress, now_s).await, Reply::Updated { .. }));
        }

        async fn update(&self, id: &str, status: Status, now_s: u64) -> Reply {
            let change =
                Change { status, details: None, expected_version: None, number: None, step_timer: StepTimer::Keep };
            let job_id = id.to_owned();
            let request = Request::Update { job_id, change, include_state: false, include_document: false };
            self.actor.jobs.handle("lamp", request, now_s).await.0
        }
    }

    fn job(things: Vec<String>) -> NewJob {
        let document = Some(serde_json::value::RawValue::from_string("{}".to_owned()).unwrap());
        NewJob { things, document, ..NewJob::default() }
    }

    impl TestService {
        async fn new(broker: bool) -> Self {
            Idle::new(broker).await.run()
        }

        async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> T {
            let (done, answer) = oneshot::channel();
            assert!(self.commands.send(command(done)).await.is_ok());
            tokio::time::timeout(TIMEOUT, answer).await.unwrap().unwrap().unwrap()
        }

        async fn create(&self, things: Vec<String>) {
            self.ask(|done| Command::Create { id: "one".into(), job: Box::new(job(things)), done }).await;
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

    /// The service or its broker is away for longer than the timers of two executions; one report was kept by the broker.
    #[tokio::test]
    async fn a_timer_that_expires_in_an_outage_does_not_refuse_the_report_that_the_broker_kept() {
        let begin_s = now_s();
        let mut idle = Idle::new(true).await;
        for id in ["good", "lost"] {
            idle.start(id, begin_s).await;
        }
        let begin = Instant::now();
        let (back, mut back_s) = (begin + 31 * Duration::from_secs(60), begin_s + 31 * 60);
        let mut other = Idle::over(TempDir::new(), false).await;
        other.start("good", begin_s).await;
        // The tick comes before the change of the connection, as after a restart it comes before the connection.
        idle.broker.send_replace(false);
        for idle in [&mut idle, &mut other] {
            idle.actor.expire_timers(back, back_s).await;
            idle.broker.send_replace(true);
            idle.actor.expire_timers(back, back_s).await;
            idle.actor.expire_timers(back + EXPIRY_GRACE / 2, back_s + 30).await;
            let reply = idle.update("good", Status::Succeeded, back_s).await;
            assert!(matches!(reply, Reply::Updated { .. }), "{reply:?}");
        }
        back_s += EXPIRY_GRACE.as_secs();
        idle.actor.expire_timers(back + EXPIRY_GRACE, back_s).await;
        let reply = idle.update("lost", Status::Succeeded, back_s).await;
        let Reply::Refused(refusal) = reply else { panic!("{reply:?}") };
        assert_eq!(refusal.state.map(|e| e.status), Some(Status::TimedOut));
    }

    #[tokio::test]
    async fn a_step_of_the_wall_clock_ends_no_execution_and_a_timer_counts_real_time() {
        const HOURS_S: u64 = 2 * 3600;
        let (begin, begin_s) = (Instant::now(), now_s());
        let after = |minutes: u64| begin + Duration::from_secs(60 * minutes);
        let ahead = |minutes: u64| begin_s + HOURS_S + 60 * minutes;
        let mut idle = Idle::new(true).await;
        for id in ["early", "late", "restored"] {
            idle.start(id, begin_s).await;
        }
        for minutes in [1, 2, 29] {
            idle.actor.expire_timers(after(minutes), ahead(minutes)).await;
        }
        assert!(matches!(idle.update("early", Status::Succeeded, ahead(29)).await, Reply::Updated { .. }));
        // Set back; the execution that was started between is not forgotten.
        idle.start("between", ahead(29)).await;
        idle.actor.expire_timers(after(29), begin_s + 60 * 29).await;
        assert!(matches!(idle.update("restored", Status::Succeeded, ahead(29)).await, Reply::Updated { .. }));
        idle.actor.expire_timers(after(31), begin_s + 60 * 31).await;
        let timed_out = |reply| matches!(reply, Reply::Refused(refusal) if refusal.state.is_some());
        assert!(timed_out(idle.update("late", Status::Succeeded, begin_s).await));
        idle.actor.expire_timers(after(58), begin_s + 60 * 58).await;
        assert!(matches!(idle.update("between", Status::InProgress, begin_s).await, Reply::Updated { .. }));
        idle.actor.expire_timers(after(60), begin_s + 60 * 60).await;
        assert!(timed_out(idle.update("between", Status::Succeeded, begin_s).await));
    }

    #[tokio::test]
    async fn a_cancellation_that_a_restart_interrupted_is_finished() {
        let idle = Idle::new(true).await;
        let things: Vec<String> = (0..CHANGES_PER_TRANSACTION_MAX + 3).map(|i| format!("t{i:03}")).collect();
        let jobs = &idle.actor.jobs;
        jobs.create("mild", &job(things.clone())).await.unwrap();
        for id in ["hard", "left"] {
            idle.start(id, now_s()).await;
        }
        let mut mild = jobs.begin_cancel("mild", false).await.unwrap();
        jobs.cancel_batch(&mut mild, now_s()).await.unwrap();
        jobs.begin_cancel("hard", true).await.unwrap();
        jobs.begin_cancel("hard", false).await.unwrap();
        jobs.begin_cancel("left", false).await.unwrap();
        let Idle { dir, .. } = idle;

        let idle = Idle::over(dir, true).await;
        let jobs = idle.actor.jobs.clone();
        let mut world = idle.run();
        let rest = things[CHANGES_PER_TRANSACTION_MAX..].iter().map(String::as_str);
        let all: Vec<String> = std::iter::once("lamp").chain(rest).flat_map(both).collect();
        assert_eq!(world.topics(all.len()).await, all);
        assert_eq!(jobs.things_with_work("").await.unwrap(), ["lamp"]);
        let Reply::Pending(pending) = jobs.handle("lamp", Request::Pending, now_s()).await.0 else { panic!() };
        let left: Vec<(&str, Status)> = pending.iter().map(|e| (e.job_id.as_str(), e.status)).collect();
        assert_eq!(left, [("left", Status::InProgress)]);
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
