//! The description that an ESP-IDF application image contains: chip, version, project, security counter and length.
//!
//! Read only; `esptool` makes images. Checksum and appended digest are checked by the bootloader, and the signature
//! covers the whole file. Chip revisions are left to the bootloader. A signature block of secure boot v2 follows the
//! end found here: such a file is longer than its image and is refused for its length.
//!
//! Source: ESP-IDF `esp_app_format.h`, `esp_app_desc.h`, `esp_image_format.c`.

use super::super::super::flash::{self, Flash};
use crate::bytes::{take, u16_at, u32_at};
use crate::fault::Fault;
use crate::image::format::FormatError;
use crate::image::hardware::HardwareId;
use crate::image::version::Version;
use crate::print::print_by_name;
use crate::store::region::Region;
use crate::store::region::WORD_BYTES_MAX;

/// The largest number of segments of an image.
pub const SEGMENTS_MAX: u8 = 16;

const MAGIC: u8 = 0xE9;
const DESCRIPTOR_MAGIC: u32 = 0xABCD_5432;

const HEADER_BYTES: u32 = 24;
const SEGMENT_HEADER_BYTES: u32 = 8;
const DESCRIPTOR_BYTES: u32 = 256;
const TEXT_BYTES: usize = 32;
/// The checksum is the last byte of a block of this length.
const CHECKSUM_BLOCK_BYTES: u32 = 16;
const DIGEST_BYTES: u32 = 32;

// Offsets in the file; numbers are little endian.
const AT_SEGMENT_COUNT: usize = 1;
const AT_CHIP: usize = 12;
const AT_DIGEST_APPENDED: usize = 23;
const AT_DESCRIPTOR: usize = 32;
const AT_SECURE_VERSION: usize = AT_DESCRIPTOR + 4;
const AT_VERSION: usize = AT_DESCRIPTOR + 16;
const AT_PROJECT: usize = AT_DESCRIPTOR + 48;

/// Length of the part read at the start of an image: all fields above, in whole words of every flash.
const HEAD_BYTES: usize = 128;
const _: () = assert!(AT_PROJECT + TEXT_BYTES <= HEAD_BYTES && HEAD_BYTES.is_multiple_of(WORD_BYTES_MAX));

/// `esp_chip_id_t` and the names that `esptool` uses.
const CHIPS: [(u16, &str); 14] = [
    (0, "esp32"),
    (2, "esp32s2"),
    (5, "esp32c3"),
    (9, "esp32s3"),
    (12, "esp32c2"),
    (13, "esp32c6"),
    (16, "esp32h2"),
    (18, "esp32p4"),
    (20, "esp32c61"),
    (23, "esp32c5"),
    (25, "esp32h21"),
    (28, "esp32h4"),
    (31, "esp32e22"),
    (32, "esp32s31"),
];

/// A text of up to 32 bytes, printable ASCII.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text([u8; TEXT_BYTES]);

impl Text {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let text = self.0.split(|byte| *byte == 0).next().unwrap_or_default();
        core::str::from_utf8(text).expect("the only constructor accepts only ASCII")
    }

    fn parse(bytes: [u8; TEXT_BYTES]) -> Option<Self> {
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        text.iter().all(|byte| matches!(byte, b' '..=b'~')).then_some(Self(bytes))
    }
}

impl core::fmt::Debug for Text {
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.write_str(self.as_str())
    }
}

/// The contents of the header and the application descriptor: the first 128 bytes of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The chip that it is for, as a hardware id: `esp32c3`.
    pub hardware: HardwareId,
    /// `esp_app_desc_t.version`, which must have the form `1.2.3` or `v1.2.3`.
    pub version: Version,
    /// `esp_app_desc_t.secure_version`.
    pub security_counter: u32,
    /// `esp_app_desc_t.project_name`.
    pub project: Text,
}

/// An application image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// The description in the image.
    pub descriptor: Descriptor,
    /// Length in bytes of the whole image: segments, checksum and the appended digest, if there is one.
    pub image_bytes: u32,
}

/// Why bytes are not a supported application image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// The bytes, or the slot, end before the image does.
    TooShort {
        /// Number of bytes available.
        got: u32,
        /// Number of bytes needed at least.
        need: u32,
    },
    /// The first byte is not the magic of an image.
    NotAnImage {
        /// The byte found.
        magic: u8,
    },
    /// Not 1 to 16 segments.
    SegmentCountInvalid {
        /// The number in the header.
        got: u8,
    },
    /// A chip that this program does not support.
    ChipUnknown {
        /// The number of the chip.
        got: u16,
    },
    /// No application descriptor at the start of the first segment: a bootloader, or not built with ESP-IDF.
    DescriptorMissing {
        /// The word found in place of the magic.
        magic: u32,
    },
    /// The version is not three numbers with an optional leading `v`. Set `PROJECT_VER`.
    VersionTextInvalid,
    /// The project name is not printable ASCII.
    ProjectTextInvalid,
    /// The length of a segment is not a multiple of a word.
    SegmentLengthInvalid {
        /// The index of the segment, counted from 0.
        index: u8,
        /// Its length in bytes.
        got: u32,
    },
}

print_by_name!(ImageError);

impl ImageError {
    /// Returns the number of the kind of error; numbers are never reused.
    #[must_use]
    pub const fn code(&self) -> u16 {
        match self {
            Self::TooShort { .. } => 1,
            Self::NotAnImage { .. } => 2,
            Self::SegmentCountInvalid { .. } => 3,
            Self::ChipUnknown { .. } => 4,
            Self::DescriptorMissing { .. } => 5,
            Self::VersionTextInvalid => 6,
            Self::ProjectTextInvalid => 7,
            Self::SegmentLengthInvalid { .. } => 8,
        }
    }
}

impl From<ImageError> for FormatError {
    fn from(error: ImageError) -> Self {
        Self { format: "ESP-IDF", code: error.code() }
    }
}

impl ImageError {
    /// Returns the number that ESP-IDF returns in the same case: `ESP_ERR_OTA_VALIDATE_FAILED`.
    #[must_use]
    pub const fn esp_err(&self) -> i32 {
        0x1503
    }
}

impl Image {
    /// Parses the image at the start of `bytes`.
    ///
    /// # Errors
    /// [`ImageError`] for the first error found.
    pub fn parse(bytes: &[u8]) -> Result<Self, ImageError> {
        let got = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        let need = HEAD_BYTES as u32;
        let mut walk = Walk::new(bytes.first_chunk().ok_or(ImageError::TooShort { got, need })?, got)?;
        while let Some(at) = walk.next()? {
            walk.step(take(bytes, at as usize))?;
        }
        walk.image()
    }

    /// Reads the image at the start of a slot. An invalid image is re-read once, to mask a transient bit error.
    ///
    /// # Cancel safety
    /// Nothing is written, so cancellation has no effect.
    ///
    /// # Errors
    /// [`Fault::Read`]; the inner error if there is no valid image.
    pub async fn read<F: Flash>(flash: &mut F, region: Region) -> Result<Result<Self, ImageError>, Fault> {
        match Self::read_once(flash, region).await? {
            Ok(image) => Ok(Ok(image)),
            Err(_) => Self::read_once(flash, region).await,
        }
    }

    async fn read_once<F: Flash>(flash: &mut F, region: Region) -> Result<Result<Self, ImageError>, Fault> {
        let mut walk = match Walk::begin(flash, region).await? {
            Ok(walk) => walk,
            Err(error) => return Ok(Err(error)),
        };
        loop {
            let at = match walk.next() {
                Ok(Some(at)) => at,
                Ok(None) => return Ok(walk.image()),
                Err(error) => return Ok(Err(error)),
            };
            let header = segment_header(flash, region, at).await?;
            if let Err(error) = walk.step(header) {
                return Ok(Err(error));
            }
        }
    }
}

impl Descriptor {
    /// Reads the descriptor of the image at the start of a slot, of which only the head must be present. Otherwise the
    /// same as [`Image::read`].
    ///
    /// # Errors
    /// See [`Image::read`].
    pub async fn read<F: Flash>(flash: &mut F, region: Region) -> Result<Result<Self, ImageError>, Fault> {
        match Walk::begin(flash, region).await? {
            Ok(walk) => Ok(Ok(walk.descriptor)),
            Err(_) => Ok(Walk::begin(flash, region).await?.map(|walk| walk.descriptor)),
        }
    }
}

/// Reads the eight bytes at `at`, in whole words. A region consists of whole sectors, so the words are inside it.
async fn segment_header<F: Flash>(flash: &mut F, region: Region, at: u32) -> Result<[u8; 8], Fault> {
    let word_bytes = flash::word_bytes::<F>();
    let start = at - at % word_bytes;
    let len = (at + SEGMENT_HEADER_BYTES).next_multiple_of(word_bytes) - start;
    let mut words = [0; 2 * WORD_BYTES_MAX];
    flash::read(flash, region.at(start), &mut words[..len as usize]).await?;
    Ok(take(&words, (at - start) as usize))
}

/// The walk over the segments, which finds the end of the image.
struct Walk {
    descriptor: Descriptor,
    descriptor_magic: u32,
    segments: u8,
    digest_bytes: u32,
    limit_bytes: u32,
    /// The index and offset of the next segment.
    index: u8,
    at: u32,
}

impl Walk {
    /// Reads the head of an image.
    async fn begin<F: Flash>(flash: &mut F, region: Region) -> Result<Result<Self, ImageError>, Fault> {
        let (got, need) = (region.len_bytes(), HEAD_BYTES as u32);
        if got < need {
            return Ok(Err(ImageError::TooShort { got, need }));
        }
        let mut head = [0; HEAD_BYTES];
        flash::read(flash, region.at(0), &mut head).await?;
        Ok(Self::new(&head, got))
    }

    fn new(head: &[u8; HEAD_BYTES], limit_bytes: u32) -> Result<Self, ImageError> {
        if head[0] != MAGIC {
            return Err(ImageError::NotAnImage { magic: head[0] });
        }
        let segments = head[AT_SEGMENT_COUNT];
        if segments == 0 || segments > SEGMENTS_MAX {
            return Err(ImageError::SegmentCountInvalid { got: segments });
        }
        let hardware = hardware(u16_at(head, AT_CHIP))?;
        let descriptor_magic = u32_at(head, AT_DESCRIPTOR);
        if descriptor_magic != DESCRIPTOR_MAGIC {
            return Err(ImageError::DescriptorMissing { magic: descriptor_magic });
        }
        let descriptor = Descriptor {
            hardware,
            version: version(take(head, AT_VERSION)).ok_or(ImageError::VersionTextInvalid)?,
            security_counter: u32_at(head, AT_SECURE_VERSION),
            project: Text::parse(take(head, AT_PROJECT)).ok_or(ImageError::ProjectTextInvalid)?,
        };
        let digest_bytes = if head[AT_DIGEST_APPENDED] == 1 { DIGEST_BYTES } else { 0 };
        Ok(Self { descriptor, descriptor_magic, segments, digest_bytes, limit_bytes, index: 0, at: HEADER_BYTES })
    }

    /// Returns the offset of the next segment's header, inside the limit; `None` after the last segment.
    fn next(&self) -> Result<Option<u32>, ImageError> {
        if self.index == self.segments {
            return Ok(None);
        }
        self.within(u64::from(self.at) + u64::from(SEGMENT_HEADER_BYTES))?;
        Ok(Some(self.at))
    }

    fn step(&mut self, header: [u8; 8]) -> Result<(), ImageError> {
        let (index, got) = (self.index, u32_at(&header, 4));
        if !got.is_multiple_of(4) {
            return Err(ImageError::SegmentLengthInvalid { index, got });
        }
        if index == 0 && got < DESCRIPTOR_BYTES {
            return Err(ImageError::DescriptorMissing { magic: self.descriptor_magic });
        }
        self.at = self.within(u64::from(self.at) + u64::from(SEGMENT_HEADER_BYTES) + u64::from(got))?;
        self.index += 1;
        Ok(())
    }

    fn image(&self) -> Result<Image, ImageError> {
        let checksum_end = (u64::from(self.at) + 1).next_multiple_of(u64::from(CHECKSUM_BLOCK_BYTES));
        let image_bytes = self.within(checksum_end + u64::from(self.digest_bytes))?;
        Ok(Image { descriptor: self.descriptor, image_bytes })
    }

    /// Returns `end` as an offset if it is within the limit.
    fn within(&self, end: u64) -> Result<u32, ImageError> {
        let need = u32::try_from(end).unwrap_or(u32::MAX);
        if end <= u64::from(self.limit_bytes) {
            Ok(need)
        } else {
            Err(ImageError::TooShort { got: self.limit_bytes, need })
        }
    }
}

fn hardware(got: u16) -> Result<HardwareId, ImageError> {
    let (_, name) = CHIPS.iter().find(|(number, _)| *number == got).ok_or(ImageError::ChipUnknown { got })?;
    Ok(HardwareId::new(name).expect("all chip names are short and printable"))
}

fn version(bytes: [u8; TEXT_BYTES]) -> Option<Version> {
    let text = Text::parse(bytes)?;
    text.as_str().strip_prefix('v').unwrap_or(text.as_str()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::super::super::super::loaders::esp_idf::testing::{image as made, put_text as text};
    use super::super::super::super::testing::{Ram, run};
    use super::*;
    use proptest::prelude::*;
    use std::vec::Vec;

    fn image(segments: &[u32], digest: bool) -> Vec<u8> {
        made(segments, digest, "v1.2.3")
    }

    fn with(at: usize, byte: u8) -> Result<Image, ImageError> {
        let mut bytes = image(&[256, 64], false);
        bytes[at] = byte;
        Image::parse(&bytes)
    }

    #[test]
    fn an_image_says_what_it_is() {
        let found = Image::parse(&image(&[256, 64], true)).unwrap().descriptor;
        assert_eq!(found.hardware.as_str(), "esp32c3");
        assert_eq!(found.version, Version::new(1, 2, 3));
        assert_eq!((found.security_counter, found.project.as_str()), (7, "blinky"));
    }

    #[test]
    fn the_length_is_the_files() {
        for segments in [&[256][..], &[256, 4], &[260, 4], &[264, 4], &[272], &[256; 16]] {
            for digest in [false, true] {
                let bytes = image(segments, digest);
                let found = Image::parse(&bytes).unwrap();
                assert_eq!(found.image_bytes as usize, bytes.len(), "{segments:?} {digest}");
                let cut = Image::parse(&bytes[..bytes.len() - 1]);
                let need = found.image_bytes;
                assert_eq!(cut, Err(ImageError::TooShort { got: need - 1, need }), "{segments:?} {digest}");
            }
        }
    }

    #[test]
    fn what_is_no_image_is_refused_by_name() {
        assert_eq!(Image::parse(&[MAGIC; 127]), Err(ImageError::TooShort { got: 127, need: 128 }));
        assert_eq!(with(0, 0xFF), Err(ImageError::NotAnImage { magic: 0xFF }));
        assert_eq!(with(AT_SEGMENT_COUNT, 0), Err(ImageError::SegmentCountInvalid { got: 0 }));
        assert_eq!(with(AT_SEGMENT_COUNT, 17), Err(ImageError::SegmentCountInvalid { got: 17 }));
        assert_eq!(with(AT_CHIP + 1, 1), Err(ImageError::ChipUnknown { got: 0x105 }));
        assert_eq!(with(AT_DESCRIPTOR, 0), Err(ImageError::DescriptorMissing { magic: 0xABCD_5400 }));
        assert_eq!(with(AT_PROJECT, 0x80), Err(ImageError::ProjectTextInvalid));
        assert_eq!(with(28, 2), Err(ImageError::SegmentLengthInvalid { index: 0, got: 258 }));
        assert!(matches!(with(31, 0xFF), Err(ImageError::TooShort { got: 368, .. })));
        let short = Image::parse(&image(&[252, 64], false));
        assert_eq!(short, Err(ImageError::DescriptorMissing { magic: DESCRIPTOR_MAGIC }));
        assert_eq!(ImageError::VersionTextInvalid.esp_err(), 0x1503);
    }

    #[test]
    fn a_version_is_three_numbers_with_or_without_a_v() {
        let mut bytes = image(&[256], false);
        for (version, expected) in [
            ("1.2.3", Ok(Version::new(1, 2, 3))),
            ("v0.0.65536", Ok(Version::new(0, 0, 65_536))),
            ("v1.2.3-4-gabcdef-dirty", Err(ImageError::VersionTextInvalid)),
            ("1.2", Err(ImageError::VersionTextInvalid)),
            ("vv1.2.3", Err(ImageError::VersionTextInvalid)),
            ("", Err(ImageError::VersionTextInvalid)),
            ("1.2.3\u{7f}", Err(ImageError::VersionTextInvalid)),
        ] {
            text(&mut bytes, AT_VERSION, version);
            assert_eq!(Image::parse(&bytes).map(|image| image.descriptor.version), expected, "{version:?}");
        }
    }

    fn flash_reads_what_bytes_say<const R: usize>(segments: &[u32]) {
        let mut bytes = image(segments, true);
        let expected = Image::parse(&bytes);
        bytes.resize(2 * 4096, 0xFF);
        let mut flash = Ram::<R, 4, 4096>::holding([&[0; 4096][..], &bytes].concat());
        assert_eq!(run(Image::read(&mut flash, Region::new(4096, 2 * 4096))), Ok(expected), "R {R} {segments:?}");
        let small = run(Image::read(&mut flash, Region::new(4096, 288))).unwrap();
        assert!(matches!(small, Err(ImageError::TooShort { got: 288, .. })), "{small:?}");
        assert_eq!(run(Image::read(&mut flash, Region::new(0, 4096))), Ok(Err(ImageError::NotAnImage { magic: 0 })));
    }

    #[test]
    fn flash_reads_the_same_as_bytes_whatever_its_word() {
        for segments in [&[256, 4, 8, 12][..], &[260, 20, 36], &[276, 44]] {
            flash_reads_what_bytes_say::<1>(segments);
            flash_reads_what_bytes_say::<4>(segments);
            flash_reads_what_bytes_say::<32>(segments);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_image_or_refused(mut bytes in proptest::collection::vec(any::<u8>(), 0..700), chip in 0_u8..40) {
            let _ = Image::parse(&bytes);
            let good = image(&[256], false);
            let len = bytes.len().min(112);
            bytes[..len].copy_from_slice(&good[..len]);
            if len == 112 {
                bytes[AT_CHIP] = chip;
                bytes[AT_SEGMENT_COUNT] = chip;
            }
            if let Ok(image) = Image::parse(&bytes) {
                prop_assert!(image.image_bytes as usize <= bytes.len());
            }
        }
    }

    #[test]
    fn the_number_of_an_error_never_changes() {
        let errors = [
            ImageError::TooShort { got: 0, need: 0 },
            ImageError::NotAnImage { magic: 0 },
            ImageError::SegmentCountInvalid { got: 0 },
            ImageError::ChipUnknown { got: 0 },
            ImageError::DescriptorMissing { magic: 0 },
            ImageError::VersionTextInvalid,
            ImageError::ProjectTextInvalid,
            ImageError::SegmentLengthInvalid { index: 0, got: 0 },
        ];
        for (error, code) in errors.into_iter().zip(1..) {
            assert_eq!(FormatError::from(error), FormatError { format: "ESP-IDF", code });
        }
    }

    #[test]
    fn a_part_of_an_image_of_any_length_is_too_short() {
        let whole = image(&[256, 64], false);
        for len in 0..whole.len() {
            assert!(matches!(Image::parse(&whole[..len]), Err(ImageError::TooShort { .. })), "{len} bytes");
        }
    }

    #[test]
    fn a_region_must_hold_at_least_the_head() {
        let mut bytes = image(&[256, 64], false);
        bytes.resize(4096, 0xFF);
        let mut flash = Ram::<4, 4, 4096>::holding(bytes);
        let need = HEAD_BYTES as u32;
        for got in [0, need - 4, need, need + 4] {
            let begun = run(Walk::begin(&mut flash, Region::new(0, got))).unwrap().map(|walk| walk.limit_bytes);
            assert_eq!(begun, if got < need { Err(ImageError::TooShort { got, need }) } else { Ok(got) });
        }
    }
}
