//! MCUboot's image format: the header at the start, and the errors of an image. `tlvs` reads the part after the body.
//! Whether a device accepts the image is not decided here.
//!
//! Source: MCUboot, boot/bootutil/include/bootutil/image.h; scripts/imgtool/image.py.

use super::super::super::flash::{self, Flash};
use crate::bytes::{u16_at, u32_at};
use crate::fault::Fault;
use crate::image::format::FormatError;
use crate::image::version::Version;
use crate::print::print_by_name;
use crate::store::region::Region;

/// Length of the header's fields in bytes; the body may start later.
pub const IMAGE_HEADER_BYTES: usize = 32;

const IMAGE_MAGIC: u32 = 0x96F3_B83D;
/// Flags of images that differ in flash from the file, or are no program: encrypted, compressed, not bootable.
const FLAGS_UNSUPPORTED: u32 = 0x0004 | 0x0008 | 0x0010 | 0x0200 | 0x0400 | 0x0800;

// Offsets in the header; numbers are little endian.
const AT_LOAD_ADDRESS: usize = 4;
const AT_HEADER_LEN: usize = 8;
const AT_PROTECTED_LEN: usize = 10;
const AT_BODY_LEN: usize = 12;
const AT_FLAGS: usize = 16;
const AT_VERSION: usize = 20;

/// The header of an MCUboot image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImageHeader {
    /// Address that the image is loaded to or linked for.
    pub load_address: u32,
    /// The version that MCUboot compares; its `revision` is the patch level.
    pub version: Version,
    /// The build number. MCUboot does not compare it by default, and this crate never does.
    pub build: u32,
    body_offset_bytes: u32,
    body_bytes: u32,
    pub(super) protected_bytes: u32,
}

/// Why bytes are not an MCUboot image that this crate supports. Offsets count from the start of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// Fewer bytes than a header has.
    TooShort {
        /// Number of bytes given.
        got: usize,
    },
    /// The first word is not MCUboot's magic.
    NotAnImage {
        /// The word found.
        magic: u32,
    },
    /// The header is shorter than its own fields, the body is empty, or they end beyond 4 GiB.
    SizesInvalid {
        /// Length of the header.
        header_bytes: u32,
        /// Length of the body.
        body_bytes: u32,
    },
    /// Encrypted, compressed or not bootable: the running image would differ from the received one.
    FlagsUnsupported {
        /// The unsupported flags.
        got: u32,
    },
    /// The image, or a TLV, ends beyond the range that contains it.
    OutOfRange {
        /// The end found.
        end_bytes: u32,
        /// The largest end allowed.
        limit_bytes: u32,
    },
    /// No area of TLVs at the expected offset.
    NoTlvArea {
        /// The offset.
        offset_bytes: u32,
        /// The magic found.
        magic: u16,
    },
    /// The length of the area of protected TLVs differs from that in the header.
    ProtectedLengthMismatch {
        /// The length in the header.
        header: u32,
        /// The length in the area.
        area: u32,
    },
    /// More TLVs than [`TLVS_MAX`](super::tlvs::TLVS_MAX).
    TooManyTlvs,
    /// The length of a TLV does not match its kind.
    TlvLengthWrong {
        /// Its kind.
        kind: u16,
        /// Its length.
        got: u16,
    },
    /// A TLV that must be unique occurs twice.
    TlvRepeated {
        /// Its kind.
        kind: u16,
    },
    /// No SHA-256: the image was made with `--sha 384`, `--sha 512` or `--pure`.
    DigestMissing,
    /// The digest does not match the image.
    DigestWrong,
    /// The image names no board, and the device requires one.
    HardwareIdMissing,
    /// The hardware id is not 1 to 16 printable ASCII characters.
    HardwareIdInvalid,
}

print_by_name!(ImageError);

impl ImageError {
    /// Returns the number of the kind of error; numbers are never reused.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::TooShort { .. } => 1,
            Self::NotAnImage { .. } => 2,
            Self::SizesInvalid { .. } => 3,
            Self::FlagsUnsupported { .. } => 4,
            Self::OutOfRange { .. } => 5,
            Self::NoTlvArea { .. } => 6,
            Self::ProtectedLengthMismatch { .. } => 7,
            Self::TooManyTlvs => 8,
            Self::TlvLengthWrong { .. } => 9,
            Self::TlvRepeated { .. } => 10,
            Self::DigestMissing => 11,
            Self::DigestWrong => 12,
            Self::HardwareIdMissing => 13,
            Self::HardwareIdInvalid => 14,
        }
    }
}

impl From<ImageError> for FormatError {
    fn from(error: ImageError) -> Self {
        Self { format: "MCUboot", code: error.code() }
    }
}

impl ImageHeader {
    /// Parses the header at the start of `image`.
    ///
    /// # Errors
    /// [`ImageError`] for the first error found.
    pub fn parse(image: &[u8]) -> Result<Self, ImageError> {
        let bytes = image.first_chunk::<IMAGE_HEADER_BYTES>().ok_or(ImageError::TooShort { got: image.len() })?;
        let magic = u32_at(bytes, 0);
        if magic != IMAGE_MAGIC {
            return Err(ImageError::NotAnImage { magic });
        }
        let flags = u32_at(bytes, AT_FLAGS);
        if flags & FLAGS_UNSUPPORTED != 0 {
            return Err(ImageError::FlagsUnsupported { got: flags & FLAGS_UNSUPPORTED });
        }
        let (header_bytes, body_bytes) = (u32::from(u16_at(bytes, AT_HEADER_LEN)), u32_at(bytes, AT_BODY_LEN));
        let protected_bytes = u32::from(u16_at(bytes, AT_PROTECTED_LEN));
        let fits = header_bytes.checked_add(body_bytes).and_then(|end| end.checked_add(protected_bytes));
        if header_bytes < IMAGE_HEADER_BYTES as u32 || body_bytes == 0 || fits.is_none() {
            return Err(ImageError::SizesInvalid { header_bytes, body_bytes });
        }
        let (major, minor) = (u16::from(bytes[AT_VERSION]), u16::from(bytes[AT_VERSION + 1]));
        Ok(Self {
            load_address: u32_at(bytes, AT_LOAD_ADDRESS),
            version: Version::new(major, minor, u32::from(u16_at(bytes, AT_VERSION + 2))),
            build: u32_at(bytes, AT_VERSION + 4),
            body_offset_bytes: header_bytes,
            body_bytes,
            protected_bytes,
        })
    }

    /// Start of the body, in bytes from the start of the image.
    #[must_use]
    pub const fn body_offset_bytes(&self) -> u32 {
        self.body_offset_bytes
    }

    /// Length of the body, in bytes.
    #[must_use]
    pub const fn body_bytes(&self) -> u32 {
        self.body_bytes
    }

    /// Length in bytes of the part covered by the digest. The image is longer: [`Tlvs::image_bytes`](super::Tlvs).
    #[must_use]
    pub const fn hashed_bytes(&self) -> u32 {
        self.body_offset_bytes + self.body_bytes + self.protected_bytes
    }
}

/// Reads the header at the start of a slot.
///
/// # Cancel safety
/// Nothing is written, so cancellation has no effect.
///
/// # Errors
/// [`Fault::Read`]; the inner error if there is no valid header.
pub async fn read_image_header<F: Flash>(
    flash: &mut F,
    slot: Region,
) -> Result<Result<ImageHeader, ImageError>, Fault> {
    let mut bytes = [0; IMAGE_HEADER_BYTES];
    flash::read(flash, slot.at(0), &mut bytes).await?;
    Ok(ImageHeader::parse(&bytes))
}

#[cfg(test)]
pub(super) mod tests;
