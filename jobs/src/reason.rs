//! Reasons for failure or rejection of a job, with a stable code and name that are reported to the service.

use core::fmt;

use crate::status::Status;

/// Declares the reasons: variant, code, documentation.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $code:literal,)+) => {
        /// Why a job was refused or failed.
        ///
        /// Codes are never reused; the high byte is the family.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Reason {
            $($(#[doc = $doc])+ $name = $code,)+
        }

        /// All reasons with their names, in the order of the codes.
        const TABLE: &[(Reason, &str)] = &[$((Reason::$name, stringify!($name)),)+];

        impl Reason {
            /// What it means, in a sentence. For tools: a device has no use for these texts.
            pub const fn description(self) -> &'static str {
                match self {
                    $(Reason::$name => concat!($($doc),+),)+
                }
                .trim_ascii()
            }
        }
    };
}

reasons! {
    /// The job document is larger than the device can receive.
    DocumentTooLarge = 0x0101,
    /// The job document is not JSON.
    DocumentNotJson = 0x0102,
    /// The job document is nested deeper than 16 levels.
    DocumentTooDeep = 0x0103,
    /// The job document lacks a field.
    DocumentFieldMissing = 0x0104,
    /// A field of the job document has an invalid value.
    DocumentFieldInvalid = 0x0105,
    /// A field of the job document is too long.
    DocumentFieldTooLong = 0x0106,
    /// The job document lists no protocol that the device supports.
    UnknownProtocol = 0x0107,
    /// The file is signed with an unknown algorithm.
    UnknownSignatureKind = 0x0108,
    /// The file is not signed.
    SignatureMissing = 0x0109,
    /// The file's signature uses SHA-1.
    SignatureSha1Refused = 0x010A,
    /// No file of the job is for this device.
    NoFileForThisDevice = 0x010B,
    /// The URL's scheme or host is not on the device's list.
    UrlNotAllowed = 0x010C,

    /// The image is empty.
    ImageEmpty = 0x0201,
    /// The image does not fit into the slot.
    ImageTooLargeForSlot = 0x0202,
    /// The image does not begin with a valid header.
    ImageHeaderInvalid = 0x0203,
    /// The image is for other hardware.
    WrongHardware = 0x0204,
    /// The image is another component.
    WrongComponent = 0x0205,
    /// The image is not newer than the running one.
    VersionNotNewer = 0x0206,
    /// The image's security counter is below the device's.
    SecurityCounterTooLow = 0x0207,
    /// The image is linked for another slot.
    WrongSlotLink = 0x0208,
    /// The image's header and the job document state different lengths.
    ImageLengthMismatch = 0x0209,
    /// The image has more blocks than a stream request can address.
    TooManyBlocks = 0x020A,
    /// The image's format is not supported by the device's boot loader.
    ImageFormatInvalid = 0x020B,
    /// The image does not name its hardware.
    HardwareIdMissing = 0x020C,
    /// The application refused the download or the reset.
    RefusedByApplication = 0x020D,
    /// The image's version is not the one that was asked for.
    VersionMismatch = 0x020E,
    /// The image requires a later version of the system firmware.
    SystemTooOld = 0x020F,
    /// The images of the job are not of one release.
    ReleaseMismatch = 0x0210,

    /// The download stalled.
    TransferTimedOut = 0x0301,
    /// The file ended before its announced size.
    ImageTooShort = 0x0302,
    /// The stream or the file does not exist.
    StreamNotFound = 0x0303,
    /// The stream service rejected the request, or its response cannot be parsed.
    StreamRefused = 0x0304,
    /// The HTTP server returned 401 or 403; the URL may have expired.
    HttpForbidden = 0x0305,
    /// The HTTP server returned 404 or 410.
    HttpNotFound = 0x0306,
    /// The HTTP server returned 416.
    HttpRangeNotSatisfiable = 0x0307,
    /// The HTTP server ignored the range request and returned 200 with the whole file.
    HttpRangeIgnored = 0x0308,
    /// The HTTP body ended early.
    HttpBodyTooShort = 0x0309,
    /// The HTTP server returned another status.
    HttpStatus = 0x030A,
    /// The HTTP server could not be reached.
    HttpUnreachable = 0x030B,
    /// The HTTP server's response is not HTTP, or contradicts itself.
    HttpProtocol = 0x030C,
    /// The HTTP body is compressed or otherwise encoded.
    HttpEncoding = 0x030D,
    /// The HTTP server redirected too often, or to a URL that cannot be followed.
    HttpRedirectRefused = 0x030E,
    /// The HTTP server returned 408, 429 or a status of 500 to 599.
    HttpServerBusy = 0x030F,

    /// A write to flash failed.
    FlashWriteFailed = 0x0401,
    /// An erase of flash failed.
    FlashEraseFailed = 0x0402,
    /// A read of flash failed.
    FlashReadFailed = 0x0403,
    /// The data read back differ from the data written.
    ReadBackMismatch = 0x0404,
    /// The journal could not be written.
    JournalFailed = 0x0405,
    /// The boot record could not be written or read.
    BootRecordFailed = 0x0406,
    /// The slot holds the running image or the fallback.
    SlotRuns = 0x0407,
    /// An image is on trial or about to be, so no slot is free.
    TrialRunning = 0x0408,
    /// No earlier image is confirmed, intact and allowed to run.
    NoPreviousImage = 0x0409,
    /// No slot holds an image of the version named.
    NoSuchImage = 0x040A,
    /// The device has no factory slot.
    NoFactorySlot = 0x040B,
    /// The signature of the factory image was never verified on this device.
    FactoryNotVerified = 0x040C,
    /// A job is active; the command has to wait until it ends.
    Busy = 0x040D,
    /// The device's boot loader refused the request.
    LoaderRefused = 0x040E,
    /// The monotonic record could not be read.
    MonotonicRecordFailed = 0x040F,

    /// The signature does not match: the image was changed, or it was signed with a key that the device does not have.
    SignatureInvalid = 0x0501,
    /// The signature is not base64, or not in the format of its kind.
    SignatureMalformed = 0x0502,
    /// The device has no valid key for this kind of signature.
    UnknownKey = 0x0503,
    /// The image's digest is not the expected one.
    DigestMismatch = 0x0504,
    /// The signature is valid, but its key is revoked.
    KeyRevoked = 0x0505,

    /// The self-test of the new image failed.
    SelfTestFailed = 0x0601,
    /// The self-test of the new image did not finish in time.
    SelfTestTimedOut = 0x0602,
    /// The new image was started too often without passing or failing its self-test.
    TrialAttemptsExhausted = 0x0603,
    /// The new image is corrupt in flash.
    TrialImageCorrupt = 0x0604,
    /// The previous image is running again for an unknown reason.
    RolledBack = 0x0605,
    /// The new system of a release was started without the app of the release, which is intact in flash.
    AppNotStarted = 0x0606,

    /// A user of the device aborted the update.
    AbortedByUser = 0x0701,
}

/// First code that means `FAILED`; lower codes mean `REJECTED`.
const FIRST_FAILURE: u16 = 0x0300;

impl Reason {
    /// All reasons, in the order of their codes.
    pub fn all() -> impl Iterator<Item = Self> {
        TABLE.iter().map(|(reason, _)| *reason)
    }

    /// The stable code.
    pub const fn code(self) -> u16 {
        self as u16
    }

    /// The stable name, as in the source.
    pub fn name(self) -> &'static str {
        TABLE.iter().find(|(reason, _)| *reason == self).map_or("", |(_, name)| name)
    }

    /// The reason with this code; `None` if there is none (a newer image may have more).
    pub fn from_code(code: u16) -> Option<Self> {
        TABLE.iter().map(|(reason, _)| *reason).find(|reason| reason.code() == code)
    }

    /// The execution status that goes with the reason: `REJECTED` when the job cannot be meant for this device,
    /// `FAILED` when it was tried.
    pub const fn status(self) -> Status {
        if self.code() < FIRST_FAILURE { Status::Rejected } else { Status::Failed }
    }

    /// The code as people read it: `0x0501`.
    pub fn code_text(self) -> CodeText {
        let code = self.code();
        let mut text = *b"0x0000";
        for (at, digit) in text[2..].iter_mut().enumerate() {
            let nibble = (code >> (12 - 4 * at)) & 0xF;
            *digit = b"0123456789ABCDEF"[usize::from(nibble)];
        }
        CodeText(text)
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        f.write_str(" ")?;
        f.write_str(self.code_text().as_str())
    }
}

/// Six characters that show a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeText([u8; 6]);

impl CodeText {
    /// The text.
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }
}

#[cfg(test)]
mod tests {
    use std::string::{String, ToString};
    use std::{format, vec::Vec};

    use super::*;

    fn page() -> String {
        let mut page = String::from(
            "# Reason codes\n\n\
            Reported in the status details `reason` and `code` of a job; `ota explain CODE` prints a line of this page.\n\
            Codes are stable and never reused.\n\n\
            Printed from `jobs/src/reason.rs` by its test; `UPDATE=1 cargo test -p ota-jobs codes_md` writes this page.\n\n\
            | code | name | status | meaning |\n|---|---|---|---|\n",
        );
        for reason in Reason::all() {
            let (code, name, status) = (reason.code_text(), reason.name(), reason.status().as_str());
            page += &format!("| {} | {name} | {status} | {} |\n", code.as_str(), reason.description());
        }
        page
    }

    #[test]
    fn codes_md_is_the_print_of_the_table() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/codes.md");
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(path, page()).expect("the page can be written");
        }
        assert_eq!(std::fs::read_to_string(path).expect("the page is there"), page(), "UPDATE=1 writes it");
    }

    #[test]
    fn every_meaning_is_one_sentence_and_no_two_are_equal() {
        let meanings: Vec<&str> = Reason::all().map(Reason::description).collect();
        for (at, meaning) in meanings.iter().enumerate() {
            assert!(meaning.ends_with('.') && !meaning.contains("  "), "{meaning}");
            assert!(!meanings[..at].contains(meaning), "{meaning}");
        }
    }

    #[test]
    fn codes_rise_so_that_none_is_given_twice() {
        let codes: Vec<u16> = TABLE.iter().map(|(reason, _)| reason.code()).collect();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:x?}");
        assert_eq!(codes.len(), 70);
    }

    #[test]
    fn every_reason_comes_back_from_its_code() {
        for (reason, name) in TABLE {
            assert_eq!(Reason::from_code(reason.code()), Some(*reason));
            assert_eq!(reason.name(), *name);
            assert_eq!(format!("{reason:?}"), *name);
        }
        assert_eq!(Reason::from_code(0), None);
        assert_eq!(Reason::from_code(0x0702), None);
    }

    #[test]
    fn the_codes_that_fleets_have_seen_stay() {
        for (reason, code) in [
            (Reason::DocumentTooLarge, 0x0101),
            (Reason::UrlNotAllowed, 0x010C),
            (Reason::TooManyBlocks, 0x020A),
            (Reason::VersionMismatch, 0x020E),
            (Reason::HttpProtocol, 0x030C),
            (Reason::HttpServerBusy, 0x030F),
            (Reason::BootRecordFailed, 0x0406),
            (Reason::DigestMismatch, 0x0504),
            (Reason::KeyRevoked, 0x0505),
            (Reason::RolledBack, 0x0605),
            (Reason::AppNotStarted, 0x0606),
            (Reason::AbortedByUser, 0x0701),
        ] {
            assert_eq!(reason.code(), code);
        }
        assert_eq!(Reason::SignatureInvalid.to_string(), "SignatureInvalid 0x0501");
        assert_eq!(Reason::NoFileForThisDevice.to_string(), "NoFileForThisDevice 0x010B");
    }

    #[test]
    fn a_job_that_cannot_be_meant_for_us_is_rejected_and_the_rest_fails() {
        for (reason, _) in TABLE {
            let rejected = matches!(reason.code() >> 8, 1 | 2);
            let status = if rejected { Status::Rejected } else { Status::Failed };
            assert_eq!(reason.status(), status, "{reason}");
        }
    }
}
