//! What the connection and the service's words about jobs change: which job is taken up, and whether it still stands.

use ota_jobs::{JobId, Reason, RejectCode, Status};

use super::control::Step;
use super::event::{Execution, Notice, Offer, Plan, Sources, Task};
use super::journal::{Outcome, Phase, Record};
use super::reporter::{Reporter, Verdict};
use super::time::Instant;
use super::transfer::Transfer;
use super::work::{Control, Interrupt, Work};
use super::{Discovery, Machine};

impl Machine {
    // The connection.

    pub(super) fn connect(&mut self, now: Instant) {
        self.connected = true;
        match &mut self.control {
            Control::Idle => self.inquiry.ask_at(now),
            // The answers of the last connection are lost; and the job may have been taken back meanwhile.
            Control::Working(work) => work.transfer.start_over(now),
        }
    }

    pub(super) fn disconnect(&mut self) {
        self.connected = false;
        self.inquiry.disconnected();
        if let Some(work) = self.work() {
            work.reporter.disconnected();
        }
    }

    // Jobs.

    pub(super) fn look_again(&mut self, now: Instant) {
        match &mut self.control {
            Control::Idle => self.inquiry.ask_at(now),
            Control::Working(work) => work.reporter.doubt(),
        }
    }

    pub(super) fn no_job(&mut self, now: Instant) {
        if self.is_idle() {
            let next = self.next_poll(now);
            self.inquiry.answered(next);
            self.tell(Notice::NoUpdate);
        } else {
            self.look_again(now);
        }
    }

    pub(super) fn offer_refused(&mut self, code: RejectCode, now: Instant) {
        self.inquiry.refused(now, &mut self.dice);
        self.tell(Notice::CheckFailed(code));
    }

    pub(super) fn offer_unreadable(&mut self, reason: Reason, now: Instant) {
        if let Some((execution, reason)) = self.inquiry.unreadable(reason, now) {
            self.refuse(execution, reason, now);
        }
    }

    pub(super) fn offered(&mut self, offer: Offer, now: Instant) {
        let Offer { execution, task } = offer;
        if let Some(work) = self.work() {
            if work.job == execution.job {
                if let Task::Update(plan) = task
                    && plan.fingerprint == work.plan.fingerprint
                {
                    work.transfer.document_is_fresh();
                }
                self.described(&execution, now);
            } else {
                work.reporter.doubt(); // the service works by one order: another job first means that ours may be over
            }
            return;
        }
        if execution.status.is_terminal() {
            return self.no_job(now);
        }
        match task {
            Task::Withheld => {
                if let Some((execution, reason)) = self.inquiry.withheld(execution, now) {
                    self.refuse(execution, reason, now);
                }
            }
            Task::Foreign => {
                let next = self.next_poll(now);
                self.inquiry.answered(next);
            }
            Task::Update(plan) => self.start(execution.job, false, plan, Some(execution.version), now),
            Task::Refused(reason) => self.refuse(execution, reason, now),
        }
    }

    /// Takes up an update, where an earlier life left it if it is the same one.
    pub(super) fn start(&mut self, job: JobId, local: bool, plan: Plan, version: Option<u64>, now: Instant) {
        let keep_bytes = match self.interrupted.take() {
            Some(Record { job: earlier, fingerprint, phase: Phase::Receiving { frontier_bytes }, .. })
                if earlier == job && fingerprint == plan.fingerprint =>
            {
                frontier_bytes
            }
            _ => 0,
        };
        let step = if keep_bytes > 0 { Step::Claiming { keep_bytes } } else { Step::Comparing };
        self.take_up(job, local, plan, version, step, now);
        self.tell(Notice::UpdateAvailable { image_bytes: plan.image_bytes });
    }

    pub(super) fn refuse(&mut self, execution: Execution, reason: Reason, now: Instant) {
        let plan = Plan { image_bytes: 0, fingerprint: 0, sources: Sources { stream: false, http: false } };
        let step = Step::Concluding(Outcome::Failed(reason));
        self.take_up(execution.job, false, plan, Some(execution.version), step, now);
    }

    pub(super) fn take_up(
        &mut self,
        job: JobId,
        local: bool,
        plan: Plan,
        version: Option<u64>,
        step: Step,
        now: Instant,
    ) {
        self.inquiry.answered(None);
        let transfer = Transfer::new(&self.config, plan);
        let reporter = Reporter::new(version);
        self.control = Control::Working(Work { job, local, plan, step, transfer, reporter, interrupt: None });
        self.enter(step, now);
    }

    pub(super) fn next_poll(&self, now: Instant) -> Option<Instant> {
        match self.config.discovery {
            Discovery::Notified => None,
            Discovery::Polled { every_ms } => Some(now.plus_ms(every_ms)),
        }
    }

    // What the service says of the job at hand.

    pub(super) fn described(&mut self, execution: &Execution, now: Instant) {
        let verdict = match self.work() {
            Some(work) if work.job == execution.job => {
                Some(work.reporter.described(execution.status, execution.version))
            }
            _ => None,
        };
        self.heard(verdict, now);
    }

    pub(super) fn update_rejected(
        &mut self,
        token: u32,
        code: RejectCode,
        standing: Option<(Status, u64)>,
        now: Instant,
    ) {
        let verdict = match &mut self.control {
            Control::Idle => None,
            Control::Working(work) => Some(work.reporter.rejected(token, code, standing, now, &mut self.dice)),
        };
        self.heard(verdict, now);
    }

    pub(super) fn heard(&mut self, verdict: Option<Verdict>, now: Instant) {
        let Some(work) = self.work() else { return };
        match (verdict, work.step) {
            (None | Some(Verdict::Open), _) => {}
            (Some(Verdict::Settled | Verdict::Gone), Step::Reporting(_)) => self.go(Step::Settling, now),
            (Some(Verdict::Gone), step) if step.can_be_withdrawn() => self.interrupt(Interrupt::Withdrawn, now),
            // The trial goes on, and its truth is told at its end.
            (Some(Verdict::Settled | Verdict::Gone), _) => work.reporter.hush(),
        }
    }
}
