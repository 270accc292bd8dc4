//! Applies messages of the service and changes of the connection: makes an offered job the active one, and updates the
//! state of its execution.

use ota_jobs::{Reason, RejectCode, Status};

use super::event::{Notice, Offer, Plan, Sources, Task};
use super::execution::Execution;
use super::job::{Identity, Job};
use super::journal::Outcome;
use super::state::{Input, State};
use super::status_reporter::ServiceState;
use super::time::Instant;
use super::{Discovery, Machine};

impl Machine {
    // The connection.

    pub(super) fn connect(&mut self, now: Instant) {
        self.link.connected = true;
        match &mut self.job {
            None => self.request_if_wanted(now),
            Some(job) => job.transfer.restart(now),
        }
    }

    pub(super) fn disconnect(&mut self) {
        self.link.connected = false;
        self.poller.forget(true);
        if let Some(job) = &mut self.job {
            job.reporter.disconnected();
        }
    }

    // The next job.

    pub(super) fn jobs_changed(&mut self, now: Instant) {
        self.poller.jobs_changed();
        match &mut self.job {
            None if self.config.discovery == Discovery::OnDemand => {}
            None => self.poller.schedule(now),
            Some(job) => job.reporter.invalidate_version(),
        }
    }

    pub(super) fn no_job(&mut self, now: Instant) {
        self.measure(now);
        if self.is_idle() {
            if self.expects_offer() {
                self.interrupted = None;
            }
            self.without_update(now);
            self.notices.push(Notice::NoUpdate);
        } else {
            self.jobs_changed(now);
        }
    }

    pub(super) fn other_job(&mut self, now: Instant) {
        if self.is_idle() {
            self.without_update(now);
        }
    }

    pub(super) fn offer_refused(&mut self, code: RejectCode, now: Instant) {
        self.poller.refused(now, &mut self.rng);
        if !self.is_request_wanted() {
            self.poller.unschedule();
        }
        self.notices.push(Notice::CheckFailed(code));
    }

    pub(super) fn offer_unreadable(&mut self, reason: Reason, now: Instant) {
        self.notices.push(Notice::OfferUnreadable(reason));
        if let Some((execution, reason)) = self.poller.unreadable(reason, now, &mut self.rng) {
            self.reject(execution, reason, now);
        }
    }

    pub(super) fn offered(&mut self, offer: Offer, now: Instant) {
        self.measure(now);
        let Offer { execution, task } = offer;
        if let Some(job) = &mut self.job {
            if !job.identity.is_of(&execution.id.job) {
                // The service offers jobs in order: another job first means that this one may be over.
                return job.reporter.invalidate_version();
            }
            if job.is_requesting_file() {
                return self.next_file(&execution, task, now);
            }
            let file = job.identity.plan.fingerprint;
            let other_file = matches!(task, Task::Update(plan) if plan.fingerprint != file);
            if matches!(task, Task::Update(_)) && !other_file {
                job.transfer.document_refreshed(now);
            }
            return self.described(&execution, other_file, now);
        }
        if self.config.discovery == Discovery::OnDemand && !self.poller.is_requesting() {
            return; // a notification
        }
        if execution.status.is_terminal() {
            return self.no_job(now);
        }
        match task {
            Task::DocumentOmitted => {
                if let Some((execution, reason)) = self.poller.document_omitted(execution, now, &mut self.rng) {
                    self.reject(execution, reason, now);
                }
            }
            Task::Custom => self.other_job(now),
            Task::Update(plan) => {
                let identity = Identity::new(execution.id, plan);
                self.start(identity, Some(execution.version), now);
            }
            Task::Refused(reason) => self.reject(execution, reason, now),
        }
    }

    /// Continues the active job with the next file of its release, or requests the document again.
    fn next_file(&mut self, execution: &Execution, task: Task, now: Instant) {
        match (task, &mut self.job) {
            (Task::Update(plan), Some(job)) => {
                let image_bytes = plan.image_bytes;
                job.next_file(plan, &self.config, now, &mut self.notices);
                job.transfer.expect_delay(self.delay_ms);
                self.notices.push(Notice::UpdateAvailable { image_bytes });
            }
            (Task::Refused(reason), _) => _ = self.apply(Input::SourcesExhausted(reason), now),
            _ => {}
        }
        self.described(execution, false, now);
    }

    /// Measures the delay of the service, which the first request for blocks relies on.
    fn measure(&mut self, now: Instant) {
        self.delay_ms = self.poller.round_trip_ms(now).unwrap_or(self.delay_ms);
    }

    /// Starts an update, or resumes it if the journal holds progress of the same file.
    pub(super) fn start(&mut self, identity: Identity, version: Option<u64>, now: Instant) {
        let keep_bytes = match &self.interrupted {
            Some(interrupted) if interrupted.is_of(&identity.id.job, identity.plan.fingerprint) => {
                interrupted.frontier_bytes
            }
            _ => 0,
        };
        match identity.local && keep_bytes == 0 {
            true => self.slots_changed(), // the service's job goes on later, from its start
            false => self.interrupted = None,
        }
        let image_bytes = identity.plan.image_bytes;
        let asking = State::AskingDownload { keep_bytes, ask_at: now, why: None };
        let state = if keep_bytes > 0 { asking } else { State::CheckingInstalled };
        self.activate(identity, version, state, now);
        self.notices.push(Notice::UpdateAvailable { image_bytes });
    }

    /// Ends a job that cannot succeed on this device: `reason` is reported as `REJECTED` or `FAILED`.
    pub(super) fn reject(&mut self, execution: Execution, reason: Reason, now: Instant) {
        let identity = Identity::new(execution.id, NO_IMAGE);
        self.activate(identity, Some(execution.version), State::SavingOutcome(Outcome::Failed(reason)), now);
    }

    /// Makes a job the active one.
    pub(super) fn activate(&mut self, identity: Identity, version: Option<u64>, state: State, now: Instant) {
        self.poller.forget(identity.local);
        let mut job = Job::new(identity, version, state, &self.config, now, &mut self.notices);
        job.transfer.expect_delay(self.delay_ms);
        self.job = Some(job);
    }

    /// What an interrupted download has in flash may be overwritten.
    pub(super) fn slots_changed(&mut self) {
        if let Some(interrupted) = &mut self.interrupted {
            interrupted.frontier_bytes = 0;
            interrupted.fingerprint = 0; // nor is the first file of a release kept
        }
    }

    /// Whether a request is wanted: on demand, only if one is demanded or a download was interrupted.
    fn is_request_wanted(&self) -> bool {
        self.config.discovery != Discovery::OnDemand || self.poller.is_demanded() || self.expects_offer()
    }

    /// Whether a download was interrupted whose job the service is to offer again.
    fn expects_offer(&self) -> bool {
        self.interrupted.as_ref().is_some_and(|interrupted| !interrupted.local)
    }

    /// Requests the next job, if a request is wanted.
    pub(super) fn request_if_wanted(&mut self, now: Instant) {
        if self.is_request_wanted() {
            self.poller.schedule(now);
        }
    }

    /// Takes a response without an update; schedules the next request of a device that polls.
    fn without_update(&mut self, now: Instant) {
        let next = match self.config.discovery {
            Discovery::Polled { every_ms, jitter_ms, polls_max } if polls_max.is_none_or(|max| self.polls < max) => {
                let jitter_ms = (u64::from(self.rng.next_u32()) * u64::from(jitter_ms)) >> 32;
                Some(now.plus_ms(every_ms).plus_ms(jitter_ms))
            }
            _ => None,
        };
        self.poller.answered(next);
    }

    // The active job.

    /// Takes the newest execution of the active job. With another number, time or file it is not the one that the device
    /// works on: the job was retried, or created again, and the pending report belongs to the earlier execution.
    pub(super) fn described(&mut self, execution: &Execution, other_file: bool, now: Instant) {
        if let Some(job) = self.job.as_mut().filter(|job| job.identity.is_of(&execution.id.job)) {
            let mut state = job.reporter.described(execution.status, execution.version);
            if other_file || !job.identity.id.merge(&execution.id) {
                job.reporter.invalidate_version();
                state = ServiceState::Gone;
            }
            job.service_state(state, now, &mut self.notices);
            if job.is_requesting_file() {
                job.reporter.refresh_document_later(now, &mut self.rng);
            }
        }
    }

    pub(super) fn update_accepted(&mut self, token: u32, version: Option<u64>, now: Instant) {
        if let Some(job) = &mut self.job {
            let state = job.reporter.accepted(token, version);
            job.service_state(state, now, &mut self.notices);
        }
    }

    pub(super) fn update_rejected(&mut self, token: u32, code: RejectCode, status: Option<Status>, now: Instant) {
        if let Some(job) = &mut self.job {
            let state = job.reporter.rejected(token, code, status, now, &mut self.rng);
            job.service_state(state, now, &mut self.notices);
        }
    }
}

/// The plan of a job without an image.
pub(super) const NO_IMAGE: Plan = Plan {
    image_bytes: 0,
    fingerprint: 0,
    sources: Sources { stream: false, http: false },
    forced: false,
    is_followed: false,
};

#[cfg(test)]
mod tests {
    use super::super::{AgentConfig, Boot, Done, Event, ExecutionId, Message, Operation};
    use super::*;
    use ota_jobs::JobId;

    const NOW: Instant = Instant::from_ms(0);
    const LATER: Instant = Instant::from_ms(30_000);
    const HTTP: Sources = Sources { stream: false, http: true };

    fn offer(task: Task) -> Event {
        let execution = Execution {
            id: ExecutionId::of(JobId::new("job").expect("a plain id")),
            status: Status::Queued,
            version: 1,
        };
        Event::Offer(Offer { execution, task })
    }

    fn update(fingerprint: u32) -> Task {
        Task::Update(Plan::new(8_192, fingerprint, HTTP).expect("a plan"))
    }

    /// A machine that receives the file with fingerprint 1 over HTTP, and whose URL was refused.
    fn url_refused() -> Machine {
        let config = AgentConfig::new("thing").expect("a plain name");
        let mut machine = Machine::at_boot(config, None, Boot::CONFIRMED, 1, NOW);
        machine.on(Event::Connected, NOW);
        machine.on(offer(update(1)), NOW);
        while let Some(operation) = machine.consented(NOW) {
            let done = match operation {
                Operation::CheckInstalled => Done::Installed(false),
                Operation::SaveJournal(_) => Done::JournalSaved,
                Operation::Begin { .. } => Done::Begun { slot: 1, frontier_bytes: 0, evicted: None },
                Operation::IdleStep { .. } => Done::IdleStepped { more: false },
                other => panic!("{other:?} before a block"),
            };
            machine.on(Event::Done(done), NOW);
        }
        assert_eq!(machine.fetch(NOW), Some(0));
        machine.on(Event::FetchFailed(Reason::HttpForbidden), NOW);
        assert_eq!(machine.fetch(LATER), None, "it waits for a fresh document");
        machine
    }

    #[test]
    fn only_a_document_of_the_same_file_is_a_fresh_one() {
        for (name, task, fetched) in [
            ("the same file", update(1), Some(0)),
            ("another file", update(2), None),
            ("no document", Task::DocumentOmitted, None),
        ] {
            let mut machine = url_refused();
            machine.on(offer(task), LATER);
            assert_eq!(machine.fetch(LATER), fetched, "{name}");
        }
    }

    #[test]
    fn a_refused_url_requests_the_document_again() {
        let mut machine = url_refused();
        let message = machine.message(NOW).map(|(message, _)| message);
        assert!(matches!(message, Some(Message::Describe { document: true, .. })), "{message:?}");
    }

    #[test]
    fn a_document_is_needed_for_a_new_job_and_for_the_file_that_is_being_received() {
        let machine = url_refused();
        let job = |id| JobId::new(id).expect("a plain id");
        assert!(machine.needs_document(&job("job"), Some(1)));
        assert!(!machine.needs_document(&job("job"), Some(2)));
        assert!(!machine.needs_document(&job("other"), Some(1)));
    }
}
