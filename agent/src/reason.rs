//! The platform's errors in the words that the service hears.

use ota_jobs::Reason;
use ota_pal::{Fault, Refusal, SignatureKind, SignatureRefusal};

/// The reason for a fault of the device itself.
pub(crate) fn of_fault(fault: Fault) -> Reason {
    match fault {
        Fault::Read { .. } => Reason::FlashReadFailed,
        Fault::Erase { .. } => Reason::FlashEraseFailed,
        Fault::ReadBack { .. } => Reason::ReadBackMismatch,
        Fault::Write { .. }
        | Fault::Sync
        | Fault::OutOfRange { .. }
        | Fault::NotAligned { .. }
        | Fault::NothingBegun => Reason::FlashWriteFailed,
        Fault::JournalPayloadTooLong { .. } | Fault::JournalBufferTooSmall { .. } => Reason::JournalFailed,
        Fault::BootRecordInvalid { .. }
        | Fault::MonotonicRecordInvalid { .. }
        | Fault::NoTrialRuns
        | Fault::LoaderRefused { .. } => Reason::BootRecordFailed,
    }
}

/// The reason for not taking an image.
pub(crate) fn of_refusal(refusal: Refusal) -> Reason {
    match refusal {
        Refusal::Fault(fault) => of_fault(fault),
        Refusal::ImageEmpty => Reason::ImageEmpty,
        Refusal::ImageTooLarge { .. } => Reason::ImageTooLargeForSlot,
        Refusal::TrialRunning => Reason::TrialRunning,
        Refusal::SlotRuns { .. } => Reason::SlotRuns,
        Refusal::NoPreviousImage => Reason::NoPreviousImage,
        Refusal::NoSuchImage { .. } => Reason::NoSuchImage,
        Refusal::NoFactorySlot => Reason::NoFactorySlot,
        Refusal::FactoryNotVerified => Reason::FactoryNotVerified,
        Refusal::DigestMismatch { .. } => Reason::DigestMismatch,
        Refusal::ImageHeaderInvalid(_) | Refusal::EspImageInvalid(_) => Reason::ImageHeaderInvalid,
        Refusal::WrongHardware { .. } => Reason::WrongHardware,
        Refusal::WrongComponent { .. } => Reason::WrongComponent,
        Refusal::VersionNotNewer { .. } => Reason::VersionNotNewer,
        Refusal::SecurityCounterTooLow { .. } => Reason::SecurityCounterTooLow,
        Refusal::WrongSlotLink { .. } => Reason::WrongSlotLink,
        Refusal::ImageLengthMismatch { .. } => Reason::ImageLengthMismatch,
        Refusal::Signature(SignatureRefusal::SignatureInvalid) => Reason::SignatureInvalid,
        Refusal::Signature(SignatureRefusal::SignatureMalformed { .. }) => Reason::SignatureMalformed,
        Refusal::Signature(SignatureRefusal::UnknownKey) => Reason::UnknownKey,
        Refusal::Signature(SignatureRefusal::SignatureMissing) => Reason::SignatureMissing,
        Refusal::Signature(SignatureRefusal::KindUnsupported {
            got: SignatureKind::Sha1Rsa | SignatureKind::Sha1Ecdsa,
        }) => Reason::SignatureSha1Refused,
        Refusal::Signature(SignatureRefusal::KindUnsupported { .. }) => Reason::UnknownSignatureKind,
        Refusal::Signature(SignatureRefusal::KeyRevoked { .. }) => Reason::KeyRevoked,
    }
}
