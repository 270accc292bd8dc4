//! MCUboot's image format: the header at the start, and what can be wrong with an image. What stands behind the body is
//! `tlvs`'s; whether a device takes the image is not decided here.
//!
//! Source: MCUboot, boot/bootutil/include/bootutil/image.h; scripts/imgtool/image.py.

use super::super::super::flash::{self, Flash};
use crate::bytes::{u16_at, u32_at};
use crate::fault::Fault;
use crate::image::format::FormatError;
use crate::image::version::Version;
use crate::print::print_by_name;
use crate::store::region::Region;

/// Length of the header's fields; the body may start later.
pub const IMAGE_HEADER_BYTES: usize = 32;

const IMAGE_MAGIC: u32 = 0x96F3_B83D;
/// What makes the image in flash another one than the image in the file, or no program: encrypted, compressed, not bootable.
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
    /// Address that the image is loaded to, or was linked for.
    pub load_address: u32,
    /// The version that MCUboot compares: its `revision` is our patch.
    pub version: Version,
    /// The build number. MCUboot does not compare it unless it was built to, and neither do we.
    pub build: u32,
    body_offset_bytes: u32,
    body_bytes: u32,
    pub(super) protected_bytes: u32,
}

/// Why bytes are not an MCUboot image, or not one that this crate can follow. Offsets count from the start of the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// Fewer bytes than a header has.
    TooShort {
        /// Bytes there.
        got: usize,
    },
    /// The first word is not MCUboot's.
    NotAnImage {
        /// It.
        magic: u32,
    },
    /// The header is shorter than its own fields, the body is empty, or they end beyond 4 GiB.
    SizesInvalid {
        /// Length of the header.
        header_bytes: u32,
        /// Length of the body.
        body_bytes: u32,
    },
    /// Encrypted, compressed or not bootable: what runs would not be what was received.
    FlagsUnsupported {
        /// These flags.
        got: u32,
    },
    /// The image, or a TLV, ends beyond what it lies in.
    OutOfRange {
        /// Where it should end.
        end_bytes: u32,
        /// Where it must.
        limit_bytes: u32,
    },
    /// No area of TLVs where one should start.
    NoTlvArea {
        /// Where.
        offset_bytes: u32,
        /// What is there.
        magic: u16,
    },
    /// The area of protected TLVs is not as long as the header says.
    ProtectedLengthMismatch {
        /// As the header says.
        header: u32,
        /// As the area says.
        area: u32,
    },
    /// More TLVs than [`TLVS_MAX`](super::tlvs::TLVS_MAX).
    TooManyTlvs,
    /// A TLV has another length than its kind.
    TlvLengthWrong {
        /// Its kind.
        kind: u16,
        /// Its length.
        got: u16,
    },
    /// A TLV that must be there once is there twice.
    TlvRepeated {
        /// Its kind.
        kind: u16,
    },
    /// No SHA-256: the image was made with `--sha 384`, `--sha 512` or `--pure`.
    DigestMissing,
    /// The digest is not that of the image.
    DigestWrong,
    /// The image names no board, and none was configured to be taken for it.
    HardwareIdMissing,
    /// The hardware id is not 1 to 16 printable ASCII characters.
    HardwareIdInvalid,
}

print_by_name!(ImageError);

impl ImageError {
    /// A number for each kind of error; they are never reused.
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
    /// The header at the start of `image`.
    ///
    /// # Errors
    /// [`ImageError`]: the first thing found wrong.
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

    /// Start of the body, from the start of the image.
    #[must_use]
    pub const fn body_offset_bytes(&self) -> u32 {
        self.body_offset_bytes
    }

    /// Length of the body.
    #[must_use]
    pub const fn body_bytes(&self) -> u32 {
        self.body_bytes
    }

    /// How much of the image its digest covers. The image is longer: [`Tlvs::image_bytes`](super::Tlvs).
    #[must_use]
    pub const fn hashed_bytes(&self) -> u32 {
        self.body_offset_bytes + self.body_bytes + self.protected_bytes
    }
}

/// Reads the header at the start of a slot. Dropped: nothing happened.
///
/// # Errors
/// [`Fault::Read`]; inside, why there is none.
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
