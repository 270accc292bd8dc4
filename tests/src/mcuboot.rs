//! A model of MCUboot, swapping or in place: it reads the trailers, decides by MCUboot's table, and leaves the trailer
//! contents that MCUboot leaves. Written from its source and not from pal's, so that the two are independent. Its swap is
//! never cut: resuming one is covered by MCUboot's own simulator.

use ota_pal::{Flash, Region, poll_ready};
use sha2::{Digest as _, Sha256};

use crate::nor::{Nor, View};
use crate::rng::Rng;

/// The magic of the default alignment, and what ends that of any other.
const MAGIC_OF_8: [u8; 16] =
    [0x77, 0xC2, 0x95, 0xF3, 0x60, 0xD2, 0xEF, 0x7F, 0x35, 0x52, 0x50, 0x0F, 0x2C, 0xB6, 0x79, 0x80];
const MAGIC_TAIL: [u8; 14] = [0x2D, 0xE1, 0x5D, 0x29, 0x41, 0x0B, 0x8D, 0x77, 0x67, 0x9C, 0x11, 0x0F, 0x1F, 0x8A];

/// What a boot did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Booted {
    /// Started what the primary slot held.
    AsBefore,
    /// Swapped on trial: reverted at the next boot unless the image is confirmed.
    OnTrial,
    /// Swapped permanently.
    ForGood,
    /// Swapped back.
    Reverted,
    /// The image that was marked was no image: MCUboot erased it.
    Erased,
    /// The primary slot's trailer could not be read: MCUboot stops. No program runs any more.
    Stopped,
}

/// MCUboot of a device with words of `WORD` and sectors of `SECTOR` bytes, whose alignment is the larger of 8 and the word.
pub struct Mcuboot<const WORD: usize, const SECTOR: usize> {
    nor: Nor,
    primary: Region,
    secondary: Region,
}

/// The words of a trailer: the magic if it can be read, then the flags.
struct Words {
    magic: Vec<u8>,
    image_ok: u8,
    copy_done: u8,
}

impl<const WORD: usize, const SECTOR: usize> Mcuboot<WORD, SECTOR> {
    const ALIGN: usize = if WORD > 8 { WORD } else { 8 };
    const MAGIC_ROOM: usize = 16_usize.next_multiple_of(Self::ALIGN);

    /// That of this flash with these slots, primary first.
    pub fn new(nor: &Nor, [primary, secondary]: [Region; 2]) -> Self {
        Self { nor: nor.clone(), primary, secondary }
    }

    /// The magic that this MCUboot expects.
    pub fn magic() -> Vec<u8> {
        match Self::ALIGN {
            8 => MAGIC_OF_8.to_vec(),
            align => [&(align as u16).to_le_bytes()[..], &MAGIC_TAIL].concat(),
        }
    }

    /// The reset.
    pub fn boot(&self) -> Booted {
        self.nor.power_on();
        self.nor.in_peace(|| self.boot_in_peace())
    }

    /// The reset of one that runs its images in place (`MCUBOOT_DIRECT_XIP_REVERT`): the slot that is started, 0 for the
    /// first, `None` if there is none left.
    pub fn boot_in_place(&self) -> Option<usize> {
        self.nor.power_on();
        self.nor.in_peace(|| {
            loop {
                let slots = [self.primary, self.secondary];
                let versions = slots.map(|slot| version(&self.bytes(slot)));
                let highest = if versions[1] > versions[0] { 1 } else { 0 };
                versions[highest]?;
                if self.starts(slots[highest]) {
                    return Some(highest);
                }
                self.erase(slots[highest]);
            }
        })
    }

    /// Whether the image of a slot is started, which leaves its mark; if not, it is erased.
    fn starts(&self, slot: Region) -> bool {
        let words = self.words(slot).filter(|words| words.magic == Self::magic());
        let Some(words) = words else { return false };
        if (words.copy_done == 0x01 && words.image_ok != 0x01) || image_bytes(&self.bytes(slot)).is_none() {
            return false;
        }
        if words.copy_done == 0xFF {
            let at = slot.offset_bytes() + slot.len_bytes() - (Self::MAGIC_ROOM + 2 * Self::ALIGN) as u32;
            let mut word = [0xFF; 32];
            word[0] = 0x01;
            poll_ready(self.view().write(at, &word[..WORD]))
                .expect("no fault is planned")
                .expect("no fault is planned");
        }
        true
    }

    fn boot_in_peace(&self) -> Booted {
        let Some(primary) = self.words(self.primary) else { return Booted::Stopped };
        let secondary = self.words(self.secondary);
        let good = |words: &Words| words.magic == Self::magic();
        match secondary.filter(good).map(|words| words.image_ok) {
            Some(0xFF) => self.upgrade(Booted::OnTrial),
            Some(0x01) => self.upgrade(Booted::ForGood),
            _ if good(&primary) && primary.image_ok == 0xFF && primary.copy_done == 0x01 => self.swap(Booted::Reverted),
            _ => Booted::AsBefore,
        }
    }

    /// The image is checked before it is swapped in.
    fn upgrade(&self, kind: Booted) -> Booted {
        if image_bytes(&self.bytes(self.secondary)).is_some() {
            return self.swap(kind);
        }
        self.erase(self.secondary);
        Booted::Erased
    }

    fn swap(&self, kind: Booted) -> Booted {
        let [mut first, mut second] = [self.secondary, self.primary].map(|region| self.bytes(region));
        // Neither image reaches into its trailer, whose words are rewritten.
        for image in [&mut first, &mut second] {
            let image_bytes = image_bytes(image).unwrap_or(0);
            image[image_bytes..].fill(0xFF);
        }
        let image_ok_at = first.len() - Self::MAGIC_ROOM - Self::ALIGN;
        first[image_ok_at - Self::ALIGN] = 0x01;
        if kind != Booted::OnTrial {
            first[image_ok_at] = 0x01;
        }
        let magic_at = first.len() - 16;
        first[magic_at..].copy_from_slice(&Self::magic());
        self.put(self.primary, &first);
        self.put(self.secondary, &second);
        kind
    }

    /// `None` if the flash cannot be read there.
    fn words(&self, region: Region) -> Option<Words> {
        let len = 2 * Self::ALIGN + Self::MAGIC_ROOM;
        let mut end = vec![0; len];
        let at = region.offset_bytes() + region.len_bytes() - len as u32;
        poll_ready(self.view().read(at, &mut end)).expect("reading never waits").ok()?;
        let magic = end.split_off(len - 16);
        Some(Words { magic, image_ok: end[Self::ALIGN], copy_done: end[0] })
    }

    fn view(&self) -> View<WORD, SECTOR> {
        View(self.nor.clone())
    }

    fn bytes(&self, region: Region) -> Vec<u8> {
        self.nor.bytes(region.offset_bytes(), region.len_bytes())
    }

    fn erase(&self, region: Region) {
        let erased = self.view().erase_all(region);
        assert!(erased, "MCUboot's own erase");
    }

    /// Erases a slot and writes those of its words that are not erased.
    fn put(&self, region: Region, bytes: &[u8]) {
        self.erase(region);
        let used = bytes.chunks(WORD).enumerate().filter(|(_, word)| word.iter().any(|byte| *byte != 0xFF));
        for (index, word) in used {
            let at = region.offset_bytes() + (index * WORD) as u32;
            poll_ready(self.view().write(at, word)).expect("no fault is planned").expect("no fault is planned");
        }
    }
}

impl<const WORD: usize, const SECTOR: usize> View<WORD, SECTOR> {
    fn erase_all(&mut self, region: Region) -> bool {
        let end = region.offset_bytes() + region.len_bytes();
        poll_ready(self.erase(region.offset_bytes(), end)).is_some_and(|result| result.is_ok())
    }
}

/// The version of an image as MCUboot compares it, if a header is there.
fn version(slot: &[u8]) -> Option<(u8, u8, u16)> {
    let is_image = slot.starts_with(&0x96F3_B83D_u32.to_le_bytes());
    is_image.then(|| (slot[20], slot[21], u16::from_le_bytes([slot[22], slot[23]])))
}

/// Length of the image at the start of a slot, if it is complete: sizes in range, and the digest of its TLV matches.
fn image_bytes(slot: &[u8]) -> Option<usize> {
    let number = |at: usize, len: usize| {
        let field = slot.get(at..at.checked_add(len)?)?;
        Some(field.iter().rev().fold(0_usize, |number, byte| number << 8 | usize::from(*byte)))
    };
    if number(0, 4)? != 0x96F3_B83D {
        return None;
    }
    let hashed_end = number(8, 2)?.checked_add(number(10, 2)?)?.checked_add(number(12, 4)?)?;
    let digest = Sha256::digest(slot.get(..hashed_end)?);
    // Digest first, as all tools write it.
    let is_digest = number(hashed_end, 2)? == 0x6907 && number(hashed_end + 4, 2)? == 0x10;
    let whole = is_digest && slot.get(hashed_end + 8..hashed_end + 40)? == digest.as_slice();
    whole.then_some(hashed_end + number(hashed_end + 2, 2)?)
}

/// An MCUboot image for [`BOARD`](crate::image::BOARD), version 1.0.`patch`, of the given length: at least 200 bytes. Not
/// signed: MCUboot has its own signatures.
pub fn image(patch: u16, security_counter: u32, image_bytes: usize, rng: &mut Rng) -> Vec<u8> {
    let board = crate::image::BOARD.as_bytes();
    let mut protected = [0x50_u16.to_le_bytes(), 4_u16.to_le_bytes()].concat();
    protected.extend(security_counter.to_le_bytes());
    protected.extend([0xA0_u16.to_le_bytes(), (board.len() as u16).to_le_bytes()].concat());
    protected.extend(board);
    let protected_len = protected.len() as u16 + 4;
    let body_len = image_bytes - 64 - usize::from(protected_len) - 40;
    let mut bytes = [0x96F3_B83D_u32.to_le_bytes(), [0; 4]].concat();
    bytes.extend([64_u16.to_le_bytes(), protected_len.to_le_bytes()].concat());
    bytes.extend((body_len as u32).to_le_bytes());
    bytes.extend([0, 0, 0, 0, 1, 0]);
    bytes.extend(patch.to_le_bytes());
    bytes.resize(64, 0);
    bytes.extend(rng.bytes(body_len));
    bytes.extend([0x6908_u16.to_le_bytes(), protected_len.to_le_bytes()].concat());
    bytes.extend(protected);
    let digest = Sha256::digest(&bytes);
    for field in [0x6907_u16, 40, 0x10, 32] {
        bytes.extend(field.to_le_bytes());
    }
    bytes.extend(digest);
    bytes
}
