//! What the application commands a machine.

use ota_jobs::Reason;

use super::event::{Consent, Step};
use super::state::Input;
use super::time::Instant;
use super::{Discovery, Machine};

impl Machine {
    /// Requests the next job: now, once there is a connection, or once the active job is over; of this one, the state of its
    /// execution now.
    pub fn check(&mut self, now: Instant) {
        self.poller.demand();
        match &mut self.job {
            None => self.poller.schedule(now),
            Some(job) => job.reporter.invalidate_version(),
        }
    }

    /// Takes `step` if it waits for the application's consent; returns whether it does. Not while suspended.
    pub fn go_on(&mut self, step: Step, now: Instant) -> bool {
        self.asks_now() == Some(step) && self.apply(Input::Consent(Consent::Now), now)
    }

    /// The step about which the application is to be asked although the time that it named has not come.
    pub fn asks_now(&self) -> Option<Step> {
        self.pending().filter(|_| !self.link.suspended).map(|pending| pending.step)
    }

    /// Aborts the active job; returns false if there is none, or if it can no longer be stopped.
    pub fn abort(&mut self, now: Instant) -> bool {
        self.apply(Input::Aborted, now)
    }

    /// Takes the application's verdict; returns false if the running image is not on trial.
    pub fn judge(&mut self, verdict: Result<(), Reason>, now: Instant) -> bool {
        self.apply(Input::SelfTest(verdict), now)
    }

    /// The application is prepared for the reset that is due.
    pub fn prepared(&mut self, now: Instant) -> bool {
        self.apply(Input::Prepared, now)
    }

    /// Requests neither jobs nor blocks, and takes no further step that needs the application's consent, until
    /// [`Machine::resume`] or a reset.
    pub fn suspend(&mut self) {
        self.link.suspended = true;
    }

    /// Ends [`Machine::suspend`]; returns false if the machine is not suspended. A download goes on where it was.
    pub fn resume(&mut self, now: Instant) -> bool {
        let suspended = core::mem::take(&mut self.link.suspended);
        if suspended && let Some(job) = &mut self.job {
            job.transfer.resume(now);
        }
        suspended
    }

    /// Changes how jobs are found. A request that is in flight or demanded stays.
    pub fn discover(&mut self, discovery: Discovery, now: Instant) {
        self.config.discovery = discovery;
        self.polls = 0;
        if self.is_idle() {
            self.poller.unschedule();
            self.request_if_wanted(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;
    use ota_jobs::Status;
    use std::vec::Vec;

    const NOW: Instant = Instant::from_ms(10_000);
    const HOUR_MS: u64 = 3_600_000;

    fn machine(discovery: Discovery) -> Machine {
        let mut config = AgentConfig::new("thing").expect("a plain name");
        config.discovery = discovery;
        let mut machine = Machine::at_boot(config, None, Boot::CONFIRMED, 1, NOW);
        machine.on(Event::Connected, NOW);
        machine
    }

    fn on(machine: &mut Machine, event: Event, now: Instant) {
        machine.on(event, now);
        while machine.notice().is_some() {}
    }

    /// The times of the checks that the machine makes by itself before `end`; none finds a job.
    fn checks(machine: &mut Machine, mut now: Instant, end: Instant) -> Vec<u64> {
        let mut times = Vec::new();
        while now < end {
            machine.operation(now);
            if machine.message(now).is_some() {
                times.push(now.as_ms());
                on(machine, Event::NoJob, now);
            }
            now = machine.deadline(now).unwrap_or(end);
        }
        times
    }

    #[test]
    fn a_polling_device_polls_a_limited_number_of_times_and_again_after_a_reset() {
        let polled = Discovery::Polled { every_ms: 60_000, jitter_ms: 0, polls_max: Some(3) };
        let end = NOW.plus_ms(10 * HOUR_MS);
        for _boot in 0..2 {
            let mut machine = machine(polled);
            assert_eq!(checks(&mut machine, NOW, end), [10_000, 70_000, 130_000, 190_000], "the first is no poll");
            machine.on(Event::JobsChanged, end);
            assert_eq!(checks(&mut machine, end, end.plus_ms(HOUR_MS)).len(), 1, "the service notified it");
            on(&mut machine, Event::Disconnected, end);
            on(&mut machine, Event::Connected, end);
            assert_eq!(checks(&mut machine, end, end.plus_ms(HOUR_MS)).len(), 1, "the connection is new");
        }
    }

    #[test]
    fn a_request_after_a_notification_is_no_poll() {
        let mut machine = machine(Discovery::Polled { every_ms: 60_000, jitter_ms: 0, polls_max: Some(1) });
        let notified = NOW.plus_ms(5_000);
        assert_eq!(checks(&mut machine, NOW, notified), [10_000]);
        machine.on(Event::JobsChanged, notified);
        assert_eq!(checks(&mut machine, notified, NOW.plus_ms(HOUR_MS)), [15_000, 75_000]);
    }

    #[test]
    fn the_jitter_is_added_to_the_interval_up_to_its_limit() {
        let mut machine = machine(Discovery::Polled { every_ms: 1_000, jitter_ms: 500, polls_max: None });
        let times = checks(&mut machine, NOW, NOW.plus_ms(100_000));
        let waits: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert!(waits.iter().all(|wait| (1_000..=1_500).contains(wait)), "{waits:?}");
        let spread = waits.iter().max().expect("waits") - waits.iter().min().expect("waits");
        assert!(spread > 300, "{waits:?}");
    }

    #[test]
    fn on_demand_nothing_is_requested_for_a_day_until_a_check_which_outlives_a_disconnection() {
        let mut machine = machine(Discovery::OnDemand);
        let day = NOW.plus_ms(24 * HOUR_MS);
        assert_eq!(checks(&mut machine, NOW, day), []);
        machine.on(Event::JobsChanged, day);
        assert!(machine.message(day).is_none());
        on(&mut machine, offer(), day);
        assert!(machine.is_idle(), "the service offered the job by itself");
        on(&mut machine, Event::Disconnected, day);
        machine.check(day);
        for _connection in 0..2 {
            assert!(machine.message(day).is_none());
            on(&mut machine, Event::Connected, day);
            assert!(machine.message(day).is_some());
            on(&mut machine, Event::Disconnected, day);
        }
        on(&mut machine, Event::Connected, day);
        assert_eq!(checks(&mut machine, day, day.plus_ms(HOUR_MS)).len(), 1);
        machine.check(day);
        assert!(machine.message(day).is_some());
        on(&mut machine, offer(), day);
        assert!(!machine.is_idle(), "it asked for it");
    }

    #[test]
    fn how_jobs_are_found_is_changed_while_the_device_runs() {
        let mut machine = machine(Discovery::OnDemand);
        assert!(machine.message(NOW).is_none());
        machine.discover(Discovery::Polled { every_ms: 60_000, jitter_ms: 0, polls_max: Some(2) }, NOW);
        assert_eq!(checks(&mut machine, NOW, NOW.plus_ms(HOUR_MS)), [10_000, 70_000, 130_000]);
        machine.discover(Discovery::Polled { every_ms: 60_000, jitter_ms: 0, polls_max: Some(1) }, NOW);
        assert_eq!(checks(&mut machine, NOW, NOW.plus_ms(HOUR_MS)), [10_000, 70_000], "it counts anew");
        machine.discover(Discovery::OnDemand, NOW);
        assert_eq!(checks(&mut machine, NOW, NOW.plus_ms(HOUR_MS)), []);
    }

    fn offer() -> Event {
        let execution = Execution {
            id: ExecutionId::of(JobId::new("job").expect("a plain id")),
            status: Status::Queued,
            version: 1,
        };
        let sources = Sources { stream: true, http: false };
        Event::Offer(Offer { execution, task: Task::Update(Plan::new(8_192, 5, sources).expect("a plan")) })
    }

    #[test]
    fn a_command_is_refused_in_a_state_that_does_not_allow_it() {
        let mut machine = machine(Discovery::Notified);
        let refuses_all = |machine: &mut Machine| {
            !machine.go_on(Step::Download, NOW)
                && !machine.go_on(Step::Reset, NOW)
                && !machine.judge(Ok(()), NOW)
                && !machine.abort(NOW)
        };
        assert!(refuses_all(&mut machine), "there is no job");
        on(&mut machine, offer(), NOW);
        assert_eq!(machine.operation(NOW), Some(Operation::CheckInstalled));
        on(&mut machine, Event::Done(Done::Installed(false)), NOW);
        assert!(!machine.go_on(Step::Reset, NOW) && !machine.judge(Ok(()), NOW));
        assert!(machine.go_on(Step::Download, NOW), "it waits for the consent");
        assert!(!machine.go_on(Step::Download, NOW), "it waits no more");
        assert!(machine.abort(NOW));
        assert!(refuses_all(&mut machine), "it is over");
    }

    /// Ends every operation until the active job is over, as one that was aborted.
    fn finish(machine: &mut Machine) {
        while let Some(operation) = machine.operation(NOW) {
            let saved = matches!(operation, Operation::SaveJournal(_) | Operation::ClearJournal);
            let done = if saved { Done::JournalSaved } else { Done::Installed(false) };
            on(machine, Event::Done(done), NOW);
        }
    }

    #[test]
    fn a_check_outlives_a_change_of_discovery_whether_it_was_sent_or_not() {
        let polled = Discovery::Polled { every_ms: 60_000, jitter_ms: 0, polls_max: None };
        for discovery in [Discovery::OnDemand, Discovery::Notified, polled] {
            for sent in [false, true] {
                let mut machine = machine(Discovery::OnDemand);
                machine.check(NOW);
                assert!(!sent || machine.message(NOW).is_some());
                machine.discover(discovery, NOW);
                assert_eq!(machine.message(NOW).is_some(), !sent, "{discovery:?}: one request");
                on(&mut machine, offer(), NOW);
                assert!(!machine.is_idle(), "{discovery:?}, sent before: {sent}");
            }
        }
    }

    #[test]
    fn on_demand_a_refused_request_is_repeated_only_while_it_is_wanted() {
        for (next, repeated) in [(Discovery::Notified, true), (Discovery::OnDemand, false)] {
            let mut machine = machine(Discovery::Notified);
            assert!(machine.message(NOW).is_some());
            machine.discover(next, NOW);
            on(&mut machine, Event::OfferRefused(ota_jobs::RejectCode::InternalError), NOW);
            assert_eq!(machine.deadline(NOW).is_some(), repeated, "{next:?}");
        }
    }

    #[test]
    fn a_check_during_a_job_requests_its_state_and_a_job_after_it() {
        let mut machine = machine(Discovery::OnDemand);
        machine.check(NOW);
        assert!(machine.message(NOW).is_some());
        on(&mut machine, offer(), NOW);
        assert!(machine.message(NOW).is_none(), "its version is known");
        machine.check(NOW);
        let message = machine.message(NOW).map(|(message, _)| message);
        assert!(matches!(message, Some(Message::Describe { document: false, .. })), "{message:?}");
    }

    #[test]
    fn a_check_during_a_local_update_requests_a_job_after_it() {
        let mut machine = machine(Discovery::OnDemand);
        let sources = Sources { stream: true, http: false };
        assert!(machine.update_now(Plan::new(8_192, 5, sources).expect("a plan"), NOW));
        finish(&mut machine);
        machine.check(NOW);
        assert!(machine.abort(NOW));
        finish(&mut machine);
        assert!(machine.is_idle() && machine.message(NOW).is_some());
    }

    #[test]
    fn after_a_job_the_next_one_is_requested_also_when_no_poll_is_left() {
        let mut machine = machine(Discovery::Polled { every_ms: 60_000, jitter_ms: 0, polls_max: Some(0) });
        assert_eq!(checks(&mut machine, NOW, NOW.plus_ms(HOUR_MS)), [10_000]);
        on(&mut machine, offer(), NOW);
        assert!(machine.abort(NOW));
        finish(&mut machine);
        let Some((Message::Update { token, .. }, _)) = machine.message(NOW) else { panic!("the outcome is reported") };
        on(&mut machine, Event::UpdateAccepted { token, version: None }, NOW);
        finish(&mut machine);
        assert!(matches!(machine.message(NOW), Some((Message::NextJob { .. }, _))));
    }

    #[test]
    fn an_interrupted_download_is_resumed_on_demand_also_after_a_change_of_discovery() {
        let record = Record {
            execution: ExecutionId::of(JobId::new("job").expect("a plain id")),
            local: false,
            fingerprint: 5,
            image_bytes: 8_192,
            digest: [0; 32],
            phase: Phase::Receiving { frontier_bytes: 4_096 },
            ran: None,
        };
        let mut config = AgentConfig::new("thing").expect("a plain name");
        config.discovery = Discovery::OnDemand;
        let mut machine = Machine::at_boot(config, Some(record), Boot::CONFIRMED, 1, NOW);
        on(&mut machine, Event::Connected, NOW);
        assert!(machine.message(NOW).is_some());
        machine.discover(Discovery::OnDemand, NOW);
        let mut cancelled = machine.clone();
        on(&mut machine, offer(), NOW);
        assert!(!machine.is_idle());
        on(&mut cancelled, Event::NoJob, NOW);
        on(&mut cancelled, Event::Disconnected, NOW);
        on(&mut cancelled, Event::Connected, NOW);
        assert!(cancelled.message(NOW).is_none(), "nothing is left to resume");
    }

    #[test]
    fn while_suspended_no_step_is_asked_for_and_no_job_requested() {
        let mut machine = machine(Discovery::Notified);
        machine.suspend();
        assert!(machine.message(NOW).is_none());
        assert_eq!(machine.deadline(NOW), None);
        on(&mut machine, offer(), NOW);
        machine.operation(NOW);
        on(&mut machine, Event::Done(Done::Installed(false)), NOW);
        assert_eq!((machine.asks(NOW), machine.asks_now(), machine.pending().is_some()), (None, None, true));
        assert!(!machine.go_on(Step::Download, NOW), "as the question, the command waits");
        machine.resume(NOW);
        assert_eq!(machine.asks(NOW), Some(Step::Download));
    }
}
