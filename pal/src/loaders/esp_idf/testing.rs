//! Test support: a flash with an `otadata` partition that loses power at any byte or bit of an operation.

use std::vec;
use std::vec::Vec;

use embedded_storage::nor_flash::NorFlashErrorKind;

use super::super::super::flash::Flash;
use super::super::super::loaders::esp_idf::loader::SECTOR_BYTES;
use super::super::super::loaders::esp_idf::otadata::{ENTRY_BYTES, Entries, Entry};
use crate::store::region::Region;

const SECTOR: usize = SECTOR_BYTES as usize;
/// The partition: the second and the third of four sectors.
pub(crate) const REGION: Region = Region::new(SECTOR_BYTES, 2 * SECTOR_BYTES);
const FLASH_BYTES: usize = 4 * SECTOR;

/// The part of an erase or a write that a power cut leaves done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Tear {
    /// The first bytes.
    Head(usize),
    /// The last bytes.
    Tail(usize),
    /// The bytes in between.
    Middle(usize, usize),
    /// A random choice of the bits of an entry; the number counts of 256.
    Bits { seed: u64, done: u64 },
    /// Every bit of an entry except this one.
    AllBut(usize),
}

impl Tear {
    /// Returns the changed bits of the byte at `index` of `len`.
    fn mask(self, index: usize, len: usize) -> u8 {
        let bits = |done: &dyn Fn(usize) -> bool| {
            (0..8).filter(|bit| done(index * 8 + bit)).fold(0, |mask, bit| mask | 1 << bit)
        };
        match self {
            Self::Head(bytes) if index < bytes => 0xFF,
            Self::Tail(bytes) if index + bytes >= len => 0xFF,
            Self::Middle(from, to) if (from..to).contains(&index) => 0xFF,
            Self::Head(_) | Self::Tail(_) | Self::Middle(..) => 0,
            Self::Bits { .. } | Self::AllBut(_) if index >= ENTRY_BYTES => 0xFF,
            Self::Bits { seed, done } => bits(&|bit| dice(seed ^ (bit as u64) << 32) & 0xFF < done),
            Self::AllBut(spared) => bits(&|bit| bit != spared),
        }
    }
}

/// A number that depends only on `seed` (splitmix64).
fn dice(seed: u64) -> u64 {
    let mut number = seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
    number = (number ^ (number >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    number = (number ^ (number >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    number ^ (number >> 31)
}

/// A flash of words of `W` bytes that loses power in the middle of one operation.
#[derive(Clone)]
pub(crate) struct Nor<const W: usize> {
    pub(crate) bytes: Vec<u8>,
    used: Vec<bool>,
    /// Whether each operation so far was an erase, and its length in bytes.
    pub(crate) ops: Vec<(bool, usize)>,
    pub(crate) cut: Option<(usize, Tear)>,
}

impl<const W: usize> Nor<W> {
    pub(crate) fn holding(entries: [Entry; 2]) -> Self {
        let mut bytes = vec![0x5A; FLASH_BYTES];
        bytes[SECTOR..3 * SECTOR].fill(0xFF);
        for (index, entry) in entries.iter().enumerate() {
            bytes[(1 + index) * SECTOR..][..ENTRY_BYTES].copy_from_slice(&entry.emit());
        }
        Self { bytes, used: vec![true; FLASH_BYTES / W], ops: Vec::new(), cut: None }
    }

    /// Sets the total number of sectors; the additional ones are erased.
    pub(crate) fn with_sectors(mut self, sectors: usize) -> Self {
        self.bytes.resize(sectors * SECTOR, 0xFF);
        self.used.resize(sectors * SECTOR / W, false);
        self
    }

    /// Writes bytes as at manufacture, without an operation.
    pub(crate) fn put(&mut self, at: u32, bytes: &[u8]) {
        self.bytes[at as usize..][..bytes.len()].copy_from_slice(bytes);
    }

    fn is_off(&self) -> bool {
        self.cut.is_some_and(|(at, _)| self.ops.len() > at)
    }

    pub(crate) fn power_on(&mut self) {
        self.cut = None;
        self.ops.clear();
    }

    pub(crate) fn entries(&self) -> Entries {
        Entries([1, 2].map(|sector| Entry::parse(self.bytes[sector * SECTOR..].first_chunk().unwrap())))
    }

    /// Changes the bytes from `at` on to `to`: all of them, unless this is the operation that is cut.
    fn change(&mut self, at: usize, to: &[u8], erase: bool) -> Result<(), NorFlashErrorKind> {
        if self.is_off() {
            return Err(NorFlashErrorKind::Other);
        }
        let tear = self.cut.filter(|(at, _)| *at == self.ops.len()).map(|(_, tear)| tear);
        self.ops.push((erase, to.len()));
        for (index, new) in to.iter().enumerate() {
            let mask = tear.map_or(0xFF, |tear| tear.mask(index, to.len()));
            let byte = &mut self.bytes[at + index];
            *byte = (*byte & !mask) | (new & mask);
        }
        self.used[at / W..(at + to.len()) / W].fill(!erase || tear.is_some());
        if tear.is_some() { Err(NorFlashErrorKind::Other) } else { Ok(()) }
    }
}

impl<const W: usize> Flash for Nor<W> {
    const READ_SIZE: usize = W;
    const WRITE_SIZE: usize = W;
    const ERASE_SIZE: usize = SECTOR;

    fn capacity(&self) -> usize {
        self.bytes.len()
    }
    async fn read(&mut self, offset_bytes: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        assert!((offset_bytes as usize).is_multiple_of(W) && out.len().is_multiple_of(W));
        out.copy_from_slice(&self.bytes[offset_bytes as usize..][..out.len()]);
        if self.is_off() { Err(NorFlashErrorKind::Other) } else { Ok(()) }
    }
    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let at = offset_bytes as usize;
        let words = at / W..(at + bytes.len()) / W;
        assert!(at.is_multiple_of(W) && bytes.len().is_multiple_of(W));
        assert!(self.is_off() || !self.used[words].contains(&true), "a word is written twice at {at}");
        let after: Vec<u8> = bytes.iter().zip(&self.bytes[at..]).map(|(new, old)| new & old).collect();
        self.change(at, &after, false)
    }
    async fn erase(&mut self, from_bytes: u32, to_bytes: u32) -> Result<(), NorFlashErrorKind> {
        self.change(from_bytes as usize, &vec![0xFF; (to_bytes - from_bytes) as usize], true)
    }
    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        if self.is_off() { Err(NorFlashErrorKind::Other) } else { Ok(()) }
    }
}

/// An image for the ESP32-C3 with segments of these lengths, of the project `blinky` with security counter 7. The
/// checksum is omitted: no test here checks it.
pub(crate) fn image(segments: &[u32], digest: bool, version: &str) -> Vec<u8> {
    let mut bytes = vec![0; 24];
    bytes[..2].copy_from_slice(&[0xE9, segments.len() as u8]);
    bytes[12] = 5;
    bytes[23] = u8::from(digest);
    for len in segments {
        bytes.extend(0x3C00_0020_u32.to_le_bytes());
        bytes.extend(len.to_le_bytes());
        bytes.resize(bytes.len() + *len as usize, 0x5A);
    }
    let end = (bytes.len() + 1).next_multiple_of(16) + if digest { 32 } else { 0 };
    bytes.resize(end, 0);
    bytes[32..32 + 256].fill(0);
    bytes[32..36].copy_from_slice(&[0x32, 0x54, 0xCD, 0xAB]);
    bytes[36] = 7;
    put_text(&mut bytes, 48, version);
    put_text(&mut bytes, 80, "blinky");
    bytes
}

/// Writes a text field of the application descriptor.
pub(crate) fn put_text(bytes: &mut [u8], at: usize, text: &str) {
    bytes[at..at + 32].fill(0);
    bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
}
