//! Single writer of executions. Handles requests in order; bulk work is interleaved in batches so that requests are not
//! delayed.

use std::collections::{BTreeSet, VecDeque};

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::admin_error::AdminError;
use super::changes::{Applied, RolloutChange};
use super::codec;
use super::command::{Answer, Command};
use super::contact::Contact;
use super::expiry_gate::ExpiryGate;
use super::job_control::Changed;
use super::messages::{IncomingRequest, Notification};
use super::notify_queue::{NotifyQueue, PendingNotify};
use super::rollouts::{Advanced, Rollouts};
use super::service::{Cancellation, JobService};
use super::wall_clock::WallClock;
use crate::api::{CancelResponse, NewJob};
use crate::clock::now_s;
use crate::limits::{CHANGES_PER_TRANSACTION_MAX, NOTIFY_RETRY, SEEN_THINGS_MAX, TIMER_TICK};
use crate::model::Job;
use crate::release_plan::ReleasePlan;
use crate::serve::log::{quote, report_error};
use crate::serve::mqtt::outbox::Outbox;
use crate::serve::mqtt::transport::Outgoing;
use crate::store::StoreError;

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
    contact: Contact,
    wall_clock: WallClock,
    rollouts: Rollouts,
    /// When the rollouts were advanced last.
    advanced_at: Option<Instant>,
    /// Whether the work that the last run of the service left was read.
    has_resumed: bool,
    /// Things whose session began before.
    early: BTreeSet<String>,
}

impl JobActor {
    /// Creates an actor without work.
    ///
    /// `subscribed`: whether the broker is connected.
    pub fn new(jobs: JobService, outbox: Outbox, subscribed: watch::Receiver<bool>) -> Self {
        let notify_queue = NotifyQueue::new(subscribed.clone());
        let expiry_gate = ExpiryGate::new(*subscribed.borrow(), Instant::now());
        let contact = Contact::new(*subscribed.borrow(), Instant::now());
        let wall_clock = WallClock::new(Instant::now(), now_s());
        Self {
            jobs,
            outbox,
            notify_queue,
            cancellations: VecDeque::new(),
            failed_cancellations: Vec::new(),
            subscribed,
            expiry_gate,
            contact,
            wall_clock,
            rollouts: Rollouts::default(),
            advanced_at: None,
            has_resumed: false,
            early: BTreeSet::new(),
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
                    self.begin_early_sessions().await;
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
                rollouts.into_iter().for_each(|rollout| self.follow_job(rollout));
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
        self.follow_broker(now);
        self.follow_wall_clock(now, now_s).await;
        let contact = self.contact.lasts(now);
        let Advanced { due, canceled } = self.rollouts.advance(&self.jobs, contact, now, now_s).await;
        self.notify_queue.add(due);
        self.cancellations.extend(canceled.into_iter().map(|cancellation| (cancellation, None)));
    }

    async fn execute(&mut self, command: Command) {
        match command {
            Command::Request(received) => self.answer(received).await,
            Command::Session { thing } => self.begin_session(&thing).await,
            Command::Create { id, job, by, done } => {
                let created = self.jobs.create(&id, &job, &by).await;
                self.created(id, *job, None, created, done);
            }
            Command::Release { id, job, plan, by, done } => {
                let created = self.jobs.release(&id, &job, &plan, &by).await;
                self.created(id, *job, Some(*plan), created, done);
            }
            Command::Pause { id, paused, by, done } => {
                let changed = self.jobs.set_paused(&id, paused, &by).await;
                let _ = done.send(changed.map(|changed| self.follow_job(changed)));
            }
            Command::Retry { id, by, done } => {
                let retried = self.jobs.retry_failed(&id, &by, now_s()).await;
                let _ = done.send(retried.map(|(changed, response, due)| {
                    self.follow_job(changed);
                    self.notify_queue.add(due);
                    response
                }));
            }
            Command::DeleteGroup { group, by, done } => {
                let _ = done.send(self.jobs.delete_group(&group, &by).await);
            }
            Command::Join { group, things, by, done } => {
                let joined = self.jobs.join(&group, &things, &by, now_s()).await;
                let _ = done.send(joined.map(|due| self.notify_queue.add(due)));
            }
            Command::Change { change, by, done } => {
                let applied = self.jobs.change(change, &by, now_s()).await;
                let _ = done.send(applied.map(|applied| self.follow(applied)));
            }
            Command::Ask { thing, request, done } => {
                let (reply, notifications) = self.jobs.handle(&thing, request, now_s()).await;
                let _ = done.send(Ok(reply));
                self.notify(thing, &notifications);
            }
            Command::Cancel { id, force, by, done } => {
                let begun = self.jobs.begin_cancel(&id, force, &by).await;
                self.cancel(&id, begun, done);
            }
            Command::Halt { id, text, by, done } => {
                let begun = self.jobs.begin_halt(&id, &text, &by).await;
                self.cancel(&id, begun, done);
            }
        }
    }

    fn cancel(&mut self, id: &str, begun: Result<Cancellation, AdminError>, done: Answer<CancelResponse>) {
        match begun {
            Ok(cancellation) => {
                self.rollouts.remove(id);
                self.cancellations.push_back((cancellation, Some(done)));
            }
            Err(error) => drop(done.send(Err(error))),
        }
    }

    /// What is not created now waits for the next session. A session that begins before the work of the last run was read is kept
    /// until it is, if there are not too many.
    async fn begin_session(&mut self, thing: &str) {
        if !self.has_resumed {
            // The rates, pauses and windows of the last run's releases hold for the first session, too.
            self.resume().await;
        }
        if !self.has_resumed {
            // The error was reported.
            if self.early.len() < SEEN_THINGS_MAX {
                self.early.insert(thing.to_owned());
            }
            return;
        }
        match self.rollouts.begin_session(&self.jobs, thing, Instant::now(), now_s()).await {
            Ok(due) => self.notify_queue.add(due),
            Err(error) => report_error(format_args!("session of {thing}: {error}")),
        }
    }

    /// Begins the sessions that were kept, once the work of the last run was read.
    async fn begin_early_sessions(&mut self) {
        if self.has_resumed {
            for thing in std::mem::take(&mut self.early) {
                self.begin_session(&thing).await;
            }
        }
    }

    async fn answer(&mut self, received: IncomingRequest) {
        let now_s = now_s();
        self.follow_wall_clock(Instant::now(), now_s).await;
        let IncomingRequest { thing, topic, payload, request } = received;
        let (answer, notifications) = match request {
            Ok(request) => {
                let begin = Instant::now();
                let (reply, notifications) = self.jobs.handle(&thing, request, now_s).await;
                self.outbox.publisher.metrics().job_request(begin.elapsed());
                (codec::answer(&topic, &payload, &reply, now_s), notifications)
            }
            Err(refusal) => (codec::refusal(&topic, &payload, &refusal, now_s), Vec::new()),
        };
        match answer {
            Ok(answer) => self.send(answer).await,
            Err(error) => report_error(format_args!("response to {thing}: {error}")),
        }
        // The response is sent before the notification: a device learns the end of one job before the next job.
        self.notify(thing, &notifications);
    }

    fn follow(&mut self, applied: Applied) {
        self.notify_queue.add(applied.due);
        match applied.rollout {
            Some(RolloutChange::Removed(id)) => {
                self.rollouts.remove(&id);
                self.end_cancellations(&id);
            }
            Some(RolloutChange::Replaced(job, plan)) => {
                self.rollouts.set_config(&job.id, &job.config, Instant::now());
                self.follow_job((*job, plan));
            }
            None => {}
        }
    }

    /// Advances a job from now on, unless it is paused.
    fn follow_job(&mut self, (job, release): Changed) {
        let Job { id, config, continuous, paused, .. } = job;
        self.rollouts.add(id.clone(), config, continuous, release, Instant::now());
        self.rollouts.set_paused(&id, paused);
    }

    /// Ends the cancellations of a job that does not exist any more: another one may be created under its id.
    fn end_cancellations(&mut self, id: &str) {
        self.failed_cancellations.retain(|cancellation| cancellation.id != id);
        for (cancellation, done) in std::mem::take(&mut self.cancellations) {
            match done {
                done if cancellation.id != id => self.cancellations.push_back((cancellation, done)),
                Some(done) => drop(done.send(Ok(cancellation.done))),
                None => {}
            }
        }
    }

    fn notify(&mut self, thing: String, notifications: &[Notification]) {
        if !self.try_notify(notifications) {
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

    fn created(
        &mut self,
        id: String,
        job: NewJob,
        release: Option<ReleasePlan>,
        created: Result<(Vec<PendingNotify>, Vec<String>), AdminError>,
        done: Answer<Vec<String>>,
    ) {
        if created.is_ok() {
            self.rollouts.add(id, job.config, job.continuous, release, Instant::now());
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
        self.follow_broker(now);
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
            self.contact.clock_was_set(now);
            if let Err(error) = self.jobs.move_timers(step_s).await {
                report_error(format_args!("timers: {error}"));
                return false;
            }
        }
        self.wall_clock = WallClock::new(now, now_s);
        true
    }

    /// The loop may select the tick before a change of the connection that came first.
    fn follow_broker(&mut self, now: Instant) {
        if self.subscribed.has_changed().unwrap_or(false) {
            self.broker_changed(now);
        }
    }

    /// Messages may be lost when a connection ends: after a reconnect all things with pending executions are notified.
    fn broker_changed(&mut self, now: Instant) {
        let subscribed = *self.subscribed.borrow_and_update();
        self.expiry_gate.broker_changed(subscribed, now);
        self.contact.broker_changed(subscribed, now);
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
mod tests;
