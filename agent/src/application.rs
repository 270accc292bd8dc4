//! The interface to the application: what it implements, and what it can command.

use core::task::Poll;

use ota_jobs::{JobId, Reason};
use ota_pal::{Refusal, Version};

use crate::encode::Outgoing;
use crate::machine::{Consent, Discovery, Notice, Progress, Statistics, Step};
use crate::reason::of_refusal;
use crate::start::{StartRefused, Update};

/// The application's verdict on the image that runs on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SelfTest {
    /// No verdict yet: it is requested again until the trial's deadline.
    Running,
    /// Confirm the image.
    Passed,
    /// Return to the previous image.
    Failed,
}

/// The direction of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the device.
    Out,
    /// To the device.
    In,
}

/// A command of the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Command {
    /// Requests the next job: now, once there is a connection, or once the active job is over.
    Check,
    /// Asks the application again about the step that waits, before the time that it named.
    Ask,
    /// Starts the download that waits for consent.
    Download,
    /// Starts the update that [`Application::update`] returns.
    Update,
    /// Resets into the verified image that waits for consent.
    Activate,
    /// Requests neither jobs nor blocks and takes no step that needs consent, until [`Command::Resume`] or a reset. What has
    /// begun is completed: blocks on their way are written, the reset that was consented to is made, a trial is judged, outcomes
    /// are reported. The part of a block that arrived over HTTP is discarded.
    Suspend,
    /// Ends [`Command::Suspend`]; a download goes on where it was.
    Resume,
    /// Aborts the active update.
    Abort,
    /// Confirms the image on trial, as [`SelfTest::Passed`] does.
    Accept,
    /// Returns from the image on trial to the previous one, as [`SelfTest::Failed`] does.
    Reject,
    /// Changes how jobs are found, until a reset.
    Discover(Discovery),
    /// Calls [`Application::on_statistics`].
    Statistics,
    /// Wakes the pump, so that it calls [`Application::message`]; refused without a connection.
    Publish,
    /// Ends [`crate::pump`]: it leaves the broker and returns. The active job stays in the journal; a new run, or a reset, resumes
    /// it. Meanwhile the agent does not feed the watchdog.
    Shutdown(Shutdown),
    /// [`Agent::roll_back_now`](crate::Agent::roll_back_now).
    RollBack,
    /// [`Agent::factory_reset`](crate::Agent::factory_reset).
    FactoryReset,
    /// [`Agent::erase_images`](crate::Agent::erase_images) of this version.
    EraseImages(Version),
}

/// How [`crate::pump`] ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// Whether the broker is asked first to forget the subscriptions, which outlive a connection in a persistent session. Only
    /// while there is a connection.
    pub unsubscribe: bool,
}

/// Why a command was not executed; the device goes on as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommandRefused {
    /// A job is active. For an update without a job also: the outcome of the last job is not reported yet.
    Busy,
    /// There is nothing to apply it to: no download or reset waits, no image is on trial, no job can be aborted any more, there is
    /// no connection, or the application has no update. Also a step while the agent is suspended, and a resumption while it is not.
    NotNow,
    /// The device cannot do what [`Application::update`] returned.
    Unsuitable(Reason),
    /// The platform refused.
    Platform(Reason),
}

impl CommandRefused {
    pub(crate) fn reason(self) -> Reason {
        match self {
            Self::Busy | Self::NotNow => Reason::Busy,
            Self::Unsuitable(reason) | Self::Platform(reason) => reason,
        }
    }
}

impl From<StartRefused> for CommandRefused {
    fn from(refused: StartRefused) -> Self {
        match refused {
            StartRefused::Busy => Self::Busy,
            StartRefused::NotAnUpdate => Self::NotNow,
            StartRefused::Unsuitable(reason) => Self::Unsuitable(reason),
        }
    }
}

impl From<Refusal> for CommandRefused {
    fn from(refusal: Refusal) -> Self {
        Self::Platform(of_refusal(refusal))
    }
}

/// The application around the agent. Every method but [`Application::command`] must return quickly: the agent waits for it.
pub trait Application {
    /// Returns the verdict on the running image; called several times a second while it is on trial.
    ///
    /// `connected` is whether the service is reachable: an outage alone should not roll back a good image.
    fn self_test(&mut self, connected: bool) -> SelfTest;

    /// Returns whether the agent may download an image, or reset into the one that it verified. Called before each of these
    /// steps, also of a download that a reset interrupted, and again after [`Consent::Later`]; a postponed step is reported to
    /// the service, and a cancellation ends it.
    ///
    /// A reset that was consented to and that a power cut interrupted is completed without asking again.
    ///
    /// `forced` is whether the operator asks not to postpone: the job document has `"forced":true` in `afr_ota`. An application
    /// that allows this returns [`Consent::Now`] then.
    fn consent(&mut self, step: Step, forced: bool) -> Consent {
        let _ = (step, forced);
        Consent::Now
    }

    /// Returns `Ready` once the application is prepared for a reset: into an image, whose boot record is written, or back from one
    /// that failed. Called several times a second until then, for at most
    /// [`AgentConfig::prepare_ms_max`](crate::AgentConfig::prepare_ms_max); then the device is reset. A reset that the application
    /// commanded itself, for a rollback or a factory reset, is not prepared.
    fn prepare_for_reset(&mut self) -> Poll<()> {
        Poll::Ready(())
    }

    /// Waits for the application's next command. [`crate::pump`] executes it by [`Agent::execute`](crate::Agent::execute).
    /// Also a method of this trait can issue one, through a queue that this future reads.
    ///
    /// # Cancel safety
    /// Must be cancel-safe: the future is dropped and created again whenever another event comes first.
    fn command(&mut self) -> impl Future<Output = Command> {
        core::future::pending()
    }

    /// The update that [`Command::Update`] starts, without a job.
    fn update(&mut self) -> Option<Update<'_>> {
        None
    }

    /// Called when a command was executed or refused.
    fn on_command(&mut self, command: Command, result: Result<(), CommandRefused>) {
        let _ = (command, result);
    }

    /// Called for every notice, in order.
    fn on_notice(&mut self, notice: Notice) {
        let _ = notice;
    }

    /// Called when a block is in flash.
    fn on_progress(&mut self, progress: Progress) {
        let _ = progress;
    }

    /// Called on [`Command::Statistics`].
    fn on_statistics(&mut self, statistics: &Statistics) {
        let _ = statistics;
    }

    /// Called when a connection to the broker fails or ends; the agent reconnects after a wait.
    fn on_disconnected(&mut self, why: &dyn core::fmt::Debug) {
        let _ = why;
    }

    /// A filter of the application's own topics: [`crate::pump`] subscribes to those from index 0 to the first `None`, at most
    /// eight, on each connection.
    fn filter(&self, index: usize) -> Option<&str> {
        let _ = index;
        None
    }

    /// Called when the broker rejects one of the application's filters. The agent goes on, without them.
    fn on_filter_rejected(&mut self, why: &dyn core::fmt::Debug) {
        let _ = why;
    }

    /// The next message that the application publishes over the agent's connection. [`crate::pump`] asks for one whenever the
    /// agent has nothing to send and no acknowledgement is awaited, after each event; [`Command::Publish`] is one. A message is
    /// lost if the connection ends before it is acknowledged; one that does not fit the client's send buffer ends it.
    fn message(&mut self) -> Option<Outgoing<'_>> {
        None
    }

    /// Called for a message of the shared connection that is not the agent's. So is a response about a job that is not the
    /// active one: that to an update which the application sent for a job of its own.
    fn on_message(&mut self, topic: &str, payload: &[u8]) {
        let _ = (topic, payload);
    }

    /// Called for a job that is not a firmware update, with its document, unless that is nested deeper than 16 levels. The
    /// agent sends nothing about the job. If its document does not fit the client's receive buffer, the job cannot be
    /// distinguished from an update, and is rejected with [`Reason::DocumentTooLarge`].
    fn on_custom_job(&mut self, job: &JobId, document: &[u8]) {
        let _ = (job, document);
    }

    /// Called for every message of the agent, for a log.
    fn on_traffic(&mut self, direction: Direction, topic: &str, payload: &[u8]) {
        let _ = (direction, topic, payload);
    }
}
