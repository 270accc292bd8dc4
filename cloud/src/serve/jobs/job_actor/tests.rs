//! Tests of the job actor, with messages that stay in the queue and a broker whose state the test sets.

use std::time::Duration;

use super::super::changes::JobChange;
use super::super::command::Answer;
use super::super::messages::{Reply, Request};
use super::super::rules::{Change, StepTimer};
use super::*;
use crate::limits::{DATABASE_BYTES_MAX, EXPIRY_GRACE, PUBLISHES_QUEUED_MAX};
use crate::release_plan::{HaltRule, Mode};
use crate::serve::log::{Format, Log};
use crate::serve::signed_url::Signer;
use crate::serve::transport::{BrokerAddress, Connection, connect};
use crate::store::Store;
use crate::testing::TempDir;
use ota_jobs::Status;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

mod sessions;

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
        self.actor.jobs.create(id, &job, "ann").await.unwrap();
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
        self.ask(|done| Command::Create { id: "one".into(), job: Box::new(job(things)), by: "ann".into(), done }).await;
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
    world.ask(|done| Command::Cancel { id: "one".into(), force: false, by: "ann".into(), done }).await;
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
async fn an_outage_and_a_step_of_the_wall_clock_are_no_silence_of_devices() {
    let (begin, begin_s) = (Instant::now(), now_s());
    let mut idle = Idle::new(true).await;
    let halt = HaltRule { min_devices: 1, ..HaltRule::default() };
    let plan = ReleasePlan { mode: Mode::Immediate, halt, reverts: None };
    idle.actor.jobs.release("v2", &job(vec!["lamp".into()]), &plan, "ann").await.unwrap();
    idle.update("v2", Status::InProgress, begin_s).await;
    idle.actor.resume().await;
    idle.broker.send_replace(false);
    // Each is a tick, at these minutes of the monotonic clock and by how many minutes the wall clock is ahead of it then.
    for (minutes, ahead, is_halted) in
        [(31, 0, false), (60, 0, false), (61, 120, false), (90, 120, false), (91, 120, true)]
    {
        idle.broker.send_if_modified(|is_connected| !std::mem::replace(is_connected, true));
        let (now, now_s) = (begin + Duration::from_secs(60 * minutes), begin_s + 60 * (minutes + ahead));
        idle.actor.advance_rollouts(now, now_s).await;
        let release = idle.actor.jobs.store.release("v2").await.unwrap().unwrap();
        assert_eq!(release.halted.is_some(), is_halted, "{minutes}: {:?}", release.halted);
    }
}

#[tokio::test]
async fn a_cancellation_that_a_restart_interrupted_is_finished() {
    let idle = Idle::new(true).await;
    let things: Vec<String> = (0..CHANGES_PER_TRANSACTION_MAX + 3).map(|i| format!("t{i:03}")).collect();
    let jobs = &idle.actor.jobs;
    jobs.create("mild", &job(things.clone()), "ann").await.unwrap();
    for id in ["hard", "left"] {
        idle.start(id, now_s()).await;
    }
    let mut mild = jobs.begin_cancel("mild", false, "ann").await.unwrap();
    jobs.cancel_batch(&mut mild, now_s()).await.unwrap();
    jobs.begin_cancel("hard", true, "ann").await.unwrap();
    jobs.begin_cancel("hard", false, "ann").await.unwrap();
    jobs.begin_cancel("left", false, "ann").await.unwrap();
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

/// The cancellation of a job for many things takes several transactions; the job is deleted after the first.
#[tokio::test]
async fn a_cancellation_ends_with_its_job_and_does_not_reach_the_next_one_of_its_id() {
    let Idle { mut actor, dir: _dir, .. } = Idle::new(true).await;
    let things: Vec<String> = (0..CHANGES_PER_TRANSACTION_MAX + 3).map(|i| format!("t{i:03}")).collect();
    actor.jobs.create("one", &job(things.clone()), "test").await.unwrap();
    let (done, mut canceled) = oneshot::channel();
    actor.execute(Command::Cancel { id: "one".into(), force: false, by: "test".into(), done }).await;
    actor.cancel_batch().await;
    let (done, deleted) = oneshot::channel();
    let change = JobChange::Delete { id: "one".into(), force: true };
    actor.execute(Command::Change { change, by: "test".into(), done }).await;
    deleted.await.unwrap().unwrap();
    assert_eq!(canceled.try_recv().unwrap().unwrap().canceled, CHANGES_PER_TRANSACTION_MAX as u64);

    actor.jobs.create("one", &job(things.clone()), "test").await.unwrap();
    while !actor.cancellations.is_empty() {
        actor.cancel_batch().await;
    }
    let counts = actor.jobs.counts("one").await.unwrap();
    assert_eq!((counts.of(Status::Queued), counts.of(Status::Canceled)), (things.len() as u64, 0));
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
