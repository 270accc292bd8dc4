//! NOR flash in memory. It persists across boots, records which ranges are written or erased, and fails or loses power on
//! demand. It does not interpret its contents.

mod chip;
mod fault;
mod memory;

use std::cell::RefCell;
use std::future::pending;
use std::ops::Range;
use std::rc::Rc;

use embedded_storage::nor_flash::NorFlashErrorKind;
use ota_pal::Flash;

use memory::{Memory, Outcome};

pub(crate) use chip::with_view;
pub use chip::{CHIPS, Chip, PLAIN};
pub use fault::{CutEffect, FlashFault, PlannedFault};

/// A flash; its clones are the same flash. Programs use it through a [`View`].
#[derive(Clone)]
pub struct Nor(Rc<RefCell<Memory>>);

impl Nor {
    /// An erased flash with this number of sectors.
    pub fn new(chip: Chip, sectors: usize) -> Self {
        Self(Rc::new(RefCell::new(Memory::new(chip, sectors))))
    }

    /// Another flash with the same contents.
    pub fn copy(&self) -> Self {
        Self(Rc::new(RefCell::new(self.0.borrow().clone())))
    }

    /// The kind of flash.
    pub fn chip(&self) -> Chip {
        self.0.borrow().chip
    }

    /// Its size in bytes.
    pub fn capacity(&self) -> usize {
        self.0.borrow().bytes.len()
    }

    /// Writes `bytes` without counting an operation or a touched range, as a factory does.
    pub fn burn(&self, offset_bytes: u32, bytes: &[u8]) {
        self.0.borrow_mut().burn(offset_bytes as usize, bytes);
    }

    /// Turns it into a part without error correction: a word may be written again, and keeps the bits that both writes leave
    /// set. File systems that append to a block rely on that.
    pub fn takes_words_twice(&self) {
        self.0.borrow_mut().takes_words_twice = true;
    }

    /// A copy of a range.
    pub fn bytes(&self, offset_bytes: u32, len_bytes: u32) -> Vec<u8> {
        let from = offset_bytes as usize;
        self.0.borrow().bytes[from..from + len_bytes as usize].to_vec()
    }

    /// Replaces the planned faults: each position is counted from the previous fault.
    pub fn plan(&self, planned_faults: impl IntoIterator<Item = PlannedFault>) {
        self.0.borrow_mut().planned_faults = planned_faults.into_iter().collect();
    }

    /// Reads the flash with planned faults suspended.
    pub fn in_peace<T>(&self, look: impl FnOnce() -> T) -> T {
        let planned = std::mem::take(&mut self.0.borrow_mut().planned_faults);
        let seen = look();
        self.0.borrow_mut().planned_faults = planned;
        seen
    }

    /// Whether a planned fault has not occurred yet.
    pub fn is_fault_due(&self) -> bool {
        !self.0.borrow().planned_faults.is_empty()
    }

    /// Restores the power, or resets the device.
    pub fn power_on(&self) {
        self.0.borrow_mut().dark = false;
    }

    /// Whether the power is off.
    pub fn is_dark(&self) -> bool {
        self.0.borrow().dark
    }

    /// Writes and erases since the flash was created, interrupted ones included.
    pub fn operations(&self) -> u32 {
        self.0.borrow().operations
    }

    /// The highest erase count of any sector.
    pub fn erases_max(&self) -> u32 {
        self.0.borrow().erases.iter().copied().max().unwrap_or(0)
    }

    /// The ranges that were written or erased since the last call, in order.
    pub fn touched(&self) -> Vec<Range<u32>> {
        std::mem::take(&mut self.0.borrow_mut().touched)
    }
}

/// The flash as a driver with these units hands it out. They must be its chip's.
pub struct View<const WORD: usize, const SECTOR: usize>(pub Nor);

/// A view of a flash of the [`PLAIN`] kind.
pub type PlainView = View<{ PLAIN.word_bytes }, { PLAIN.sector_bytes }>;

async fn result_of(outcome: Outcome) -> Result<(), NorFlashErrorKind> {
    match outcome {
        Outcome::Done | Outcome::Ignored => Ok(()),
        Outcome::Failed | Outcome::Denied => Err(NorFlashErrorKind::Other),
        Outcome::Dark | Outcome::Cut(_) => pending().await,
    }
}

impl<const WORD: usize, const SECTOR: usize> Flash for View<WORD, SECTOR> {
    const READ_SIZE: usize = WORD;
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = SECTOR;

    fn capacity(&self) -> usize {
        self.0.capacity()
    }

    async fn read(&mut self, offset_bytes: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let readable = self.0.0.borrow_mut().read(offset_bytes as usize, out);
        if readable { Ok(()) } else { Err(NorFlashErrorKind::Other) }
    }

    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let outcome = self.0.0.borrow_mut().write(offset_bytes as usize, bytes);
        result_of(outcome).await
    }

    async fn erase(&mut self, from_bytes: u32, to_bytes: u32) -> Result<(), NorFlashErrorKind> {
        let outcome = self.0.0.borrow_mut().erase(from_bytes as usize..to_bytes as usize);
        result_of(outcome).await
    }

    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ota_pal::poll_ready;

    fn flash() -> PlainView {
        View(Nor::new(PLAIN, 2))
    }

    fn cut(at: u32, effect: CutEffect) -> [PlannedFault; 1] {
        [PlannedFault { at, fault: FlashFault::Cut(effect) }]
    }

    #[test]
    fn a_cut_operation_never_returns_and_nothing_comes_after_it() {
        for (effect, left) in [(CutEffect::Before, [0xFF; 4]), (CutEffect::After, [2; 4])] {
            let mut flash = flash();
            flash.0.plan(cut(1, effect));
            assert_eq!(poll_ready(flash.write(0, &[1; 4])), Some(Ok(())));
            assert_eq!(poll_ready(flash.write(4, &[2; 4])), None);
            assert_eq!(poll_ready(flash.write(8, &[3; 4])), None);
            flash.0.power_on();
            assert_eq!(poll_ready(flash.write(8, &[3; 4])), Some(Ok(())));
            assert_eq!(flash.0.bytes(0, 12), [[1; 4], left, [3; 4]].concat());
            assert_eq!(flash.0.operations(), 3);
        }
    }

    #[test]
    fn the_next_fault_counts_from_the_one_before() {
        let mut flash = flash();
        flash.0.plan([
            PlannedFault { at: 1, fault: FlashFault::Cut(CutEffect::Before) },
            PlannedFault { at: 1, fault: FlashFault::Fail },
        ]);
        assert_eq!(poll_ready(flash.write(0, &[1; 4])), Some(Ok(())));
        assert_eq!(poll_ready(flash.write(4, &[1; 4])), None);
        flash.0.power_on();
        assert_eq!(poll_ready(flash.write(4, &[1; 4])), Some(Ok(())));
        assert!(flash.0.is_fault_due());
        assert_eq!(poll_ready(flash.write(8, &[1; 4])), Some(Err(NorFlashErrorKind::Other)));
        assert!(!flash.0.is_fault_due());
    }

    #[test]
    fn a_torn_write_leaves_some_of_it() {
        for (effect, at) in [CutEffect::Head, CutEffect::Tail, CutEffect::Bits]
            .into_iter()
            .flat_map(|effect| (0..8).map(move |at| (effect, at)))
        {
            let mut flash = flash();
            for word in 0..at {
                assert_eq!(poll_ready(flash.write(4096 + 4 * word, &[0; 4])), Some(Ok(())));
            }
            flash.0.plan(cut(0, effect));
            assert_eq!(poll_ready(flash.write(0, &[0; 64])), None);
            let cleared: u32 = flash.0.bytes(0, 64).iter().map(|byte| byte.count_zeros()).sum();
            assert!((1..512).contains(&cleared), "{effect:?}: {cleared}");
        }
    }

    #[test]
    fn a_torn_erase_leaves_some_of_what_was_there() {
        for effect in [CutEffect::Head, CutEffect::Tail, CutEffect::Bits] {
            let mut flash = flash();
            flash.0.burn(0, &[0; 4096]);
            flash.0.plan(cut(0, effect));
            assert_eq!(poll_ready(flash.erase(0, 4096)), None);
            let set: u32 = flash.0.bytes(0, 4096).iter().map(|byte| byte.count_ones()).sum();
            assert!((1..4096 * 8).contains(&set), "{effect:?}: {set}");
        }
    }

    #[test]
    fn unstable_bits_read_differently_until_they_are_erased() {
        let mut flash = flash();
        flash.0.plan(cut(0, CutEffect::Unstable));
        assert_eq!(poll_ready(flash.write(0, &[0; 64])), None);
        flash.0.power_on();
        let mut read = || {
            let mut out = [0; 64];
            assert_eq!(poll_ready(flash.read(0, &mut out)), Some(Ok(())));
            out
        };
        assert_ne!(read(), read());
        assert_eq!(poll_ready(flash.erase(0, 4096)), Some(Ok(())));
        let mut out = [0; 64];
        assert_eq!(poll_ready(flash.read(0, &mut out)), Some(Ok(())));
        assert_eq!(out, [0xFF; 64]);
    }

    #[test]
    fn words_that_error_correction_gave_up_are_read_again_once_they_are_erased() {
        let mut flash = flash();
        flash.0.plan(cut(0, CutEffect::Unreadable));
        assert_eq!(poll_ready(flash.write(0, &[0; 64])), None);
        flash.0.power_on();
        let mut out = [0; 64];
        assert_eq!(poll_ready(flash.read(0, &mut out)), Some(Err(NorFlashErrorKind::Other)));
        assert_eq!(poll_ready(flash.read(64, &mut out)), Some(Ok(())));
        assert_eq!(poll_ready(flash.erase(0, 4096)), Some(Ok(())));
        assert_eq!(poll_ready(flash.read(0, &mut out)), Some(Ok(())));
    }

    #[test]
    #[should_panic(expected = "not erased")]
    fn what_a_cut_erase_left_is_not_erased_whatever_it_reads() {
        let mut flash = flash();
        flash.0.plan(cut(0, CutEffect::After));
        assert_eq!(poll_ready(flash.erase(0, 4096)), None);
        flash.0.power_on();
        let _ = poll_ready(flash.write(0, &[0; 4]));
    }

    #[test]
    #[should_panic(expected = "not erased")]
    fn no_word_is_written_twice() {
        let mut flash = flash();
        assert_eq!(poll_ready(flash.write(0, &[1; 4])), Some(Ok(())));
        let _ = poll_ready(flash.write(0, &[1; 4]));
    }

    #[test]
    fn a_long_erase_can_stop_between_the_sectors_of_the_part() {
        let chip = CHIPS.into_iter().find(|chip| chip.parts.len() > 1).expect("there is one");
        let mut flash: View<4, 65_536> = View(Nor::new(chip, 2));
        flash.0.burn(0, &[0; 131_072]);
        flash.0.plan(cut(0, CutEffect::Between));
        assert_eq!(poll_ready(flash.erase(0, 65_536)), None);
        let bytes = flash.0.bytes(0, 65_536);
        let erased = bytes.iter().take_while(|byte| **byte == 0xFF).count();
        assert!((1..4).any(|parts| erased == parts * 16_384), "{erased}");
        assert!(bytes[erased..].iter().all(|byte| *byte == 0));
    }

    #[test]
    fn a_failed_operation_changes_nothing_and_the_next_one_works() {
        let mut flash = flash();
        flash.0.plan([PlannedFault { at: 0, fault: FlashFault::Fail }]);
        assert!(poll_ready(flash.erase(0, 4096)).is_some_and(|result| result.is_err()));
        assert_eq!(poll_ready(flash.erase(0, 4096)), Some(Ok(())));
        assert_eq!(flash.0.touched(), vec![0..4096; 1]);
        assert_eq!(flash.0.erases_max(), 1);
    }

    #[test]
    fn an_ignored_operation_is_called_done_and_a_misread_flips_one_bit_once() {
        let mut flash = flash();
        flash.0.plan([
            PlannedFault { at: 0, fault: FlashFault::Ignore },
            PlannedFault { at: 1, fault: FlashFault::Misread },
        ]);
        assert_eq!(poll_ready(flash.write(0, &[0; 4])), Some(Ok(())));
        let mut read = || {
            let mut out = [0; 4];
            assert_eq!(poll_ready(flash.read(0, &mut out)), Some(Ok(())));
            u32::from_le_bytes(out).count_zeros()
        };
        assert_eq!([read(), read(), read()], [0, 1, 0]);
    }
}
