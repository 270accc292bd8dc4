//! What blocks, the platform's answers, the application and the clock change: from step to step of the job at hand.

use ota_jobs::Reason;

use super::Machine;
use super::control::Step;
use super::event::{Done, Notice};
use super::journal::Outcome;
use super::time::Instant;
use super::transfer::Transfer;
use super::work::{Control, Interrupt, Work};

impl Machine {
    // The download.

    pub(super) fn block(&mut self, index: u32, len_bytes: u32, now: Instant) {
        let busy = self.busy;
        self.receiving(|transfer| transfer.block(index, len_bytes, busy, now));
    }

    pub(super) fn fetch_failed(&mut self, reason: Reason, now: Instant) {
        let random = self.dice.roll();
        let Some(work) = self.work() else { return };
        if work.transfer.fetch_failed(reason, now, random) {
            work.reporter.refresh_document();
        }
        self.settle_transfer(now);
    }

    pub(super) fn receiving(&mut self, act: impl FnOnce(&mut Transfer)) {
        if let Control::Working(Work { step: Step::Receiving { .. }, transfer, .. }) = &mut self.control {
            act(transfer);
        }
    }

    /// A transfer that has no source left fails the job.
    pub(super) fn settle_transfer(&mut self, now: Instant) {
        if let Control::Working(Work { step: Step::Receiving { .. }, transfer, .. }) = &self.control
            && let Some(reason) = transfer.failure()
        {
            self.interrupt(Interrupt::Failed(reason), now);
        }
    }

    // Steps.

    pub(super) fn self_test(&mut self, verdict: Result<(), Reason>, now: Instant) {
        if self.is_testing() {
            self.go(verdict.map_or_else(Step::RollingBack, |()| Step::Confirming), now);
        }
    }

    pub(super) fn interrupt(&mut self, interrupt: Interrupt, now: Instant) {
        let busy = self.busy;
        let Some(work) = self.work() else { return };
        if !work.step.can_be_withdrawn() {
            return;
        }
        work.interrupt = Some(interrupt);
        if !busy {
            self.give_up(now);
        }
    }

    pub(super) fn give_up(&mut self, now: Instant) {
        let Some(work) = self.work() else { return };
        let done_bytes = work.transfer.progress().map_or(0, |progress| progress.done_bytes);
        let receiving = matches!(work.step, Step::Receiving { .. });
        match work.interrupt.take() {
            None => {}
            Some(Interrupt::Withdrawn) => {
                self.tell(Notice::Withdrawn);
                self.go(Step::Settling, now);
            }
            Some(Interrupt::Failed(reason)) => {
                if receiving {
                    self.tell(Notice::DownloadFailed { done_bytes, reason });
                }
                self.go(Step::Concluding(Outcome::Failed(reason)), now);
            }
        }
    }

    pub(super) fn done(&mut self, done: Done, now: Instant) {
        self.busy = false;
        let Some(work) = self.work() else { return };
        let step = work.step;
        if step == Step::Settling {
            return self.settle(now);
        }
        if let Step::Receiving { slot } = step {
            work.transfer.done(done);
            if work.transfer.is_complete() && !matches!(done, Done::Failed(_)) && work.interrupt.is_none() {
                self.tell(Notice::DownloadSucceeded);
                return self.go(Step::Sealing { slot }, now);
            }
        }
        if work.interrupt.is_some() {
            return self.give_up(now);
        }
        if let (Step::Beginning { .. }, Done::Begun { frontier_bytes, .. }) = (step, done)
            && !frontier_bytes.is_multiple_of(self.config.block_bytes)
        {
            // The sector's start is no block's start: begin again at the block before it, until both are one.
            let keep_bytes = frontier_bytes - frontier_bytes % self.config.block_bytes;
            return self.go(Step::Beginning { keep_bytes }, now);
        }
        if let Some(next) = step.after(done, now) {
            self.announce(step, done);
            self.go(next, now);
            if let Done::Begun { frontier_bytes, evicted, .. } = done {
                if let Some(evicted) = evicted {
                    self.tell(Notice::StoreFull { evicted });
                }
                self.begin_transfer(frontier_bytes, now);
            }
        }
        self.report_progress(now);
    }

    pub(super) fn begin_transfer(&mut self, frontier_bytes: u32, now: Instant) {
        if let Control::Working(work) = &mut self.control {
            work.transfer.begin(frontier_bytes, now);
        }
        self.tell(Notice::DownloadStarted { resumed_bytes: frontier_bytes });
        self.settle_transfer(now);
    }

    pub(super) fn report_progress(&mut self, now: Instant) {
        if let Control::Working(Work { step: Step::Receiving { .. }, transfer, reporter, .. }) = &mut self.control {
            let (done, total) = transfer.blocks();
            reporter.progress(done, total, now, self.config.progress_every_ms, self.config.progress_every_percent);
        }
    }

    pub(super) fn go(&mut self, next: Step, now: Instant) {
        if let Some(work) = self.work() {
            work.step = next;
        }
        self.enter(next, now);
    }

    /// What entering a step causes, beside its operation.
    pub(super) fn enter(&mut self, step: Step, now: Instant) {
        match step {
            Step::Sealing { .. } => self.tell(Notice::VerifyStarted),
            Step::Testing { .. } => self.tell(Notice::SelfTestStarted),
            Step::RollingBack(reason) => self.tell(Notice::RollingBack(reason)),
            _ => {}
        }
        let Some(work) = self.work() else { return };
        if let Some(report) = step.report() {
            work.reporter.say(report);
        }
        if let Step::Reporting(_) = step
            && work.local
        {
            self.go(Step::Settling, now);
        }
    }

    pub(super) fn announce(&mut self, step: Step, done: Done) {
        match (step, done) {
            (Step::Receiving { .. }, Done::Failed(reason)) => {
                let done_bytes = self.progress().map_or(0, |progress| progress.done_bytes);
                self.tell(Notice::DownloadFailed { done_bytes, reason });
            }
            (Step::Sealing { .. }, Done::Sealed { digest }) => self.tell(Notice::VerifySucceeded { digest }),
            (Step::Sealing { .. }, Done::Failed(reason)) => self.tell(Notice::VerifyFailed(reason)),
            (Step::Activating { .. }, Done::Activated) => self.tell(Notice::Activated),
            (Step::Confirming, Done::Confirmed) => self.tell(Notice::Confirmed),
            (Step::Concluding(outcome), _) => self.tell(Notice::Concluded(outcome)),
            _ => {}
        }
    }

    pub(super) fn settle(&mut self, now: Instant) {
        self.control = Control::Idle;
        self.tell(Notice::Settled);
        self.inquiry.answered(Some(now)); // the next job may be waiting
    }

    // Time.

    pub(super) fn expire(&mut self, now: Instant) {
        match &mut self.control {
            Control::Idle if self.connected => {
                if let Some((execution, reason)) = self.inquiry.expire(now) {
                    self.refuse(execution, reason, now);
                }
            }
            Control::Idle => {}
            Control::Working(work) => {
                work.reporter.expire(now, &mut self.dice);
                match work.step {
                    Step::Testing { until } if until <= now => {
                        self.go(Step::RollingBack(Reason::SelfTestTimedOut), now);
                    }
                    Step::Receiving { .. } if self.connected => {
                        work.transfer.expire(now);
                        self.settle_transfer(now);
                    }
                    _ => {}
                }
            }
        }
    }
}
