//! A model of how the bootloader of ESP-IDF, with rollback enabled, selects an image, over the raw bytes of the otadata
//! partition. Written from notes on ESP-IDF 1021229, independently of our adapter. The caller decides which images verify;
//! anti-rollback and the writes of the application are not modelled.

/// One of the two sectors of otadata. Source: esp_flash_partitions.h.
pub const SECTOR_BYTES: usize = 0x1000;
/// The entry at the start of a sector; nothing else of the sector is used.
pub const ENTRY_BYTES: usize = 32;

// States of an entry. Source: esp_flash_partitions.h, esp_ota_img_states_t. Any other number means nothing to the
// bootloader.
/// Chosen, not started yet.
pub const NEW: u32 = 0;
/// Started, and not yet marked valid or invalid by the application.
pub const PENDING_VERIFY: u32 = 1;
/// Marked valid by the application.
pub const VALID: u32 = 2;
/// Marked invalid by the application.
pub const INVALID: u32 = 3;
/// Started, and reset before the application marked it.
pub const ABORTED: u32 = 4;
/// Not on trial: started without rollback protection.
pub const UNDEFINED: u32 = 0xFFFF_FFFF;

const AT_SEQ: usize = 0;
const AT_STATE: usize = 24;
const AT_CRC: usize = 28;
const SEQ_ERASED: u32 = 0xFFFF_FFFF;

/// A partition that can be started, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// The factory partition, which updates never write.
    Factory,
    /// The application partition of this number, counted from 0.
    Ota(u32),
    /// No image verifies: the chip resets repeatedly.
    Nothing,
}

/// A change that the bootloader makes to otadata; the power can be cut in the middle of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// All bytes of this sector become 0xFF.
    Erase {
        /// 0 or 1.
        sector: usize,
    },
    /// This entry is written to the start of an erased sector.
    Write {
        /// 0 or 1.
        sector: usize,
        /// What is written.
        entry: Entry,
    },
}

/// The 32 bytes of an entry, little endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(pub [u8; ENTRY_BYTES]);

/// The partition table, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Application partitions, ota_0 onwards without a gap.
    pub slots: u32,
    /// Whether there is a factory partition.
    pub factory: bool,
}

impl Entry {
    /// An entry with the right crc; the label in the middle stays erased.
    pub fn new(seq: u32, state: u32) -> Self {
        let mut bytes = [0xFF; ENTRY_BYTES];
        bytes[AT_SEQ..AT_SEQ + 4].copy_from_slice(&seq.to_le_bytes());
        bytes[AT_CRC..].copy_from_slice(&crc(seq).to_le_bytes());
        Self(bytes).with_state(state)
    }

    /// The entry of a sector, valid or not.
    pub fn of(otadata: &[u8], sector: usize) -> Self {
        let at = sector * SECTOR_BYTES;
        Self(otadata[at..at + ENTRY_BYTES].try_into().expect("an entry has this length"))
    }

    /// The same but for the state, which the crc does not cover.
    pub fn with_state(mut self, state: u32) -> Self {
        self.0[AT_STATE..AT_CRC].copy_from_slice(&state.to_le_bytes());
        self
    }

    /// Its number: the greater one counts. All ones where it is erased.
    pub fn seq(&self) -> u32 {
        self.number(AT_SEQ)
    }

    /// Its state, or what a cut left of it.
    pub fn state(&self) -> u32 {
        self.number(AT_STATE)
    }

    fn number(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().expect("four bytes"))
    }

    fn crc_fits(&self) -> bool {
        self.number(AT_CRC) == crc(self.seq())
    }

    /// Source: bootloader_common_ota_select_invalid. The CRC is not checked.
    fn is_invalid(&self) -> bool {
        self.seq() == SEQ_ERASED || matches!(self.state(), INVALID | ABORTED)
    }

    /// Source: bootloader_common_ota_select_valid.
    pub fn is_valid(&self) -> bool {
        !self.is_invalid() && self.crc_fits()
    }
}

/// The crc of an entry: over the four bytes of the number only. The function of the ROM complements the start value it is
/// given, all ones, so the register starts at zero. Source: bootloader_common_ota_select_crc, otatool.py.
pub fn crc(seq: u32) -> u32 {
    !seq.to_le_bytes().iter().fold(0, |register, byte| {
        (0..8).fold(register ^ u32::from(*byte), |register, _| {
            (register >> 1) ^ if register & 1 == 1 { 0xEDB8_8320 } else { 0 }
        })
    })
}

/// The entry that counts: of two valid ones that with the greater number, the first of equals.
/// Source: bootloader_common_get_active_otadata, bootloader_common_select_otadata.
pub fn active(entries: &[Entry; 2]) -> Option<usize> {
    match entries.each_ref().map(Entry::is_valid) {
        [true, true] => Some(usize::from(entries[1].seq() > entries[0].seq())),
        [true, false] => Some(0),
        [false, true] => Some(1),
        [false, false] => None,
    }
}

/// Does a step to the end, as NOR flash does: an erase sets all bits, a write only clears some. Never cut.
pub fn whole(otadata: &mut [u8], step: Step) -> bool {
    match step {
        Step::Erase { sector } => otadata[sector * SECTOR_BYTES..][..SECTOR_BYTES].fill(0xFF),
        Step::Write { sector, entry } => {
            for (byte, new) in otadata[sector * SECTOR_BYTES..][..ENTRY_BYTES].iter_mut().zip(entry.0) {
                *byte &= new;
            }
        }
    }
    true
}

/// One boot: the partition that is started, or `None` if the power was cut.
///
/// `does` carries out a step ([`whole`] does so completely) and returns whether the power is still on; `verifies` returns
/// whether the bootloader accepts the image in a partition.
pub fn boot(
    table: Table,
    otadata: &mut [u8],
    verifies: impl Fn(Start) -> bool,
    mut does: impl FnMut(&mut [u8], Step) -> bool,
) -> Option<Start> {
    assert_eq!(otadata.len(), 2 * SECTOR_BYTES, "otadata has two sectors");
    let mut rewrite = |otadata: &mut [u8], sector, entry| {
        does(otadata, Step::Erase { sector }) && does(otadata, Step::Write { sector, entry })
    };
    // First, an image that was started and not marked is aborted. Neither number nor CRC is checked.
    for sector in 0..2 {
        let entry = Entry::of(otadata, sector);
        if entry.state() == PENDING_VERIFY && !rewrite(otadata, sector, entry.with_state(ABORTED)) {
            return None;
        }
    }
    let entries = [Entry::of(otadata, 0), Entry::of(otadata, 1)];
    let untouched = |entry: &Entry| entry.seq() == SEQ_ERASED || !entry.crc_fits();
    let mut is_first = false;
    // Source: bootloader_utility_get_selected_boot_partition. `None` is its FACTORY_INDEX.
    let start = if entries.iter().all(Entry::is_invalid) || table.slots == 0 {
        is_first = entries.iter().all(untouched);
        (!table.factory).then_some(0)
    } else if let Some(sector) = active(&entries) {
        let entry = entries[sector];
        // Any other state, also one that a cut tore, is started and not watched.
        if entry.state() == NEW && !rewrite(otadata, sector, entry.with_state(PENDING_VERIFY)) {
            return None;
        }
        Some(entry.seq().wrapping_sub(1) % table.slots)
    } else {
        None // a crc is wrong: the factory image, and where there is none, all of them
    };
    let found = order(table, start).find(|partition| verifies(*partition)).unwrap_or(Start::Nothing);
    if let (true, Start::Ota(slot)) = (is_first, found)
        && !rewrite(otadata, 0, Entry::new(slot + 1, VALID))
    {
        return None;
    }
    Some(found)
}

/// The order in which images are tried: the chosen one, downwards to the factory image, then upwards from the chosen one.
/// Source: bootloader_utility_load_boot_image.
fn order(table: Table, start: Option<u32>) -> impl Iterator<Item = Start> {
    let down = (0..start.map_or(0, |slot| slot + 1)).rev().map(Start::Ota);
    let up = (start.map_or(0, |slot| slot + 1)..table.slots).map(Start::Ota);
    let exists = move |partition: &Start| match *partition {
        Start::Ota(slot) => slot < table.slots,
        Start::Factory => table.factory,
        Start::Nothing => false,
    };
    down.chain([Start::Factory]).chain(up).filter(exists)
}

#[cfg(test)]
mod tests;
