//! The words between the machine and its shell: events go in, operations and messages come out.

use ota_jobs::{JobId, Reason, RejectCode, Status, StreamRejectCode};

use super::journal::{Outcome, RECORD_BYTES};
use super::window::{Block, BlockRequest};

/// Something happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// The MQTT connection is up and the service's topics are subscribed.
    Connected,
    /// The MQTT connection is gone.
    Disconnected,
    /// The list of pending jobs changed.
    JobsChanged,
    /// The service named the next job.
    Offer(Offer),
    /// The service has no job.
    NoJob,
    /// The answer to our question cannot be read, and why.
    OfferUnreadable(Reason),
    /// The service refused to name a job.
    OfferRefused(RejectCode),
    /// The service described the execution that was asked about.
    Described(Execution),
    /// It answered the update with this token: taken.
    UpdateAccepted {
        /// From the request.
        token: u32,
        /// The execution's version after it, where the answer carries it.
        version: Option<u64>,
    },
    /// It refused the update or the description with this token.
    UpdateRejected {
        /// From the request.
        token: u32,
        /// Why.
        code: RejectCode,
        /// Where the execution stands, where the answer carries it.
        standing: Option<(Status, u64)>,
    },
    /// A block lies in the receive buffer; a [`Operation::Write`] for it follows at once, or nothing.
    Block {
        /// Its number.
        index: u32,
        /// Its length in bytes.
        len_bytes: u32,
    },
    /// The stream service refused a request.
    StreamRejected(StreamRejectCode),
    /// The HTTP body ended or could not be had.
    FetchFailed(Reason),
    /// The operation in flight is over.
    Done(Done),
    /// The application's verdict on the image on trial.
    SelfTest(Result<(), Reason>),
    /// The application gives the job up.
    Abort,
}

/// A job as the service offers it, checked against this device as far as the document allows.
#[derive(Clone, Debug)]
pub struct Offer {
    /// Its execution for this thing.
    pub execution: Execution,
    /// What to do about it.
    pub task: Task,
}

/// What the service says of an execution.
#[derive(Clone, Debug)]
pub struct Execution {
    /// The job.
    pub job: JobId,
    /// Where it stands.
    pub status: Status,
    /// Counts its updates.
    pub version: u64,
}

/// What a job document asks for.
#[derive(Clone, Debug)]
pub enum Task {
    /// An image that this device can go for.
    Update(Plan),
    /// An update that can never succeed here.
    Refused(Reason),
    /// Not an update: the application's, or nobody's.
    Foreign,
    /// The description came without its document.
    Withheld,
}

/// The numbers of an update; only [`Plan::new`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub(super) image_bytes: u32,
    pub(super) fingerprint: u32,
    pub(super) sources: Sources,
}

/// Where the bytes can be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sources {
    /// From an MQTT stream.
    pub stream: bool,
    /// From an HTTP server.
    pub http: bool,
}

impl Plan {
    /// An image of `image_bytes`; `fingerprint` differs for every other file or signature.
    ///
    /// Errors: [`Reason::ImageEmpty`], [`Reason::UnknownProtocol`] without any source.
    pub fn new(image_bytes: u32, fingerprint: u32, sources: Sources) -> Result<Self, Reason> {
        match () {
            () if image_bytes == 0 => Err(Reason::ImageEmpty),
            () if !sources.stream && !sources.http => Err(Reason::UnknownProtocol),
            () => Ok(Self { image_bytes, fingerprint, sources }),
        }
    }
}

/// Work for the platform, one at a time; its [`Done`] must come back before the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Is the image of the job the one that runs?
    Compare {
        /// Its size.
        image_bytes: u32,
    },
    /// Take a slot, keep what lies in it before `keep_bytes`.
    Begin {
        /// Size of the image.
        image_bytes: u32,
        /// What an earlier life wrote.
        keep_bytes: u32,
    },
    /// Write the block that was announced just now.
    Write(Block),
    /// Check the image's header, which has arrived.
    CheckHeader,
    /// Erase one sector ahead of the frontier.
    EraseAhead,
    /// Hash a piece behind the frontier.
    HashAhead {
        /// All bytes before this are written.
        frontier_bytes: u32,
    },
    /// Make this record durable, after all that was written; an empty one when `None`.
    Journal(Option<[u8; RECORD_BYTES]>),
    /// Read back, hash, verify the signature, check the header.
    Seal,
    /// Check the hash once more and write the boot record.
    Activate {
        /// The slot with the image.
        slot: u8,
        /// Its hash.
        digest: [u8; 32],
        /// Its size.
        image_bytes: u32,
    },
    /// Keep the running image for good.
    Confirm,
    /// End the trial of the running image.
    RollBack(Reason),
    /// Make the image in this slot one that cannot be started.
    Abandon {
        /// The slot, which does not run.
        slot: u8,
    },
    /// Start again through the boot selector.
    Reset,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// Whether the running image is the job's.
    Compared(bool),
    /// A slot is taken.
    Begun {
        /// Which.
        slot: u8,
        /// From where bytes are missing.
        frontier_bytes: u32,
        /// The version (major, minor, patch) of the earlier image that made room.
        evicted: Option<(u16, u16, u32)>,
    },
    /// The block is in flash and read back.
    Written(Block),
    /// The header fits this device.
    HeaderFits,
    /// One piece is erased or hashed; whether there is more to do now.
    Ahead(bool),
    /// The record is durable.
    Journaled,
    /// The image is what was signed.
    Sealed {
        /// SHA-256 of the whole file.
        digest: [u8; 32],
    },
    /// The next boot tries the image.
    Activated,
    /// The running image stays.
    Confirmed,
    /// The next boot runs the previous image.
    RolledBack,
    /// The image cannot be started any more.
    Abandoned,
    /// It was refused or failed.
    Failed(Reason),
}

/// A message for the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'m> {
    /// What is the next job?
    NextJob {
        /// Answered in kind.
        token: u32,
        /// Whether its document is wanted too.
        document: bool,
    },
    /// Where does this execution stand?
    Describe {
        /// The job.
        job: &'m JobId,
        /// Answered in kind.
        token: u32,
        /// Whether its document is wanted too, for a fresh URL.
        document: bool,
    },
    /// This is where the job stands.
    Update {
        /// The job.
        job: &'m JobId,
        /// Answered in kind.
        token: u32,
        /// The version that the execution has to have.
        expected_version: u64,
        /// What to say.
        report: Report,
    },
    /// Blocks, please.
    Blocks(BlockRequest),
}

/// What the service hears of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Report {
    /// Receiving: so many blocks of so many.
    Progress {
        /// Blocks in flash.
        done: u32,
        /// Blocks of the image.
        total: u32,
    },
    /// Verified, about to reset.
    Ready,
    /// The new image runs on trial.
    Testing,
    /// The end.
    Final(Outcome),
}

/// What the application hears, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// The service is asked for a job.
    CheckStarted,
    /// It refused to name one.
    CheckFailed(RejectCode),
    /// There is no job.
    NoUpdate,
    /// A job with an update is taken up.
    UpdateAvailable {
        /// Size of its image.
        image_bytes: u32,
    },
    /// The download starts, or goes on.
    DownloadStarted {
        /// What an earlier life fetched.
        resumed_bytes: u32,
    },
    /// All slots held images that were confirmed once: the oldest made room.
    StoreFull {
        /// Its version: major, minor, patch.
        evicted: (u16, u16, u32),
    },
    /// All bytes are in flash.
    DownloadSucceeded,
    /// They are not and will not be.
    DownloadFailed {
        /// How many were.
        done_bytes: u32,
        /// What stopped it.
        reason: Reason,
    },
    /// Digest and signature are checked.
    VerifyStarted,
    /// The image is what was signed.
    VerifySucceeded {
        /// SHA-256 of the whole file.
        digest: [u8; 32],
    },
    /// It is not, or not for this device.
    VerifyFailed(Reason),
    /// The new image is next; the device is about to reset.
    Activated,
    /// This is the new image, on trial.
    SelfTestStarted,
    /// The running image stays.
    Confirmed,
    /// The previous image comes back.
    RollingBack(Reason),
    /// The job ended like this; the service has yet to hear it.
    Concluded(Outcome),
    /// The service took the job back.
    Withdrawn,
    /// Nothing is left to do or to report for the job.
    Settled,
    /// On command: the image in this slot was confirmed instead of the running one; the device is about to reset.
    RolledBack {
        /// The slot.
        to: u8,
    },
    /// There is no way back on command, and why; the device goes on as it is.
    RollbackFailed(Reason),
    /// On command: the device is about to reset, and the boot selector restores the factory's image and erases all others.
    FactoryReset,
    /// There is no factory reset, and why; the device goes on as it is.
    FactoryResetFailed(Reason),
    /// On command: no slot holds an image of this version (major, minor, patch) any more.
    ImageErased((u16, u16, u32)),
    /// The images of a version were not erased, and why.
    EraseFailed(Reason),
    /// At a boot: so many rows of the image database are broken, and gone once the next record is stored. The images in those
    /// slots are not gone back to.
    ImageRowsBroken(u8),
    /// At a boot: the monotonic record cannot be read, or raised to what the confirmed image asks for, and why. The boot
    /// selector goes by what it says; every boot tries again.
    FloorNotRaised(Reason),
}
