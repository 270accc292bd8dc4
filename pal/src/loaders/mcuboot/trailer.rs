//! The trailer at the end of an MCUboot slot: the offsets and values of its words, and MCUboot's reaction to them.
//! Pure: `marks` reads and writes.
//!
//! Source: MCUboot, docs/design.md "Image Trailer"; boot/bootutil: bootutil_public.h and .c, bootutil_misc.c, loader.c.

use crate::print::print_by_name;
use crate::store::region::WORD_BYTES_MAX;

/// Length of the magic in bytes.
pub const MAGIC_BYTES: usize = 16;

/// The most sectors of a slot, unless MCUboot is built with another `BOOT_MAX_IMG_SECTORS`.
pub const SLOT_SECTORS_MAX_DEFAULT: u32 = 128;

/// The longest part of a trailer that this crate reads, in bytes: everything except swap status and encryption keys.
pub const WORDS_BYTES_MAX: usize = 4 * WORD_BYTES_MAX + 32;

/// Words of swap status that MCUboot writes for each sector.
const STATUS_WORDS_PER_SECTOR: u32 = 3;

const FLAG_SET: u8 = 0x01;
const ERASED: u8 = 0xFF;

/// The magic of MCUboot's default alignment, 8.
const MAGIC_OF_8: [u8; MAGIC_BYTES] =
    [0x77, 0xC2, 0x95, 0xF3, 0x60, 0xD2, 0xEF, 0x7F, 0x35, 0x52, 0x50, 0x0F, 0x2C, 0xB6, 0x79, 0x80];

/// The part after the two bytes of the alignment, in the magic of any other alignment.
const MAGIC_TAIL: [u8; MAGIC_BYTES - 2] =
    [0x2D, 0xE1, 0x5D, 0x29, 0x41, 0x0B, 0x8D, 0x77, 0x67, 0x9C, 0x11, 0x0F, 0x1F, 0x8A];

/// MCUboot's `BOOT_MAX_ALIGN`: 8, 16 or 32 bytes. Boot loader, `imgtool --max-align` and this value must agree.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Align(u32);

/// Why a trailer is not supported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrailerError {
    /// Not 8, 16 or 32.
    AlignUnsupported {
        /// The value given.
        got: u32,
    },
    /// The words of the flash are longer than the trailer's: each flag would be part of a word.
    AlignBelowWord {
        /// The trailer's alignment.
        align_bytes: u32,
        /// The flash's word.
        word_bytes: u32,
    },
    /// The slot has no room for an image besides its trailer.
    SlotTooSmall {
        /// Length of the slot.
        slot_bytes: u32,
        /// Length of the trailer.
        trailer_bytes: u32,
    },
    /// A slot does not consist of whole sectors inside the flash, has more of them than MCUboot keeps status for, or
    /// overlaps the other slot.
    SlotUnsupported {
        /// Length of the slot.
        slot_bytes: u32,
    },
}

print_by_name!(TrailerError);

impl Align {
    /// The alignment of most flash, and MCUboot's default.
    pub const EIGHT: Self = Self(8);

    /// Creates the alignment of `bytes`.
    ///
    /// # Errors
    /// [`TrailerError::AlignUnsupported`] unless it is 8, 16 or 32.
    pub const fn new(bytes: u32) -> Result<Self, TrailerError> {
        match bytes {
            8 | 16 | 32 => Ok(Self(bytes)),
            got => Err(TrailerError::AlignUnsupported { got }),
        }
    }

    /// The alignment in bytes.
    #[must_use]
    pub const fn bytes(self) -> u32 {
        self.0
    }

    /// The magic at the end of a marked slot.
    #[must_use]
    pub fn magic(self) -> [u8; MAGIC_BYTES] {
        if self == Self::EIGHT {
            return MAGIC_OF_8;
        }
        let mut magic = [0; MAGIC_BYTES];
        magic[..2].copy_from_slice(&(self.0 as u16).to_le_bytes());
        magic[2..].copy_from_slice(&MAGIC_TAIL);
        magic
    }

    /// The length in bytes of the words that contain the magic; the magic is at their end.
    pub(crate) const fn magic_room_bytes(self) -> u32 {
        (MAGIC_BYTES as u32).next_multiple_of(self.0)
    }

    /// The length in bytes of the words that this crate reads: swap size, swap info, copy done, image ok, magic.
    pub(crate) const fn words_bytes(self) -> u32 {
        4 * self.0 + self.magic_room_bytes()
    }
}

/// The offsets of the words of a slot's trailer, in bytes from the start of the slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offsets {
    slot_bytes: u32,
    align: Align,
    status_bytes: u32,
}

impl Offsets {
    /// Computes the trailer of a slot of `slot_bytes` whose boot loader keeps swap status for `sectors_max` sectors,
    /// one word of `word_bytes` per step. Images are not encrypted: no space is reserved for keys.
    ///
    /// # Errors
    /// [`TrailerError`] for the first rule broken.
    pub const fn new(slot_bytes: u32, align: Align, word_bytes: u32, sectors_max: u32) -> Result<Self, TrailerError> {
        if word_bytes > align.0 {
            return Err(TrailerError::AlignBelowWord { align_bytes: align.0, word_bytes });
        }
        let Some(steps) = sectors_max.checked_mul(STATUS_WORDS_PER_SECTOR) else {
            return Err(TrailerError::SlotUnsupported { slot_bytes });
        };
        let Some(status_bytes) = steps.checked_mul(word_bytes) else {
            return Err(TrailerError::SlotUnsupported { slot_bytes });
        };
        let trailer_bytes = status_bytes.saturating_add(align.words_bytes());
        if slot_bytes <= trailer_bytes {
            return Err(TrailerError::SlotTooSmall { slot_bytes, trailer_bytes });
        }
        if !slot_bytes.is_multiple_of(align.0) {
            return Err(TrailerError::SlotUnsupported { slot_bytes });
        }
        Ok(Self { slot_bytes, align, status_bytes })
    }

    /// The alignment.
    #[must_use]
    pub const fn align(&self) -> Align {
        self.align
    }

    /// Offset of the magic.
    #[must_use]
    pub const fn magic(&self) -> u32 {
        self.slot_bytes - MAGIC_BYTES as u32
    }

    /// Offset of the words that end with the magic; they are written at once.
    #[must_use]
    pub const fn magic_room(&self) -> u32 {
        self.slot_bytes - self.align.magic_room_bytes()
    }

    /// Offset of the flag of a confirmed image.
    #[must_use]
    pub const fn image_ok(&self) -> u32 {
        self.magic_room() - self.align.0
    }

    /// Offset of the flag of a completed swap, or of a direct-xip image that was started.
    #[must_use]
    pub const fn copy_done(&self) -> u32 {
        self.image_ok() - self.align.0
    }

    /// Offset of the kind of the swap in progress; written by MCUboot.
    #[must_use]
    pub const fn swap_info(&self) -> u32 {
        self.copy_done() - self.align.0
    }

    /// Offset of the size of the swap in progress; written by MCUboot. The first byte that this crate reads.
    #[must_use]
    pub const fn swap_size(&self) -> u32 {
        self.swap_info() - self.align.0
    }

    /// Offset of the whole trailer, MCUboot's swap status included. An image ends at or before it.
    #[must_use]
    pub const fn first(&self) -> u32 {
        self.swap_size() - self.status_bytes
    }
}

/// The state of the magic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Magic {
    /// Valid: the other words count.
    Good,
    /// Erased.
    Unset,
    /// Anything else: torn, or of another alignment.
    Bad,
}

/// The state of a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// Set.
    Set,
    /// Erased.
    Unset,
    /// Anything else.
    Bad,
}

/// The action of MCUboot on two slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SwapType {
    /// Starts the image in the primary slot.
    None,
    /// Swaps, and swaps back at the following boot unless the image is confirmed.
    Test,
    /// Swaps permanently.
    Permanent,
    /// Swaps back.
    Revert,
}

/// The swap method that MCUboot was built with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Swap {
    /// With a scratch area.
    Scratch,
    /// By moving the sectors of the primary slot up by one; one sector must be free.
    Move,
    /// With a secondary slot whose image starts one sector in: its region here begins at that sector. MCUboot's table
    /// has one more row.
    Offset,
}

/// The contents of a trailer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trailer {
    /// Whether the other words count.
    pub magic: Magic,
    /// Whether the image is confirmed.
    pub image_ok: Flag,
    /// Whether a swap was completed, or a direct-xip image was started.
    pub copy_done: Flag,
    /// The swap in progress, [`SwapType::None`] if none or unknown.
    pub swap_type: SwapType,
}

impl Trailer {
    /// The trailer of an erased slot.
    pub const ERASED: Self =
        Self { magic: Magic::Unset, image_ok: Flag::Unset, copy_done: Flag::Unset, swap_type: SwapType::None };

    /// Parses the last bytes of a slot. Any bytes are accepted: torn words read as [`Magic::Bad`] or [`Flag::Bad`], and
    /// missing bytes read as erased.
    #[must_use]
    pub fn parse(slot_end: &[u8], align: Align) -> Self {
        let word = align.bytes() as usize;
        let room = align.magic_room_bytes() as usize;
        let byte = |from_end: usize| {
            let at = slot_end.len().checked_sub(from_end);
            at.and_then(|at| slot_end.get(at)).copied().unwrap_or(ERASED)
        };
        Self {
            magic: parse_magic(slot_end, align),
            image_ok: parse_flag(byte(room + word)),
            copy_done: parse_flag(byte(room + 2 * word)),
            swap_type: parse_swap_info(byte(room + 3 * word)),
        }
    }

    /// Whether MCUboot in direct-xip mode with revert starts the image. It erases an image that has no magic, or that
    /// was started before and is not confirmed.
    #[must_use]
    pub fn is_started_in_place(&self) -> bool {
        let was_started = self.copy_done == Flag::Set;
        self.magic == Magic::Good && !(was_started && self.image_ok != Flag::Set)
    }
}

fn parse_magic(slot_end: &[u8], align: Align) -> Magic {
    match slot_end.last_chunk::<MAGIC_BYTES>() {
        Some(found) if *found == align.magic() => Magic::Good,
        Some(found) if found.iter().any(|byte| *byte != ERASED) => Magic::Bad,
        _ => Magic::Unset,
    }
}

fn parse_flag(byte: u8) -> Flag {
    match byte {
        FLAG_SET => Flag::Set,
        ERASED => Flag::Unset,
        _ => Flag::Bad,
    }
}

/// The low half is the kind of swap, the high half the index of the image on a device with several.
fn parse_swap_info(byte: u8) -> SwapType {
    match byte & 0x0F {
        2 => SwapType::Test,
        3 => SwapType::Permanent,
        4 => SwapType::Revert,
        _ => SwapType::None,
    }
}

/// Returns MCUboot's action at its next boot, row by row of its table; the rows of the secondary slot are first.
#[must_use]
pub fn next_swap(swap: Swap, primary: &Trailer, secondary: &Trailer) -> SwapType {
    let untried = (primary.magic, primary.image_ok, primary.copy_done) == (Magic::Good, Flag::Unset, Flag::Set);
    match (secondary.magic, secondary.image_ok, secondary.copy_done) {
        (Magic::Good, Flag::Unset, Flag::Set) if swap == Swap::Offset => SwapType::Revert,
        (Magic::Good, Flag::Unset, _) => SwapType::Test,
        (Magic::Good, Flag::Set, _) => SwapType::Permanent,
        // Regardless of the secondary slot's magic: depending on it kept bad images running (MCUboot issue 1966).
        _ if untried => SwapType::Revert,
        _ => SwapType::None,
    }
}

#[cfg(test)]
mod tests;
