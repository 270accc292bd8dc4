//! What the application commands a machine.

use ota_jobs::Reason;

use super::event::{Consent, Step};
use super::state::Input;
use super::time::Instant;
use super::{Discovery, Machine};

impl Machine {
    /// Requests the next job now, or once there is a connection; during a job, the state of its execution. Never refused.
    pub fn check(&mut self, now: Instant) -> bool {
        match &mut self.job {
            None => self.poller.demand(now),
            Some(job) => job.reporter.invalidate_version(),
        }
        true
    }

    /// Takes `step` if it waits for the application's consent; returns whether it does.
    pub fn go_on(&mut self, step: Step, now: Instant) -> bool {
        self.pending().is_some_and(|pending| pending.step == step) && self.apply(Input::Consent(Consent::Now), now)
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

    /// Requests neither jobs nor blocks, and takes no further step that needs the application's consent, until
    /// [`Machine::resume`] or a reset. Never refused.
    pub fn suspend(&mut self) -> bool {
        self.link.suspended = true;
        true
    }

    /// Ends [`Machine::suspend`]; returns false if the machine is not suspended. A download goes on where it was.
    pub fn resume(&mut self, now: Instant) -> bool {
        let suspended = core::mem::take(&mut self.link.suspended);
        if suspended && let Some(job) = &mut self.job {
            job.transfer.resume(now);
        }
        suspended
    }

    /// Changes how jobs are found. Never refused.
    pub fn discover(&mut self, discovery: Discovery, now: Instant) -> bool {
        self.config.discovery = discovery;
        self.checks = 0;
        if self.is_idle() {
            self.poller.answered(self.is_automatic().then_some(now));
        }
        true
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
        let mut machine = Machine::at_boot(config, None, Boot { running: 0, digest: None, trial: Trial::None }, 1, NOW);
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
    fn a_polling_device_checks_a_limited_number_of_times_and_again_after_a_reset() {
        let polled = Discovery::Polled { every_ms: 60_000, jitter_ms: 0, checks_max: Some(3) };
        let end = NOW.plus_ms(10 * HOUR_MS);
        for _boot in 0..2 {
            let mut machine = machine(polled);
            assert_eq!(checks(&mut machine, NOW, end), [10_000, 70_000, 130_000]);
            on(&mut machine, Event::Disconnected, end);
            on(&mut machine, Event::Connected, end);
            assert!(machine.message(end).is_none(), "also not after a connection");
            machine.on(Event::JobsChanged, end);
            assert!(machine.message(end).is_some(), "the service notified it");
        }
    }

    #[test]
    fn the_jitter_is_added_to_the_interval_up_to_its_limit() {
        let mut machine = machine(Discovery::Polled { every_ms: 1_000, jitter_ms: 500, checks_max: None });
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
        machine.discover(Discovery::Polled { every_ms: 60_000, jitter_ms: 0, checks_max: Some(2) }, NOW);
        assert_eq!(checks(&mut machine, NOW, NOW.plus_ms(HOUR_MS)), [10_000, 70_000]);
        machine.discover(Discovery::Polled { every_ms: 60_000, jitter_ms: 0, checks_max: Some(1) }, NOW);
        assert_eq!(checks(&mut machine, NOW, NOW.plus_ms(HOUR_MS)), [10_000], "it counts anew");
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
        machine.resume(NOW);
        assert_eq!(machine.asks(NOW), Some(Step::Download));
    }
}
