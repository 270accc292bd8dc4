//! Maps the platform's errors to reason codes.

use ota_jobs::Reason;
use ota_pal::{Fault, Refusal, SignatureRefusal};

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
        Fault::BootRecordInvalid { .. } | Fault::NoTrialRuns => Reason::BootRecordFailed,
        Fault::MonotonicRecordInvalid { .. } => Reason::MonotonicRecordFailed,
        Fault::LoaderRefused { .. } => Reason::LoaderRefused,
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
        Refusal::DigestMismatch { .. } | Refusal::Signature(SignatureRefusal::DigestMismatch) => Reason::DigestMismatch,
        Refusal::HardwareIdMissing => Reason::HardwareIdMissing,
        Refusal::FormatInvalid(_) => Reason::ImageFormatInvalid,
        Refusal::ImageHeaderInvalid(_) => Reason::ImageHeaderInvalid,
        Refusal::WrongHardware { .. } => Reason::WrongHardware,
        Refusal::WrongComponent { .. } => Reason::WrongComponent,
        Refusal::VersionNotNewer { .. } => Reason::VersionNotNewer,
        Refusal::SecurityCounterTooLow { .. } => Reason::SecurityCounterTooLow,
        Refusal::SystemTooOld { .. } => Reason::SystemTooOld,
        Refusal::ReleaseMismatch { .. } => Reason::ReleaseMismatch,
        Refusal::WrongSlotLink { .. } => Reason::WrongSlotLink,
        Refusal::ImageLengthMismatch { .. } => Reason::ImageLengthMismatch,
        Refusal::Signature(SignatureRefusal::SignatureInvalid) => Reason::SignatureInvalid,
        Refusal::Signature(SignatureRefusal::SignatureMalformed { .. }) => Reason::SignatureMalformed,
        Refusal::Signature(SignatureRefusal::UnknownKey) => Reason::UnknownKey,
        Refusal::Signature(SignatureRefusal::SignatureMissing) => Reason::SignatureMissing,
        Refusal::Signature(SignatureRefusal::KindUnsupported { .. }) => Reason::UnknownSignatureKind,
        Refusal::Signature(SignatureRefusal::KeyRevoked { .. }) => Reason::KeyRevoked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ota_pal::{Component, FormatError, HardwareId, HeaderError, MajorMinor, SignatureKind, SlotId, Version};
    use std::collections::HashSet;

    /// Every refusal, and one fault of each family.
    fn all() -> [Refusal; 39] {
        let (slot, version) = (SlotId::A, Version::new(1, 0, 0));
        let fault = |fault| Refusal::Fault(fault);
        let signature = |refusal| Refusal::Signature(refusal);
        let kind = |got| signature(SignatureRefusal::KindUnsupported { got });
        let (at, word_bytes) = (0, 4);
        [
            fault(Fault::Read { offset_bytes: at }),
            fault(Fault::Erase { offset_bytes: at }),
            fault(Fault::ReadBack { offset_bytes: at }),
            fault(Fault::NotAligned { offset_bytes: at, len_bytes: 1, word_bytes }),
            fault(Fault::JournalPayloadTooLong { got: 1, max: 0 }),
            fault(Fault::BootRecordInvalid { format: 0 }),
            fault(Fault::MonotonicRecordInvalid { format: 0 }),
            fault(Fault::LoaderRefused { code: 0 }),
            Refusal::ImageEmpty,
            Refusal::ImageTooLarge { got: 2, max: 1 },
            Refusal::TrialRunning,
            Refusal::SlotRuns { slot },
            Refusal::DigestMismatch { slot },
            Refusal::NoPreviousImage,
            Refusal::NoSuchImage { version },
            Refusal::NoFactorySlot,
            Refusal::FactoryNotVerified,
            Refusal::ImageHeaderInvalid(HeaderError::CrcWrong),
            Refusal::HardwareIdMissing,
            Refusal::FormatInvalid(FormatError { format: "any", code: 1 }),
            Refusal::WrongHardware { got: HardwareId::new("other").unwrap() },
            Refusal::WrongComponent { got: Component::Data },
            Refusal::VersionNotNewer { have: version, got: version },
            Refusal::SecurityCounterTooLow { have: 1, got: 0 },
            Refusal::SystemTooOld { have: version, min: MajorMinor::new(2, 0) },
            Refusal::ReleaseMismatch { want: 1, got: 2 },
            Refusal::WrongSlotLink { slot },
            Refusal::ImageLengthMismatch { announced: 1, header: 2 },
            signature(SignatureRefusal::SignatureInvalid),
            signature(SignatureRefusal::SignatureMalformed { at_bytes: 0 }),
            signature(SignatureRefusal::UnknownKey),
            signature(SignatureRefusal::SignatureMissing),
            signature(SignatureRefusal::KeyRevoked { epoch: 0, epoch_min: 1 }),
            kind(SignatureKind::Sha256Rsa),
            signature(SignatureRefusal::DigestMismatch),
            fault(Fault::Write { offset_bytes: at }),
            fault(Fault::Sync),
            fault(Fault::NoTrialRuns),
            Refusal::FormatInvalid(FormatError { format: "other", code: 2 }),
        ]
    }

    #[test]
    fn every_refusal_has_a_code_of_its_own() {
        let codes = all().map(|refusal| of_refusal(refusal).code());
        let (own, again) = codes.split_at(34);
        assert_eq!(own.iter().collect::<HashSet<_>>().len(), own.len(), "{own:x?}");
        assert!(again.iter().all(|code| own.contains(code)), "a family has one code");
    }
}
