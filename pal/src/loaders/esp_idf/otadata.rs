//! An entry of ESP-IDF's `otadata` partition: the OTA slot to start, and the state of its image. Pure: `loader`
//! accesses the flash.
//!
//! Source: ESP-IDF `esp_flash_partitions.h`, `bootloader_common_loader.c`, `bootloader_utility.c`, `otatool.py`.

use crate::bytes::{put, u32_at};
use crate::crc::crc32_from_zero;

/// Length of an entry in bytes.
pub const ENTRY_BYTES: usize = 32;

/// The sequence number of erased flash; it names no slot.
pub const SEQUENCE_ERASED: u32 = u32::MAX;

/// The most OTA slots that a partition table can have: the subtypes 0x10..=0x1F.
pub const SLOTS_MAX: u8 = 16;

// Offsets in an entry; numbers are little endian. The label between sequence and state is unused and stays erased.
const AT_STATE: usize = 24;
const AT_CRC: usize = 28;

/// The state of the image of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Chosen and never started. The bootloader changes it to [`PendingVerify`](Self::PendingVerify) before the start.
    New,
    /// Started once. If still so at the next boot, it becomes [`Aborted`](Self::Aborted).
    PendingVerify,
    /// Confirmed.
    Valid,
    /// Refused by the application.
    Invalid,
    /// Rejected by the bootloader, because it was not confirmed.
    Aborted,
    /// Chosen without a trial: the value of erased flash.
    Undefined,
    /// Any other number, left by a torn write. The bootloader starts the image without supervision.
    Other(u32),
}

impl State {
    /// Returns the state of this number; every number has one.
    #[must_use]
    pub const fn parse(number: u32) -> Self {
        match number {
            0 => Self::New,
            1 => Self::PendingVerify,
            2 => Self::Valid,
            3 => Self::Invalid,
            4 => Self::Aborted,
            u32::MAX => Self::Undefined,
            other => Self::Other(other),
        }
    }

    /// Returns the number in flash.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::New => 0,
            Self::PendingVerify => 1,
            Self::Valid => 2,
            Self::Invalid => 3,
            Self::Aborted => 4,
            Self::Undefined => u32::MAX,
            Self::Other(other) => other,
        }
    }

    /// Whether the image waits for a verdict.
    #[must_use]
    pub const fn on_trial(self) -> bool {
        matches!(self, Self::New | Self::PendingVerify)
    }

    /// Whether the image stays: confirmed, or chosen permanently by a program that does not use trials.
    #[must_use]
    pub const fn stays(self) -> bool {
        matches!(self, Self::Valid | Self::Undefined)
    }
}

/// An entry as read from flash, intact or torn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number that names the slot; of two entries the one with the higher number counts.
    pub sequence: u32,
    /// The state of the image. It is not covered by the CRC.
    pub state: State,
    /// The CRC as read; it covers only the sequence number.
    pub crc: u32,
}

impl Entry {
    /// The entry of erased flash.
    pub const ERASED: Self = Self { sequence: SEQUENCE_ERASED, state: State::Undefined, crc: u32::MAX };

    /// Creates an entry with the CRC of `sequence`.
    #[must_use]
    pub fn new(sequence: u32, state: State) -> Self {
        Self { sequence, state, crc: sequence_crc(sequence) }
    }

    /// Parses an entry; any bytes are accepted.
    #[must_use]
    pub fn parse(bytes: &[u8; ENTRY_BYTES]) -> Self {
        Self { sequence: u32_at(bytes, 0), state: State::parse(u32_at(bytes, AT_STATE)), crc: u32_at(bytes, AT_CRC) }
    }

    /// Returns the bytes of this entry.
    #[must_use]
    pub fn emit(&self) -> [u8; ENTRY_BYTES] {
        let mut bytes = [0xFF; ENTRY_BYTES];
        put(&mut bytes, 0, &self.sequence.to_le_bytes());
        put(&mut bytes, AT_STATE, &self.state.number().to_le_bytes());
        put(&mut bytes, AT_CRC, &self.crc.to_le_bytes());
        bytes
    }

    /// Whether the bootloader skips this entry without checking its CRC: erased, or the image was refused.
    #[must_use]
    pub const fn is_passed_over(&self) -> bool {
        self.sequence == SEQUENCE_ERASED || matches!(self.state, State::Invalid | State::Aborted)
    }

    /// Whether the CRC matches the sequence number.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.sequence != SEQUENCE_ERASED && self.crc == sequence_crc(self.sequence)
    }

    /// Whether this is neither an entry nor erased, as left by a power cut.
    #[must_use]
    pub fn is_damaged(&self) -> bool {
        !self.is_whole() && *self != Self::ERASED
    }

    /// Whether the bootloader can choose this entry.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        !self.is_passed_over() && self.is_whole()
    }
}

/// Returns `esp_rom_crc32_le(UINT32_MAX, &sequence, 4)`: the ROM complements its argument, so the register starts at
/// zero.
#[must_use]
pub fn sequence_crc(sequence: u32) -> u32 {
    crc32_from_zero(&sequence.to_le_bytes())
}

/// One of the two sectors of the partition; each has one entry at its start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sector {
    /// The sector at offset 0.
    First,
    /// The sector at offset 0x1000.
    Second,
}

impl Sector {
    /// Both sectors, in order.
    pub const BOTH: [Self; 2] = [Self::First, Self::Second];

    /// Returns the other sector.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// The entries of both sectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entries(pub [Entry; 2]);

impl Entries {
    /// Returns the entry of one sector.
    #[must_use]
    pub const fn of(&self, sector: Sector) -> &Entry {
        match sector {
            Sector::First => &self.0[0],
            Sector::Second => &self.0[1],
        }
    }

    /// Returns the sector whose entry counts: of the valid entries the one with the higher sequence number, the first
    /// if equal.
    #[must_use]
    pub fn active(&self) -> Option<Sector> {
        self.best(Entry::is_valid)
    }

    /// Returns the sector of the entry for which `fits` returns true; of two, the higher sequence number, the first if
    /// equal.
    pub(crate) fn best(&self, fits: impl Fn(&Entry) -> bool) -> Option<Sector> {
        match Sector::BOTH.map(|sector| fits(self.of(sector)).then(|| self.of(sector).sequence)) {
            [None, None] => None,
            [Some(first), Some(second)] if second > first => Some(Sector::Second),
            [Some(_), _] => Some(Sector::First),
            [None, Some(_)] => Some(Sector::Second),
        }
    }
}

/// An application that the bootloader can start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum App {
    /// The factory application.
    Factory,
    /// The application in this OTA slot, counted from 0.
    Ota(u8),
}

/// The number of OTA slots of the partition table, 1..=16; only [`Slots::new`] creates one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slots(u8);

impl Slots {
    /// The two slots of most partition tables.
    pub const TWO: Self = Self(2);

    /// Creates `count` slots; `None` outside 1..=16.
    #[must_use]
    pub const fn new(count: u8) -> Option<Self> {
        if count == 0 || count > SLOTS_MAX { None } else { Some(Self(count)) }
    }

    /// Returns the number of slots.
    #[must_use]
    pub const fn count(self) -> u8 {
        self.0
    }

    /// Returns the slot that a sequence number names.
    #[must_use]
    pub const fn slot_of(self, sequence: u32) -> u8 {
        (sequence.wrapping_sub(1) % self.0 as u32) as u8
    }

    /// Returns the lowest sequence number above `above` that names `slot`, `None` if the numbers are used up.
    #[must_use]
    pub const fn next_sequence(self, slot: u8, above: u32) -> Option<u32> {
        let (count, first) = (self.0 as u32, slot as u32 % self.0 as u32 + 1);
        let rounds = if above < first { 0 } else { (above - first) / count + 1 };
        match rounds.checked_mul(count) {
            Some(steps) => match first.checked_add(steps) {
                Some(SEQUENCE_ERASED) | None => None,
                sequence => sequence,
            },
            None => None,
        }
    }

    /// Returns the slot for an update while `app` runs: the next one, cyclically; the first one after the factory
    /// application.
    #[must_use]
    pub const fn next_slot(self, app: App) -> u8 {
        match app {
            App::Factory => 0,
            App::Ota(slot) => ((slot as u32 + 1) % self.0 as u32) as u8,
        }
    }

    /// Returns the application that the bootloader starts at the next boot if its image is valid. Without a choice it
    /// is the factory application if the partition table has one (`factory`), else the first slot.
    #[must_use]
    pub fn start(self, entries: &Entries, factory: bool) -> App {
        // The rollback is first and does not check the CRC: a pending entry was started before and never confirmed.
        let settled = Entries(entries.0.map(|entry| match entry.state {
            State::PendingVerify => Entry { state: State::Aborted, ..entry },
            _ => entry,
        }));
        match settled.active() {
            Some(sector) => App::Ota(self.slot_of(settled.of(sector).sequence)),
            None if factory => App::Factory,
            None => App::Ota(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn entries(first: Entry, second: Entry) -> Entries {
        Entries([first, second])
    }

    #[test]
    fn the_crc_of_a_sequence_is_the_roms() {
        // Computed by ESP-IDF's otatool: binascii.crc32(struct.pack('<I', sequence), 0xFFFFFFFF).
        for (sequence, crc) in [(1, 0x4743_989A), (2, 0x55F6_3774), (3, 0xED4A_5011), (4, 0x709D_68A8)] {
            assert_eq!(sequence_crc(sequence), crc, "{sequence}");
        }
    }

    #[test]
    fn the_bytes_of_an_entry_never_change() {
        let mut golden = [0xFF; ENTRY_BYTES];
        golden[..4].copy_from_slice(&[2, 0, 0, 0]);
        golden[24..].copy_from_slice(&[1, 0, 0, 0, 0x74, 0x37, 0xF6, 0x55]);
        assert_eq!(Entry::new(2, State::PendingVerify).emit(), golden);
        assert_eq!(Entry::parse(&golden), Entry::new(2, State::PendingVerify));
        assert_eq!(Entry::ERASED.emit(), [0xFF; ENTRY_BYTES]);
    }

    #[test]
    fn an_entry_is_valid_if_it_is_whole_and_not_refused() {
        for state in [State::New, State::PendingVerify, State::Valid, State::Undefined, State::Other(5)] {
            assert!(Entry::new(1, state).is_valid(), "{state:?}");
        }
        for refused in [State::Invalid, State::Aborted] {
            assert!(!Entry::new(1, refused).is_valid(), "{refused:?}");
        }
        assert!(!Entry { crc: 0x4743_989B, ..Entry::new(1, State::Valid) }.is_valid());
        // The CRC of the erased number matches but has no effect.
        assert!(!Entry::new(SEQUENCE_ERASED, State::Valid).is_valid());
        assert!(!Entry::ERASED.is_valid());
    }

    #[test]
    fn the_higher_sequence_is_active_and_of_equal_ones_the_first() {
        let valid = |sequence| Entry::new(sequence, State::Valid);
        assert_eq!(entries(valid(3), valid(4)).active(), Some(Sector::Second));
        assert_eq!(entries(valid(5), valid(4)).active(), Some(Sector::First));
        assert_eq!(entries(valid(4), valid(4)).active(), Some(Sector::First));
        assert_eq!(entries(Entry::new(9, State::Aborted), valid(4)).active(), Some(Sector::Second));
        assert_eq!(entries(valid(4), Entry::ERASED).active(), Some(Sector::First));
        assert_eq!(entries(Entry::ERASED, Entry::new(9, State::Invalid)).active(), None);
    }

    #[test]
    fn an_erased_record_starts_the_factory_application_or_else_the_first_slot() {
        let erased = entries(Entry::ERASED, Entry::ERASED);
        assert_eq!(Slots::TWO.start(&erased, true), App::Factory);
        assert_eq!(Slots::TWO.start(&erased, false), App::Ota(0));
        let torn = Entry { crc: 0, ..Entry::new(2, State::Valid) };
        assert_eq!(Slots::TWO.start(&entries(torn, Entry::ERASED), true), App::Factory);
    }

    #[test]
    fn who_is_still_pending_at_the_next_boot_is_not_started_again() {
        let old = Entry::new(1, State::Valid);
        let start = |state| Slots::TWO.start(&entries(old, Entry::new(2, state)), true);
        assert_eq!(start(State::New), App::Ota(1));
        assert_eq!(start(State::PendingVerify), App::Ota(0));
        assert_eq!(start(State::Valid), App::Ota(1));
    }

    #[test]
    fn the_slots_follow_each_other_round_and_round() {
        let three = Slots::new(3).unwrap();
        let next = [App::Factory, App::Ota(0), App::Ota(1), App::Ota(2)].map(|app| three.next_slot(app));
        assert_eq!(next, [0, 1, 2, 0]);
        assert_eq!([1, 2, 3, 4, 7].map(|sequence| three.slot_of(sequence)), [0, 1, 2, 0, 0]);
        assert_eq!(Slots::TWO.next_slot(App::Ota(1)), 0);
        assert_eq!((Slots::new(0), Slots::new(17)), (None, None));
        assert_eq!(Slots::new(16).map(Slots::count), Some(16));
    }

    #[test]
    fn the_sequence_numbers_end_one_below_the_erased_one() {
        let next = |slot| [4, 3, 2, 1].map(|below| Slots::TWO.next_sequence(slot, u32::MAX - below));
        assert_eq!(next(0), [Some(u32::MAX - 2), Some(u32::MAX - 2), None, None]);
        assert_eq!(next(1), [Some(u32::MAX - 3), Some(u32::MAX - 1), Some(u32::MAX - 1), None]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_entry_and_come_back(mut bytes: [u8; ENTRY_BYTES]) {
            bytes[4..AT_STATE].fill(0xFF);
            prop_assert_eq!(Entry::parse(&bytes).emit(), bytes);
        }

        #[test]
        fn the_next_sequence_is_the_least_that_names_the_slot(count in 1..=SLOTS_MAX, slot in 0..SLOTS_MAX, above: u32) {
            let slots = Slots::new(count).unwrap();
            let slot = slot % count;
            match slots.next_sequence(slot, above) {
                None => prop_assert!(above > u32::MAX - 1 - u32::from(count)),
                Some(next) => {
                    prop_assert!(next > above && next - above <= u32::from(count));
                    prop_assert_eq!(slots.slot_of(next), slot);
                }
            }
        }

        #[test]
        fn an_update_never_goes_to_the_running_slot(count in 2..=SLOTS_MAX, slot in 0..SLOTS_MAX) {
            let slots = Slots::new(count).unwrap();
            prop_assert_ne!(slots.next_slot(App::Ota(slot % count)), slot % count);
        }

        #[test]
        fn a_sequence_damaged_in_any_way_is_not_whole(sequence in 0..u32::MAX, damage in 1_u32..) {
            // CRC-32 of 32 bits is one to one: no other number has this CRC.
            let entry = Entry { sequence: sequence ^ damage, ..Entry::new(sequence, State::New) };
            prop_assert!(!entry.is_whole());
        }
    }

    #[test]
    fn only_an_entry_that_is_neither_whole_nor_erased_is_damaged() {
        let whole = Entry::new(7, State::Aborted);
        for (entry, damaged) in [
            (whole, false),
            (Entry::ERASED, false),
            (Entry { crc: whole.crc ^ 1, ..whole }, true),
            (Entry { sequence: SEQUENCE_ERASED, ..whole }, true),
            (Entry { state: State::Valid, ..Entry::ERASED }, true),
        ] {
            assert_eq!(entry.is_damaged(), damaged, "{entry:?}");
        }
    }

    #[test]
    fn the_next_sequence_is_the_lowest_later_one_of_the_slot() {
        for (slot, above) in (0..2).flat_map(|slot| (0..9).map(move |above| (slot, above))) {
            let lowest = (above + 1..).find(|sequence| Slots::TWO.slot_of(*sequence) == slot);
            assert_eq!(Slots::TWO.next_sequence(slot, above), lowest, "slot {slot} above {above}");
        }
    }
}
