//! The one task that changes executions: requests of devices in their order, and between two of them a piece of the long
//! work, so that an order for ten thousand things holds up nobody's answer.

use std::collections::VecDeque;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{MissedTickBehavior, interval};

use super::messages::{Received, Told};
use super::orders::AdminError;
use super::service::{Cancellation, Jobs};
use super::teller::{Due, Teller};
use super::wire;
use crate::api::{Canceled, NewJob};
use crate::clock::now_s;
use crate::limits::{CHANGES_AT_ONCE_MAX, TIMER_TICK};
use crate::serve::log::{problem, quote};
use crate::serve::mqtt::outbox::Outbox;
use crate::serve::mqtt::transport::Outgoing;

/// What the worker is asked for.
pub enum Command {
    /// By a device.
    Request(Received),
    /// By an order: a new job.
    Create { id: String, order: Box<NewJob>, done: Answer<()> },
    /// By an order: the end of a job.
    Cancel { id: String, force: bool, done: Answer<Canceled> },
}

/// Where the outcome of an order goes. Whoever asked may have gone away meanwhile; what was done stays done.
pub type Answer<T> = oneshot::Sender<Result<T, AdminError>>;

/// The task and what it has to do.
pub struct Worker {
    jobs: Jobs,
    outbox: Outbox,
    teller: Teller,
    canceling: VecDeque<(Cancellation, Answer<Canceled>)>,
    subscribed: watch::Receiver<bool>,
}

impl Worker {
    /// A worker with nothing to do.
    ///
    /// `subscribed`: whether the broker is there.
    pub fn new(jobs: Jobs, outbox: Outbox, subscribed: watch::Receiver<bool>) -> Self {
        let teller = Teller::new(subscribed.clone());
        Self { jobs, outbox, teller, canceling: VecDeque::new(), subscribed }
    }

    /// Works until nobody can ask any more. Dropping it: what was answered is on the disk.
    pub async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        let mut tick = interval(TIMER_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.carry_out(command).await,
                    None => return,
                },
                _ = tick.tick() => if self.time_out().await { tick.reset_immediately() },
                Ok(()) = self.subscribed.changed() => self.broker_changed(),
                () = std::future::ready(()), if !self.canceling.is_empty() => self.cancel_some().await,
                () = self.teller.ready(), if self.teller.is_busy() => self.tell_one().await,
            }
        }
    }

    async fn carry_out(&mut self, command: Command) {
        match command {
            Command::Request(received) => self.answer(received).await,
            Command::Create { id, order, done } => self.create(&id, &order, done).await,
            Command::Cancel { id, force, done } => match self.jobs.begin_cancel(&id, force).await {
                Ok(order) => self.canceling.push_back((order, done)),
                Err(error) => drop(done.send(Err(error))),
            },
        }
    }

    async fn answer(&mut self, received: Received) {
        let now_s = now_s();
        let Received { thing, topic, payload, request } = received;
        let (answer, told) = match request {
            Ok(request) => {
                let (reply, told) = self.jobs.handle(&thing, request, now_s).await;
                (wire::answer(&topic, &payload, &reply, now_s), told)
            }
            Err(refusal) => (wire::refusal(&topic, &payload, &refusal, now_s), Vec::new()),
        };
        match answer {
            Ok(answer) => self.send(answer).await,
            Err(error) => problem(format_args!("answer to {thing}: {error}")),
        }
        // The answer first: a device that hears of the next job has heard of the end of this one.
        if !self.try_tell(&told) {
            self.teller.add(vec![Due::all(thing)]);
        }
    }

    /// False if one of them had no room.
    fn try_tell(&self, told: &[Told]) -> bool {
        told.iter().filter_map(notification).all(|message| self.outbox.try_send(message))
    }

    /// Waits for room only while there is a broker that makes some: the device of a lost answer asks again.
    async fn send(&self, answer: Outgoing) {
        if *self.subscribed.borrow() {
            return self.outbox.send(answer).await;
        }
        let line = format!("an answer on {} is lost: no broker", quote(answer.topic.as_bytes()));
        if !self.outbox.try_send(answer) {
            problem(line);
        }
    }

    async fn create(&mut self, id: &str, order: &NewJob, done: Answer<()>) {
        let created = self.jobs.create(id, order).await;
        let _ = done.send(created.map(|due| self.teller.add(due)));
    }

    async fn cancel_some(&mut self) {
        let Some((mut order, done)) = self.canceling.pop_front() else { return };
        match self.jobs.cancel_some(&mut order, now_s()).await {
            Ok(Some(due)) => {
                self.teller.add(due);
                // At the end of the line: a small order does not wait for a large one.
                self.canceling.push_back((order, done));
            }
            Ok(None) => drop(done.send(Ok(order.done))),
            Err(error) => drop(done.send(Err(error.into()))),
        }
    }

    /// Says whether more may be overdue.
    async fn time_out(&mut self) -> bool {
        let due = self.jobs.time_out(now_s()).await.unwrap_or_else(|error| {
            problem(format_args!("timers: {error}"));
            Vec::new()
        });
        let more = due.len() >= CHANGES_AT_ONCE_MAX;
        self.teller.add(due);
        more
    }

    /// What was on its way when a connection ended may be lost with it: the new one tells all who have work.
    fn broker_changed(&mut self) {
        if *self.subscribed.borrow_and_update() {
            self.teller.add_all();
        }
    }

    async fn tell_one(&mut self) {
        if let Some(after) = self.teller.page() {
            let page = self.jobs.things_with_work(after).await.unwrap_or_else(|error| {
                problem(format_args!("things with work: {error}"));
                Vec::new()
            });
            return self.teller.add_page(page);
        }
        let Some(due) = self.teller.take() else { return };
        match self.jobs.notifications(&due, now_s()).await {
            Ok(told) if self.try_tell(&told) => {}
            Ok(_) => self.teller.put_back(due),
            Err(error) => problem(format_args!("notification of {}: {error}", due.thing)),
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::messages::Request;
    use super::*;
    use crate::limits::{DATABASE_BYTES_MAX, PUBLISHES_WAITING_MAX};
    use crate::serve::log::{Format, Log};
    use crate::serve::signed_url::Signer;
    use crate::serve::transport::{BrokerAddress, Connection, connect};
    use crate::store::Store;
    use crate::testing::TempDir;
    use tokio::sync::oneshot;
    use tokio::task::JoinSet;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A worker whose broker is a switch, and whose messages stay where they are.
    struct World {
        _dir: TempDir,
        _tasks: JoinSet<()>,
        commands: mpsc::Sender<Command>,
        broker: watch::Sender<bool>,
        connection: Connection,
    }

    impl World {
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
            tasks.spawn(Worker::new(Jobs::new(store, signer), outbox, subscribed).run(inbox));
            Self { _dir: dir, _tasks: tasks, commands, broker, connection }
        }

        async fn ask<T>(&self, command: impl FnOnce(Answer<T>) -> Command) -> T {
            let (done, answer) = oneshot::channel();
            assert!(self.commands.send(command(done)).await.is_ok());
            tokio::time::timeout(PATIENCE, answer).await.unwrap().unwrap().unwrap()
        }

        async fn create(&self, things: Vec<String>) {
            let document = Some(serde_json::value::RawValue::from_string("{}".to_owned()).unwrap());
            let order = NewJob { things, document, ..NewJob::default() };
            self.ask(|done| Command::Create { id: "one".into(), order: Box::new(order), done }).await;
        }

        /// The topics of the next `count` messages, in the order of their names.
        async fn topics(&mut self, count: usize) -> Vec<String> {
            let mut topics = Vec::new();
            let all = async {
                while topics.len() < count {
                    tokio::time::sleep(Duration::from_millis(5)).await;
                    topics.extend(self.connection.waiting());
                }
            };
            assert!(tokio::time::timeout(PATIENCE, all).await.is_ok(), "only {topics:?}");
            topics.sort();
            topics
        }
    }

    fn both(thing: &str) -> [String; 2] {
        ["notify", "notify-next"].map(|end| format!("$aws/things/{thing}/jobs/{end}"))
    }

    #[tokio::test]
    async fn a_broker_that_comes_back_is_told_again_of_all_work_that_is_left() {
        let mut world = World::new(true).await;
        world.create(vec!["b".into(), "a".into()]).await;
        let all = [both("a"), both("b")].concat();
        assert_eq!(world.topics(4).await, all);
        world.broker.send_replace(false);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(world.connection.waiting(), Vec::<String>::new());
        world.broker.send_replace(true);
        assert_eq!(world.topics(4).await, all);
        world.ask(|done| Command::Cancel { id: "one".into(), force: false, done }).await;
        assert_eq!(world.topics(4).await, all, "nothing is left");
        world.broker.send_replace(true);
        tokio::time::sleep(Duration::from_millis(50)).await;
        assert_eq!(world.connection.waiting(), Vec::<String>::new());
    }

    #[tokio::test]
    async fn requests_that_came_before_the_broker_went_hold_up_no_order() {
        let mut world = World::new(false).await;
        let begin = std::time::Instant::now();
        for _ in 0..PUBLISHES_WAITING_MAX + 10 {
            let (topic, payload) = ("$aws/things/a/jobs/get".into(), "{}".into());
            let received = Received { thing: "a".into(), topic, payload, request: Ok(Request::Pending) };
            assert!(world.commands.send(Command::Request(received)).await.is_ok());
        }
        world.create(vec!["a".into()]).await;
        assert!(begin.elapsed() < crate::limits::PUBLISH_TIMEOUT, "{:?}", begin.elapsed());
        assert_eq!(world.connection.waiting().len(), PUBLISHES_WAITING_MAX);
    }

    #[tokio::test]
    async fn orders_for_many_wait_for_no_broker_and_tell_everybody_when_it_comes() {
        let mut world = World::new(false).await;
        let things: Vec<String> = (0..PUBLISHES_WAITING_MAX + 10).map(|i| format!("t{i}")).collect();
        let mut all: Vec<String> = things.iter().flat_map(|thing| both(thing)).collect();
        all.sort();
        world.create(things).await;
        assert_eq!(world.connection.waiting(), Vec::<String>::new());
        // Without a retry of all: it does not say that it was away.
        world.broker.send_modify(|there| *there = true);
        let mut told = world.topics(all.len()).await;
        told.dedup();
        assert_eq!(told, all);
    }
}
