//! The image database: the content of each slot, as far as this device verified it or was manufactured with it. It is
//! part of the boot record, so that a row and the booted slot change together. `ota-boot` decides which image is
//! booted.

use core::fmt;

use crate::bytes::{put, take, u16_at, u32_at};
use crate::image::digest::Digest;
use crate::image::slot::{SLOTS_MAX, SlotId};
use crate::image::version::Version;

/// The longest stored source, in bytes; a longer one is truncated.
pub const SOURCE_BYTES_MAX: usize = 32;

/// Rows of the database: one for every slot, the factory slot included.
pub(crate) const ROWS_MAX: usize = SLOTS_MAX + 1;

/// The status of a stored image. It only moves downwards in this list until the slot is rewritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageStatus {
    /// Being received: only the length in the row is valid.
    Receiving,
    /// Complete and signed, never confirmed. On trial, or waiting for it.
    Verified,
    /// Present when the device was manufactured, or before it had a database: confirmed, but its signature was not
    /// verified on this device. A rollback or a fallback may start it, a factory reset may not.
    Preinstalled,
    /// Complete, signed, and confirmed: a rollback or a fallback may start it.
    Confirmed,
    /// Its trial ended without confirmation.
    Failed,
}

impl ImageStatus {
    /// Whether the image was confirmed and has not failed a trial since.
    #[must_use]
    pub const fn was_confirmed(self) -> bool {
        matches!(self, Self::Preinstalled | Self::Confirmed)
    }
}

/// The content of a slot. The slot must still be hashed before its content is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Image {
    /// Its status.
    pub status: ImageStatus,
    /// Its version.
    pub version: Version,
    /// Its security counter.
    pub security_counter: u32,
    /// Its length in bytes.
    pub image_bytes: u32,
    /// The SHA-256 of the whole image.
    pub digest: Digest,
    /// The job that installed it; empty for an image that the device was manufactured with.
    pub source: Source,
}

impl Image {
    /// Creates the row of an image that is being received.
    pub(crate) fn receiving(image_bytes: u32) -> Self {
        let (version, digest, source) = (Version::new(0, 0, 0), Digest([0; 32]), Source::new(""));
        Self { status: ImageStatus::Receiving, version, security_counter: 0, image_bytes, digest, source }
    }
}

/// The first [`SOURCE_BYTES_MAX`] bytes of a job's name.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Source {
    bytes: [u8; SOURCE_BYTES_MAX],
    len: u8,
}

impl Source {
    /// Creates a source from `name`, truncated at a character boundary if it is too long.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut len = name.len().min(SOURCE_BYTES_MAX);
        while !name.is_char_boundary(len) {
            len -= 1;
        }
        let mut bytes = [0; SOURCE_BYTES_MAX];
        put(&mut bytes, 0, &name.as_bytes()[..len]);
        Self { bytes, len: len as u8 }
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        core::str::from_utf8(&self.bytes[..usize::from(self.len)]).unwrap_or_default()
    }
}

impl fmt::Debug for Source {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), out)
    }
}

/// The rows of the database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Images([Option<Image>; ROWS_MAX]);

impl Images {
    /// No rows.
    pub const NONE: Self = Self([None; ROWS_MAX]);

    /// Returns the row of `slot`.
    #[must_use]
    pub const fn get(&self, slot: SlotId) -> Option<&Image> {
        self.0[slot.index()].as_ref()
    }

    /// Sets or removes the row of `slot`.
    pub const fn set(&mut self, slot: SlotId, image: Option<Image>) {
        self.0[slot.index()] = image;
    }

    /// Marks the image in `slot` as failed: its trial ended without confirmation.
    pub fn fail(&mut self, slot: SlotId) {
        if let Some(image) = &mut self.0[slot.index()] {
            image.status = ImageStatus::Failed;
        }
    }

    /// Marks the image in `slot` as confirmed. The status of a previously confirmed image does not change.
    pub fn confirm(&mut self, slot: SlotId) {
        if let Some(image) = self.0[slot.index()].as_mut().filter(|image| !image.status.was_confirmed()) {
            image.status = ImageStatus::Confirmed;
        }
    }

    /// Iterates over the rows from A on, with the factory row last.
    pub fn iter(&self) -> impl Iterator<Item = (SlotId, &Image)> {
        const SLOTS: [SlotId; ROWS_MAX] = [SlotId::A, SlotId::B, SlotId::C, SlotId::D, SlotId::FACTORY];
        SLOTS.iter().zip(&self.0).filter_map(|(slot, image)| Some((*slot, image.as_ref()?)))
    }

    /// Returns the newest image, by version, that was once confirmed and has at least this security counter. Slots for
    /// which `passed_over` returns true, and the factory slot, are excluded.
    #[must_use]
    pub fn newest_confirmed(&self, security_counter_min: u32, passed_over: impl Fn(SlotId) -> bool) -> Option<SlotId> {
        let mut newest: Option<(SlotId, Version)> = None;
        for (slot, image) in self.iter() {
            let is_usable = image.status.was_confirmed() && image.security_counter >= security_counter_min;
            let is_newest = newest.is_none_or(|(_, version)| image.version >= version);
            if is_usable && is_newest && !slot.is_factory() && !passed_over(slot) {
                newest = Some((slot, image.version));
            }
        }
        newest.map(|(slot, _)| slot)
    }
}

pub(crate) const ROW_BYTES: usize = 84;

// Offsets in a row; numbers are little endian.
const AT_STATUS: usize = 1;
const AT_SOURCE_LEN: usize = 2;
const AT_ZERO: usize = 3;
const AT_VERSION: usize = 4;
const AT_SECURITY_COUNTER: usize = 12;
const AT_IMAGE_BYTES: usize = 16;
const AT_DIGEST: usize = 20;
const AT_SOURCE: usize = 52;

const RECEIVING: u8 = 1;
const VERIFIED: u8 = 2;
const CONFIRMED: u8 = 3;
const FAILED: u8 = 4;
const PREINSTALLED: u8 = 5;

/// Returns the bytes of a row; the number of the slot is first.
pub(crate) fn emit(slot: SlotId, image: &Image) -> [u8; ROW_BYTES] {
    let mut row = [0; ROW_BYTES];
    row[0] = slot.number();
    row[AT_STATUS] = match image.status {
        ImageStatus::Receiving => RECEIVING,
        ImageStatus::Verified => VERIFIED,
        ImageStatus::Preinstalled => PREINSTALLED,
        ImageStatus::Confirmed => CONFIRMED,
        ImageStatus::Failed => FAILED,
    };
    row[AT_SOURCE_LEN] = image.source.len;
    put(&mut row, AT_VERSION, &image.version.major.to_le_bytes());
    put(&mut row, AT_VERSION + 2, &image.version.minor.to_le_bytes());
    put(&mut row, AT_VERSION + 4, &image.version.patch.to_le_bytes());
    put(&mut row, AT_SECURITY_COUNTER, &image.security_counter.to_le_bytes());
    put(&mut row, AT_IMAGE_BYTES, &image.image_bytes.to_le_bytes());
    put(&mut row, AT_DIGEST, &image.digest.0);
    put(&mut row, AT_SOURCE, &image.source.bytes);
    row
}

/// Parses a row; `None` if it is invalid.
pub(crate) fn parse(row: &[u8; ROW_BYTES]) -> Option<(SlotId, Image)> {
    let status = match row[AT_STATUS] {
        RECEIVING => ImageStatus::Receiving,
        VERIFIED => ImageStatus::Verified,
        PREINSTALLED => ImageStatus::Preinstalled,
        CONFIRMED => ImageStatus::Confirmed,
        FAILED => ImageStatus::Failed,
        _ => return None,
    };
    let source = Source { bytes: take(row, AT_SOURCE), len: row[AT_SOURCE_LEN] };
    core::str::from_utf8(source.bytes.get(..usize::from(source.len))?).ok()?;
    let version = Version {
        major: u16_at(row, AT_VERSION),
        minor: u16_at(row, AT_VERSION + 2),
        patch: u32_at(row, AT_VERSION + 4),
    };
    let image = Image {
        status,
        version,
        security_counter: u32_at(row, AT_SECURITY_COUNTER),
        image_bytes: u32_at(row, AT_IMAGE_BYTES),
        digest: Digest(take(row, AT_DIGEST)),
        source,
    };
    (row[AT_ZERO] == 0).then_some((SlotId::from_number(row[0])?, image))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(patch: u32, status: ImageStatus) -> Image {
        Image {
            status,
            version: Version::new(1, 0, patch),
            security_counter: patch,
            image_bytes: 0x0102_0304,
            digest: Digest([0xD1; 32]),
            source: Source::new("job-7"),
        }
    }

    #[test]
    fn the_bytes_of_a_row_never_change() {
        let row = emit(SlotId::B, &image(5, ImageStatus::Confirmed));
        assert_eq!(row[..20], [1, 3, 5, 0, 1, 0, 0, 0, 5, 0, 0, 0, 5, 0, 0, 0, 4, 3, 2, 1]);
        assert_eq!(row[20..52], [0xD1; 32]);
        assert_eq!(row[52..57], *b"job-7");
        assert!(row[57..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_row_reads_back_what_it_says() {
        for status in [
            ImageStatus::Receiving,
            ImageStatus::Verified,
            ImageStatus::Preinstalled,
            ImageStatus::Confirmed,
            ImageStatus::Failed,
        ] {
            for slot in [SlotId::A, SlotId::D, SlotId::FACTORY] {
                assert_eq!(parse(&emit(slot, &image(5, status))), Some((slot, image(5, status))));
            }
        }
    }

    #[test]
    fn a_row_that_says_what_no_row_says_is_none() {
        let good = emit(SlotId::B, &image(5, ImageStatus::Confirmed));
        for (at, value) in [(0, 4), (0, 0xFF), (1, 0), (1, 6), (2, 33), (3, 1), (52, 0xFF)] {
            let mut bad = good;
            bad[at] = value;
            assert_eq!(parse(&bad), None, "byte {at} = {value}");
        }
    }

    #[test]
    fn a_long_source_is_cut_between_characters() {
        assert_eq!(Source::new("").as_str(), "");
        assert_eq!(Source::new(&"j".repeat(40)).as_str(), "j".repeat(32));
        let umlauts = "ü".repeat(20);
        assert_eq!(Source::new(&umlauts).as_str(), "ü".repeat(16));
        assert_eq!(Source::new(&std::format!("j{umlauts}")).as_str(), std::format!("j{}", "ü".repeat(15)));
    }

    #[test]
    fn a_confirmation_leaves_the_row_of_an_image_that_was_preinstalled() {
        let mut images = Images::NONE;
        for (before, after) in [
            (ImageStatus::Verified, ImageStatus::Confirmed),
            (ImageStatus::Confirmed, ImageStatus::Confirmed),
            (ImageStatus::Preinstalled, ImageStatus::Preinstalled),
        ] {
            images.set(SlotId::A, Some(image(5, before)));
            images.confirm(SlotId::A);
            assert_eq!(images.get(SlotId::A), Some(&image(5, after)));
        }
    }

    #[test]
    fn the_newest_good_image_is_the_one_of_the_highest_version_that_may_still_run() {
        let mut images = Images::NONE;
        images.set(SlotId::A, Some(image(3, ImageStatus::Confirmed)));
        images.set(SlotId::B, Some(image(9, ImageStatus::Failed)));
        images.set(SlotId::C, Some(image(5, ImageStatus::Confirmed)));
        images.set(SlotId::D, Some(image(7, ImageStatus::Verified)));
        images.set(SlotId::FACTORY, Some(image(8, ImageStatus::Confirmed)));
        assert_eq!(images.newest_confirmed(0, |_| false), Some(SlotId::C));
        assert_eq!(images.newest_confirmed(0, |slot| slot == SlotId::C), Some(SlotId::A));
        assert_eq!(images.newest_confirmed(4, |slot| slot == SlotId::C), None, "A's security counter is 3");
        assert_eq!(images.newest_confirmed(6, |_| false), None);
    }
}
