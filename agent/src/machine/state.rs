//! The transition table of a job: the states, what holds in each ([`State::facts`]) and what follows from each input
//! ([`State::next`]). `docs/states.md` is printed from here. [`super::job::Job::apply`] is the only caller.

use ota_jobs::Reason;

use super::event::{Consent, Done, Notice, Operation, Report, Step, WhyLater};
use super::journal::{Outcome, Phase};
use super::time::Instant;

/// The state of a job. The operation of a state is due, or in flight, until an input leads out of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Checks whether the job's image is the one that runs.
    CheckingInstalled,
    /// Asks the application whether to download, at `ask_at`.
    AskingDownload { keep_bytes: u32, ask_at: Instant, why: Option<WhyLater> },
    /// Writes the job to the journal, before the first byte of an older image is overwritten.
    SavingJob { keep_bytes: u32 },
    /// Chooses a slot.
    PreparingSlot { keep_bytes: u32 },
    /// Receives and writes blocks.
    Receiving { slot: u8, resumed_bytes: u32 },
    /// Reads the image back, hashes it, verifies its signature and checks its header.
    Verifying { slot: u8 },
    /// Requests the document again, for the next file of the release.
    RequestingFile,
    /// Asks the application whether to reset into the new image, at `ask_at`.
    AskingReset { slot: u8, ask_at: Instant, why: Option<WhyLater> },
    /// Reports that the image is verified, and waits until `until` at most for the acknowledgement: if the job was cancelled
    /// and the notification was lost, the response is the last chance to detect it.
    Announcing { slot: u8, until: Instant },
    /// Writes the decision to activate to the journal, before the boot record. `boots` counts the later boots in
    /// which the boot selector did not start the trial.
    SavingActivation { slot: u8, boots: u8 },
    /// Writes the boot record. From here on a cancellation does not stop the trial.
    Activating { slot: u8 },
    /// Waits until the application is prepared for a reset, until `until` at most.
    PreparingReset { until: Instant },
    /// Resets the device; the next boot continues in [`super::resume`].
    Resetting,
    /// Runs the new image on trial, until `until` at most.
    SelfTesting { until: Instant },
    /// Makes the running image the confirmed one.
    Confirming,
    /// Ends the trial; the next boot starts the previous image.
    RollingBack(Reason),
    /// Erases the header of an image whose trial never started.
    InvalidatingImage { slot: u8 },
    /// Writes the outcome to the journal, before it is reported.
    SavingOutcome(Outcome),
    /// Reports the outcome until it is acknowledged.
    Reporting(Outcome),
    /// Erases the job from the journal.
    ClearingJournal,
    /// No job.
    Idle,
}

/// What holds in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Facts {
    /// The operation that is due. While receiving, the transfer decides.
    pub(super) operation: Option<Operation>,
    /// The status update that is queued on entry.
    pub(super) report: Option<Report>,
    /// The notice on entry.
    pub(super) on_entry: Option<Notice>,
    /// Whether the service or the application can still stop the job.
    pub(super) cancellable: bool,
    /// When [`Input::Deadline`] is due.
    pub(super) deadline: Option<Instant>,
}

/// What can lead from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    /// The operation in flight ended.
    Done(Done),
    /// All blocks are in flash and the header is accepted.
    AllBlocksStored,
    /// No source of blocks is left, or the next file cannot be received.
    SourcesExhausted(Reason),
    /// The document has the next file of the release.
    NextFile,
    /// The service cancelled, removed or ended the execution.
    Cancelled,
    /// The application aborted the job.
    Aborted,
    /// The application's answer.
    Consent(Consent),
    /// The application is prepared for a reset.
    Prepared,
    /// The application's verdict on the running image.
    SelfTest(Result<(), Reason>),
    /// The state's deadline passed.
    Deadline,
    /// The service accepted the state's report, or cannot be reached.
    ReportSettled,
}

/// What a transition depends on besides state and input.
#[derive(Clone, Copy, Debug)]
pub(super) struct Context {
    pub(super) now: Instant,
    /// Bytes of the image in flash without a gap.
    pub(super) done_bytes: u32,
    pub(super) block_bytes: u32,
    /// Started by the application: there is nothing to report.
    pub(super) local: bool,
    /// Another file of the release follows.
    pub(super) is_followed: bool,
    /// How long the application may prepare for a reset.
    pub(super) prepare_ms_max: u64,
}

/// The next state, and what the application is notified of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Transition {
    pub(super) next: State,
    pub(super) notice: Option<Notice>,
}

/// The shortest time after which the application is asked again.
const ASK_AGAIN_MS_MIN: u64 = 1_000;
/// How long an activation waits for the acknowledgement of the report before it.
pub(super) const ANNOUNCE_MS_MAX: u64 = 2_000;

const NO_FACTS: Facts = Facts { operation: None, report: None, on_entry: None, cancellable: false, deadline: None };
const CANCELLABLE: Facts = Facts { cancellable: true, ..NO_FACTS };

impl State {
    /// What holds in this state.
    pub(super) fn facts(&self) -> Facts {
        match *self {
            State::CheckingInstalled => Facts { operation: Some(Operation::CheckInstalled), ..CANCELLABLE },
            State::AskingDownload { ask_at, why, .. } => asking(Step::Download, ask_at, why),
            State::SavingJob { keep_bytes } => Facts { operation: save(receiving(keep_bytes)), ..CANCELLABLE },
            State::PreparingSlot { keep_bytes } => {
                Facts { operation: Some(Operation::Begin { keep_bytes }), ..CANCELLABLE }
            }
            State::Receiving { resumed_bytes, .. } => {
                Facts { on_entry: Some(Notice::DownloadStarted { resumed_bytes }), ..CANCELLABLE }
            }
            State::Verifying { .. } => {
                let on_entry = Some(Notice::VerifyStarted);
                Facts { operation: Some(Operation::Verify), on_entry, ..CANCELLABLE }
            }
            State::RequestingFile => CANCELLABLE,
            State::AskingReset { ask_at, why, .. } => asking(Step::Reset, ask_at, why),
            State::Announcing { until, .. } => {
                Facts { report: Some(Report::Ready), deadline: Some(until), ..CANCELLABLE }
            }
            State::SavingActivation { slot, boots } => {
                // After a reset the boot record may name the trial already.
                Facts { operation: save(Phase::Activating { slot, boots }), cancellable: boots == 0, ..NO_FACTS }
            }
            State::Activating { slot } => Facts { operation: Some(Operation::Activate { slot }), ..NO_FACTS },
            State::PreparingReset { until } => Facts { deadline: Some(until), ..NO_FACTS },
            State::Resetting => Facts { operation: Some(Operation::Reset), ..NO_FACTS },
            State::SelfTesting { until } => Facts {
                report: Some(Report::Testing),
                on_entry: Some(Notice::SelfTestStarted),
                deadline: Some(until),
                ..NO_FACTS
            },
            State::Confirming => Facts { operation: Some(Operation::Confirm), ..NO_FACTS },
            State::RollingBack(reason) => {
                let on_entry = Some(Notice::RollingBack(reason));
                Facts { operation: Some(Operation::RollBack(reason)), on_entry, ..NO_FACTS }
            }
            State::InvalidatingImage { slot } => Facts { operation: Some(Operation::Invalidate { slot }), ..NO_FACTS },
            State::SavingOutcome(outcome) => Facts { operation: save(Phase::Concluded(outcome)), ..NO_FACTS },
            State::Reporting(outcome) => Facts { report: Some(Report::Final(outcome)), ..NO_FACTS },
            State::ClearingJournal => Facts { operation: Some(Operation::ClearJournal), ..NO_FACTS },
            State::Idle => NO_FACTS,
        }
    }

    /// What follows from `input`; `None` if the state stays.
    pub(super) fn next(&self, input: Input, context: &Context) -> Option<Transition> {
        use Input as I;
        Some(match *self {
            State::CheckingInstalled => match input {
                I::Done(Done::Installed(true)) if context.is_followed => to(State::RequestingFile),
                I::Done(Done::Installed(true)) => to(State::SavingOutcome(Outcome::Succeeded)), // it runs and is confirmed
                // Unknown is no: fetching an image again is safe.
                I::Done(Done::Installed(false) | Done::Failed(_)) => {
                    to(State::AskingDownload { keep_bytes: 0, ask_at: context.now, why: None })
                }
                I::Cancelled => cancelled(),
                I::Aborted => failed(Reason::AbortedByUser),
                I::Done(_)
                | I::AllBlocksStored
                | I::NextFile
                | I::SourcesExhausted(_)
                | I::Prepared
                | I::Consent(_) => return None,
                I::SelfTest(_) | I::Deadline | I::ReportSettled => return None,
            },
            State::AskingDownload { keep_bytes, why: before, .. } => match input {
                I::Consent(Consent::Now) => to(State::SavingJob { keep_bytes }),
                I::Consent(Consent::Later { ms, why }) => {
                    let ask_at = again(context.now, ms);
                    let next = State::AskingDownload { keep_bytes, ask_at, why: Some(why) };
                    Transition { next, notice: postponed(Step::Download, before, why) }
                }
                I::Consent(Consent::Refused) => failed(Reason::RefusedByApplication),
                I::Cancelled => cancelled(),
                I::Aborted => failed(Reason::AbortedByUser),
                I::Done(_) | I::AllBlocksStored | I::NextFile | I::SourcesExhausted(_) | I::Prepared => return None,
                I::SelfTest(_) | I::Deadline | I::ReportSettled => return None,
            },
            State::SavingJob { keep_bytes } => match input {
                I::Done(Done::JournalSaved) => to(State::PreparingSlot { keep_bytes }),
                I::Done(Done::Failed(reason)) => failed(reason),
                I::Cancelled => cancelled(),
                I::Aborted => failed(Reason::AbortedByUser),
                I::Done(_) | I::AllBlocksStored | I::NextFile | I::SourcesExhausted(_) | I::Prepared => return None,
                I::SelfTest(_) | I::Deadline | I::ReportSettled | I::Consent(_) => return None,
            },
            State::PreparingSlot { .. } => match input {
                // The frontier, rounded down to a sector, must also be the start of a block: prepare again until it is.
                I::Done(Done::Begun { frontier_bytes, .. }) if !frontier_bytes.is_multiple_of(context.block_bytes) => {
                    let keep_bytes = frontier_bytes - frontier_bytes % context.block_bytes;
                    to(State::PreparingSlot { keep_bytes })
                }
                I::Done(Done::Begun { slot, frontier_bytes, evicted }) => {
                    let next = State::Receiving { slot, resumed_bytes: frontier_bytes };
                    Transition { next, notice: evicted.map(|evicted| Notice::StoreFull { evicted }) }
                }
                I::Done(Done::Failed(reason)) => failed(reason),
                I::Cancelled => cancelled(),
                I::Aborted => failed(Reason::AbortedByUser),
                I::Done(_) | I::AllBlocksStored | I::NextFile | I::SourcesExhausted(_) | I::Prepared => return None,
                I::SelfTest(_) | I::Deadline | I::ReportSettled | I::Consent(_) => return None,
            },
            State::Receiving { slot, .. } => match input {
                I::AllBlocksStored => to(State::Verifying { slot }).with(Notice::DownloadSucceeded),
                I::Done(Done::Failed(reason)) | I::SourcesExhausted(reason) => download_failed(reason, context),
                I::Cancelled => cancelled(),
                I::Aborted => download_failed(Reason::AbortedByUser, context),
                I::Done(_) | I::NextFile | I::SelfTest(_) | I::Prepared | I::Deadline => return None,
                I::ReportSettled | I::Consent(_) => return None,
            },
            State::Verifying { slot } => match input {
                I::Done(Done::Verified { digest }) => {
                    let next = match context.is_followed {
                        true => State::RequestingFile,
                        false => State::AskingReset { slot, ask_at: context.now, why: None },
                    };
                    to(next).with(Notice::VerifySucceeded { digest })
                }
                // Nothing was activated yet.
                I::Done(Done::Failed(reason)) => failed(reason).with(Notice::VerifyFailed(reason)),
                I::Cancelled => cancelled(),
                I::Aborted => failed(Reason::AbortedByUser),
                I::Done(_) | I::AllBlocksStored | I::NextFile | I::SourcesExhausted(_) | I::Prepared => return None,
                I::SelfTest(_) | I::Deadline | I::ReportSettled | I::Consent(_) => return None,
            },
            State::RequestingFile => match input {
                I::NextFile => to(State::CheckingInstalled),
                I::SourcesExhausted(reason) => failed(reason),
                I::Cancelled => cancelled(),
                I::Aborted => failed(Reason::AbortedByUser),
                I::Done(_) | I::AllBlocksStored | I::Prepared | I::Consent(_) => return None,
                I::SelfTest(_) | I::Deadline | I::ReportSettled => return None,
            },
            State::AskingReset { slot, why: before, .. } => match input {
                I::Consent(Consent::Now) => to(State::Announcing { slot, until: context.now.plus_ms(ANNOUNCE_MS_MAX) }),
                I::Consent(Consent::Later { ms, why }) => {
                    let next = State::AskingReset { slot, ask_at: again(context.now, ms), why: Some(why) };
                    Transition { next, notice: postponed(Step::Reset, before, why) }
                }
                I::Consent(Consent::Refused) => failed(Reason::RefusedByApplication),
                I::Cancelled => cancelled(),
                I::Aborted => failed(Reason::AbortedByUser),
                I::Done(_) | I::AllBlocksStored | I::NextFile | I::SourcesExhausted(_) | I::Prepared => return None,
                I::SelfTest(_) | I::Deadline | I::ReportSettled => return None,
            },
            State::Announcing { slot, .. } => match input {
                I::ReportSettled | I::Deadline => to(State::SavingActivation { slot, boots: 0 }),
                I::Cancelled => cancelled(),
                I::Aborted => failed(Reason::AbortedByUser),
                I::Done(_) | I::AllBlocksStored | I::NextFile | I::SourcesExhausted(_) | I::Prepared => return None,
                I::SelfTest(_) | I::Consent(_) => return None,
            },
            State::SavingActivation { slot, boots } => match input {
                I::Done(Done::JournalSaved) => to(State::Activating { slot }),
                // The boot record may name the trial already: the image must not start after the failure is reported.
                I::Done(Done::Failed(_)) if boots > 0 => to(State::InvalidatingImage { slot }),
                I::Done(Done::Failed(reason)) => failed(reason),
                I::Cancelled | I::Aborted if boots > 0 => return None,
                I::Cancelled => cancelled(),
                I::Aborted => failed(Reason::AbortedByUser),
                I::Done(_) | I::AllBlocksStored | I::NextFile | I::SourcesExhausted(_) | I::Prepared => return None,
                I::SelfTest(_) | I::Deadline | I::ReportSettled | I::Consent(_) => return None,
            },
            State::Activating { .. } => match input {
                I::Done(Done::Activated) => prepare_reset(context).with(Notice::Activated),
                I::Done(Done::Failed(reason)) => failed(reason), // the shell checked: no trial is pending
                I::Done(_) | I::AllBlocksStored | I::NextFile | I::SourcesExhausted(_) | I::Prepared | I::Cancelled => {
                    return None;
                }
                I::Aborted | I::SelfTest(_) | I::Deadline | I::ReportSettled | I::Consent(_) => return None,
            },
            State::PreparingReset { .. } => match input {
                I::Prepared => to(State::Resetting),
                I::Deadline => to(State::Resetting).with(Notice::PreparationTimedOut),
                I::Done(_) | I::AllBlocksStored | I::NextFile | I::SourcesExhausted(_) | I::Cancelled => return None,
                I::Aborted | I::SelfTest(_) | I::ReportSettled | I::Consent(_) => return None,
            },
            State::Resetting => match input {
                I::Done(_) | I::AllBlocksStored | I::NextFile | I::SourcesExhausted(_) | I::Prepared | I::Cancelled => {
                    return None;
                }
                I::Aborted | I::SelfTest(_) | I::Deadline | I::ReportSettled | I::Consent(_) => return None,
            },
            State::SelfTesting { .. } => match input {
                I::SelfTest(Ok(())) => to(State::Confirming),
                I::SelfTest(Err(reason)) => to(State::RollingBack(reason)),
                I::Deadline => to(State::RollingBack(Reason::SelfTestTimedOut)),
                I::Done(_) | I::AllBlocksStored | I::NextFile | I::SourcesExhausted(_) | I::Prepared => return None,
                I::Cancelled | I::Aborted | I::ReportSettled | I::Consent(_) => return None, // the trial runs to its end
            },
            State::Confirming => match input {
                I::Done(Done::Confirmed) => to(State::SavingOutcome(Outcome::Succeeded)).with(Notice::Confirmed),
                I::Done(Done::Failed(reason)) => to(State::RollingBack(reason)), // not stored is not confirmed
                I::Done(_) | I::AllBlocksStored | I::NextFile | I::SourcesExhausted(_) | I::Prepared | I::Cancelled => {
                    return None;
                }
                I::Aborted | I::SelfTest(_) | I::Deadline | I::ReportSettled | I::Consent(_) => return None,
            },
            State::RollingBack(_) => match input {
                // Also if the record was not written: the boot selector ends the trial when its attempts run out.
                I::Done(Done::RolledBack | Done::Failed(_)) => prepare_reset(context),
                I::Done(_) | I::AllBlocksStored | I::NextFile | I::SourcesExhausted(_) | I::Prepared | I::Cancelled => {
                    return None;
                }
                I::Aborted | I::SelfTest(_) | I::Deadline | I::ReportSettled | I::Consent(_) => return None,
            },
            State::InvalidatingImage { .. } => match input {
                // Also if the image was not erased: there is nothing else to try.
                I::Done(Done::Invalidated | Done::Failed(_)) => failed(Reason::BootRecordFailed),
                I::Done(_) | I::AllBlocksStored | I::NextFile | I::SourcesExhausted(_) | I::Prepared | I::Cancelled => {
                    return None;
                }
                I::Aborted | I::SelfTest(_) | I::Deadline | I::ReportSettled | I::Consent(_) => return None,
            },
            State::SavingOutcome(outcome) => match input {
                // Also if the journal failed: boot record and digest lead to the same outcome after a reset.
                I::Done(Done::JournalSaved | Done::Failed(_)) => {
                    let next = if context.local { State::ClearingJournal } else { State::Reporting(outcome) };
                    to(next).with(Notice::Concluded(outcome))
                }
                I::Done(_) | I::AllBlocksStored | I::NextFile | I::SourcesExhausted(_) | I::Prepared | I::Cancelled => {
                    return None;
                }
                I::Aborted | I::SelfTest(_) | I::Deadline | I::ReportSettled | I::Consent(_) => return None,
            },
            State::Reporting(_) => match input {
                I::ReportSettled | I::Cancelled => to(State::ClearingJournal),
                I::Done(_) | I::AllBlocksStored | I::NextFile | I::SourcesExhausted(_) | I::Prepared => return None,
                I::Aborted | I::SelfTest(_) | I::Deadline | I::Consent(_) => return None,
            },
            State::ClearingJournal => match input {
                // Also if the journal failed: the service answers for a job that is over after the next reset, too.
                I::Done(Done::JournalSaved | Done::Failed(_)) => to(State::Idle).with(Notice::Settled),
                I::Done(_) | I::AllBlocksStored | I::NextFile | I::SourcesExhausted(_) | I::Prepared | I::Cancelled => {
                    return None;
                }
                I::Aborted | I::SelfTest(_) | I::Deadline | I::ReportSettled | I::Consent(_) => return None,
            },
            State::Idle => match input {
                I::Done(_) | I::AllBlocksStored | I::NextFile | I::SourcesExhausted(_) | I::Prepared | I::Cancelled => {
                    return None;
                }
                I::Aborted | I::SelfTest(_) | I::Deadline | I::ReportSettled | I::Consent(_) => return None,
            },
        })
    }
}

fn receiving(frontier_bytes: u32) -> Phase {
    Phase::Receiving { frontier_bytes }
}

fn asking(step: Step, ask_at: Instant, why: Option<WhyLater>) -> Facts {
    Facts { report: why.map(|why| Report::Waiting(step, why)), deadline: Some(ask_at), ..CANCELLABLE }
}

/// The notice of a postponed step, unless the cause is that of the answer before.
fn postponed(step: Step, before: Option<WhyLater>, why: WhyLater) -> Option<Notice> {
    (before != Some(why)).then_some(Notice::Postponed(step, why))
}

/// When the application is asked again.
fn again(now: Instant, ms: u32) -> Instant {
    now.plus_ms(u64::from(ms).max(ASK_AGAIN_MS_MIN))
}

fn save(phase: Phase) -> Option<Operation> {
    Some(Operation::SaveJournal(phase))
}

fn prepare_reset(context: &Context) -> Transition {
    to(State::PreparingReset { until: context.now.plus_ms(context.prepare_ms_max) })
}

fn to(next: State) -> Transition {
    Transition { next, notice: None }
}

fn failed(reason: Reason) -> Transition {
    to(State::SavingOutcome(Outcome::Failed(reason)))
}

fn download_failed(reason: Reason, context: &Context) -> Transition {
    failed(reason).with(Notice::DownloadFailed { done_bytes: context.done_bytes, reason })
}

/// The service ended the job: nothing is left to report.
fn cancelled() -> Transition {
    to(State::ClearingJournal).with(Notice::Cancelled)
}

impl Transition {
    fn with(self, notice: Notice) -> Self {
        Self { notice: Some(notice), ..self }
    }
}

#[cfg(test)]
mod table;
