//! The machine's interface: events in, operations, messages and notices out.

use ota_jobs::{JobId, Reason, RejectCode, Status, StreamRejectCode};

use super::execution::{Execution, ExecutionId};
use super::journal::{Outcome, Phase};
use super::time::Instant;
use super::window::{Block, BlockRequest};

/// An input of the machine.
#[derive(Clone, Debug)]
pub enum Event {
    /// The MQTT connection is up and the service's topics are subscribed.
    Connected,
    /// The MQTT connection is lost.
    Disconnected,
    /// The list of pending jobs changed.
    JobsChanged,
    /// The service offers the next job.
    Offer(Offer),
    /// The service has no job.
    NoJob,
    /// The next job is of another application, and its document was not parsed.
    OtherJob,
    /// The response to a request for the next job cannot be parsed.
    OfferUnreadable(Reason),
    /// The service rejected a request for the next job.
    OfferRefused(RejectCode),
    /// The service described an execution.
    Described(Execution),
    /// The service accepted the update with this token.
    UpdateAccepted {
        /// The token of the request.
        token: u32,
        /// The execution's version after the update, if the response has it.
        version: Option<u64>,
    },
    /// The service rejected the update or the describe request with this token.
    UpdateRejected {
        /// The token of the request.
        token: u32,
        /// The service's code.
        code: RejectCode,
        /// Status of the execution, if the response has it.
        status: Option<Status>,
    },
    /// The stream service rejected a request.
    StreamRejected(StreamRejectCode),
    /// Bytes arrived that are not a whole message yet: what is awaited may be on its way, until the message is complete.
    Incoming,
    /// An HTTP request failed, or its body ended early.
    FetchFailed(Reason),
    /// The operation in flight, or the write of an accepted block, ended.
    Done(Done),
    /// The application's answer to [`Machine::asks`](super::Machine::asks).
    Consent(Consent),
}

/// A job as the service offers it.
#[derive(Clone, Debug)]
pub struct Offer {
    /// The job's execution on this thing.
    pub execution: Execution,
    /// What its document asks for.
    pub task: Task,
}

/// What a job document asks for.
#[derive(Clone, Debug)]
pub enum Task {
    /// An update.
    Update(Plan),
    /// An update that cannot succeed on this device.
    Refused(Reason),
    /// A custom job, which is left to the application.
    Custom,
    /// The response had no document.
    DocumentOmitted,
}

/// Size, fingerprint and sources of an update; only [`Plan::new`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub(super) image_bytes: u32,
    pub(super) fingerprint: u32,
    pub(super) sources: Sources,
    pub(super) forced: bool,
    pub(super) is_followed: bool,
}

/// The sources of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources {
    /// An MQTT stream.
    pub stream: bool,
    /// An HTTP server.
    pub http: bool,
}

impl Plan {
    /// Creates the plan of an image of `image_bytes`; `fingerprint` identifies file and signature, so that a download
    /// resumes only with the same file.
    ///
    /// Errors: [`Reason::ImageEmpty`], [`Reason::UnknownProtocol`] without any source.
    pub fn new(image_bytes: u32, fingerprint: u32, sources: Sources) -> Result<Self, Reason> {
        match () {
            () if image_bytes == 0 => Err(Reason::ImageEmpty),
            () if !sources.stream && !sources.http => Err(Reason::UnknownProtocol),
            () => Ok(Self { image_bytes, fingerprint, sources, forced: false, is_followed: false }),
        }
    }

    /// Sets whether the operator asks the application not to postpone the update.
    #[must_use]
    pub fn with_forced(self, forced: bool) -> Self {
        Self { forced, ..self }
    }

    /// Makes this the plan of the first file of a release: another one follows.
    #[must_use]
    pub fn followed(self) -> Self {
        Self { is_followed: true, ..self }
    }

    /// Makes this the plan of the second file of a release, of which `first` is the other one.
    #[must_use]
    pub fn after(self, first: &Self) -> Self {
        Self { fingerprint: self.fingerprint ^ first.fingerprint.rotate_left(1), ..self }
    }

    /// Identifies file and signature.
    pub fn fingerprint(&self) -> u32 {
        self.fingerprint
    }
}

/// An operation on the platform. One is in flight at a time; [`Event::Done`] ends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Checks whether the image of the job is the one that runs: [`Done::Installed`].
    CheckInstalled,
    /// Chooses a slot and keeps its content before `keep_bytes`: [`Done::Begun`].
    Begin {
        /// Bytes that an earlier boot wrote.
        keep_bytes: u32,
    },
    /// Checks the image's header, which is in flash: [`Done::HeaderAccepted`].
    CheckHeader,
    /// Erases one sector ahead of the frontier, or hashes one step behind it: [`Done::IdleStepped`].
    IdleStep {
        /// All bytes before this one are in flash.
        frontier_bytes: u32,
    },
    /// Stores [`Machine::record`](super::Machine::record) of this phase; it and all earlier writes are durable then:
    /// [`Done::JournalSaved`].
    SaveJournal(Phase),
    /// Stores an empty journal: [`Done::JournalSaved`].
    ClearJournal,
    /// Reads the image back, hashes it, verifies the signature and checks the header: [`Done::Verified`].
    Verify,
    /// Hashes the image again, for [`Machine::digest`](super::Machine::digest), and writes the boot record:
    /// [`Done::Activated`].
    Activate {
        /// The slot with the image.
        slot: u8,
    },
    /// Makes the running image the confirmed one: [`Done::Confirmed`].
    Confirm,
    /// Ends the trial of the running image: [`Done::RolledBack`].
    RollBack(Reason),
    /// Makes the image in this slot unbootable: [`Done::Invalidated`].
    Invalidate {
        /// The slot, which does not run.
        slot: u8,
    },
    /// Resets the device.
    Reset,
}

/// The result of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Whether the running image is the job's.
    Installed(bool),
    /// A slot is ready.
    Begun {
        /// The slot.
        slot: u8,
        /// All bytes before this one are kept.
        frontier_bytes: u32,
        /// The version of the confirmed image that was in the slot.
        evicted: Option<Version>,
    },
    /// The block is in flash and was read back.
    Written(Block),
    /// The header is acceptable on this device.
    HeaderAccepted,
    /// One step of erasing or hashing is done.
    IdleStepped {
        /// Whether another step is due now.
        more: bool,
    },
    /// The journal is durable.
    JournalSaved,
    /// The image is the one that was signed.
    Verified {
        /// SHA-256 of the whole file.
        digest: [u8; 32],
    },
    /// The next boot tries the image.
    Activated,
    /// The running image is confirmed.
    Confirmed,
    /// The next boot starts the previous image.
    RolledBack,
    /// The image cannot be started any more.
    Invalidated,
    /// The operation was refused or failed.
    Failed(Reason),
}

/// A firmware version: major, minor, patch.
pub type Version = (u16, u16, u32);

/// A message for the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'m> {
    /// Requests the next job.
    NextJob {
        /// Returned in the response.
        token: u32,
        /// Whether to include its document.
        document: bool,
    },
    /// Requests the state of an execution.
    Describe {
        /// The job.
        job: &'m JobId,
        /// Returned in the response.
        token: u32,
        /// Whether to include its document, for a fresh URL.
        document: bool,
    },
    /// Updates the status of an execution.
    Update {
        /// The execution.
        execution: &'m ExecutionId,
        /// Returned in the response.
        token: u32,
        /// The version that the execution must have.
        expected_version: u64,
        /// The status and its details.
        report: Report,
    },
    /// Requests blocks.
    Blocks(BlockRequest),
}

/// A step that the application is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The download: flash is erased and written, and the network is used.
    Download,
    /// The reset into the new image.
    Reset,
}

/// The application's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Consent {
    /// Go on.
    Now,
    /// Ask again after this time, at least a second.
    Later {
        /// Milliseconds.
        ms: u32,
        /// The cause, which is reported.
        why: WhyLater,
    },
    /// End the job, with [`Reason::RefusedByApplication`].
    Refused,
}

impl Consent {
    /// This answer, unless it is [`Consent::Now`]; then that of `next`.
    pub fn and(self, next: impl FnOnce() -> Consent) -> Consent {
        match self {
            Self::Now => next(),
            other => other,
        }
    }
}

/// Why a step has to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhyLater {
    /// The application is busy: a [`Hold`](crate::Hold).
    Held,
    /// Outside the maintenance window.
    Window,
    /// The battery is low.
    Battery,
    /// The network is metered.
    Metered,
    /// Another cause, of the application.
    Application,
}

impl WhyLater {
    /// The value of the status detail [`WHY`](ota_jobs::details::WHY).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Window => "window",
            Self::Battery => "battery",
            Self::Metered => "metered",
            Self::Application => "application",
        }
    }
}

/// A step that waits for the application's consent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The step.
    pub step: Step,
    /// The last answer; `None` before the first.
    pub why: Option<WhyLater>,
    /// When the application is asked next.
    pub ask_at: Instant,
}

/// A status report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// The download's progress.
    Progress {
        /// Blocks in flash.
        done: u32,
        /// Blocks of the image.
        total: u32,
    },
    /// The application postponed this step.
    Waiting(Step, WhyLater),
    /// Verified, about to reset.
    Ready,
    /// The new image runs on trial.
    Testing,
    /// The job ended.
    Final(Outcome),
}

/// A notice for the application.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// The next job is requested.
    CheckStarted,
    /// The service rejected the request.
    CheckFailed(RejectCode),
    /// The service's response about the next job cannot be parsed. The job is requested again, or rejected if its name can be.
    OfferUnreadable(Reason),
    /// There is no job.
    NoUpdate,
    /// A job with an update became active.
    UpdateAvailable {
        /// Size of its image.
        image_bytes: u32,
    },
    /// The application postponed this step. Given again only with another cause.
    Postponed(Step, WhyLater),
    /// The download starts or resumes.
    DownloadStarted {
        /// Bytes that are in flash already.
        resumed_bytes: u32,
    },
    /// All slots held images that were confirmed once; the oldest was discarded.
    StoreFull {
        /// Its version.
        evicted: Version,
    },
    /// The whole image is in flash.
    DownloadSucceeded,
    /// The download failed.
    DownloadFailed {
        /// Bytes in flash.
        done_bytes: u32,
        /// The cause.
        reason: Reason,
    },
    /// Digest and signature are being verified.
    VerifyStarted,
    /// The image is the one that was signed.
    VerifySucceeded {
        /// SHA-256 of the whole file.
        digest: [u8; 32],
    },
    /// The image is not the one that was signed, or not for this device.
    VerifyFailed(Reason),
    /// The next boot starts the new image; the device is about to reset.
    Activated,
    /// The application was not prepared for the reset within
    /// [`AgentConfig::prepare_ms_max`](crate::AgentConfig::prepare_ms_max); the device is reset.
    PreparationTimedOut,
    /// The running image is new and on trial.
    SelfTestStarted,
    /// The running image is confirmed.
    Confirmed,
    /// The device returns to the previous image.
    RollingBack(Reason),
    /// The job ended with this outcome, which is yet to be reported.
    Concluded(Outcome),
    /// The service cancelled the job.
    Cancelled,
    /// Nothing is left to do or to report for the job.
    Settled,
    /// On command: the image in this slot was confirmed instead of the running one; the device is about to reset.
    RolledBack {
        /// The slot.
        to: u8,
    },
    /// The rollback on command failed; the device goes on as it is.
    RollbackFailed(Reason),
    /// On command: the device is about to reset; the boot selector restores the factory image and erases all others.
    FactoryReset,
    /// The factory reset failed; the device goes on as it is.
    FactoryResetFailed(Reason),
    /// On command: all images of this version are erased.
    ImageErased(Version),
    /// The images of a version were not erased.
    EraseFailed(Reason),
    /// The application's filters are more than eight, or together longer than the agent's may be
    /// ([`FILTERS_BYTES_MAX`](crate::FILTERS_BYTES_MAX)): the device subscribes to those before.
    FiltersTooLong,
    /// At a boot: this many rows of the image database are broken, and lost once the next record is stored. The images in
    /// those slots are not used for a rollback.
    ImageRowsBroken(u8),
    /// At a boot: the monotonic record cannot be read, or raised to the values of the confirmed image. The boot selector uses
    /// the stored values; every boot tries again.
    FloorNotRaised(Reason),
}
