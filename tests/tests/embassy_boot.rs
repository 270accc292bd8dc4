//! embassy-boot's own boot loader with our marks, over a flash that loses power: the running image is identified by digest,
//! and the result holds at all later boots, for any value of the state word.

use std::cell::RefCell;
use std::rc::Rc;

use embassy_boot::{BootLoader, BootLoaderConfig, State};
use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash};
use ota_pal::flash::poll_ready;
use ota_pal::loaders::embassy_boot::{PartitionError, Partitions, Verdict};
use ota_pal::{Blocking, Digest, Fault, Geometry, NoWatchdog, Region};
use sha2::{Digest as _, Sha256};

const WORD: usize = 4;
const PAGE: usize = 256;
const PAGES: usize = 4;
const ACTIVE: Region = Region::new(0, (PAGES * PAGE) as u32);
const DFU: Region = Region::new((PAGES * PAGE) as u32, ((PAGES + 1) * PAGE) as u32);
const STATE: Region = Region::new(((2 * PAGES + 1) * PAGE) as u32, PAGE as u32);
const CAPACITY: usize = (2 * PAGES + 2) * PAGE;

/// The effect of a cut on the operation that it interrupts.
#[derive(Clone, Copy, Debug)]
enum Cut {
    Before,
    Half,
    /// Every other bit.
    Bits,
    After,
}

const CUTS: [Cut; 4] = [Cut::Before, Cut::Half, Cut::Bits, Cut::After];

#[derive(Clone)]
struct Cells {
    bytes: Vec<u8>,
    operations: u32,
    cut: Option<(u32, Cut)>,
    /// Writes to words that were not erased.
    twice: u32,
}

impl Cells {
    /// Applies an operation to the bytes as far as the power lasts.
    fn change(&mut self, at: usize, wanted: &[u8]) -> Result<(), NorFlashErrorKind> {
        let cut = self.cut.filter(|(operation, _)| self.operations >= *operation);
        self.operations += 1;
        let late = cut.is_some_and(|(operation, _)| self.operations > operation + 1);
        for (index, wanted_byte) in wanted.iter().enumerate() {
            let done = match cut {
                _ if late => 0,
                None | Some((_, Cut::After)) => 0xFF,
                Some((_, Cut::Half)) if index < wanted.len() / 2 => 0xFF,
                Some((_, Cut::Before | Cut::Half)) => 0,
                Some((_, Cut::Bits)) => 0x55,
            };
            let byte = &mut self.bytes[at + index];
            *byte ^= (*byte ^ wanted_byte) & done;
        }
        if cut.is_some() { Err(NorFlashErrorKind::Other) } else { Ok(()) }
    }
}

/// A range of the flash, as a driver hands it out; its clones are the same flash.
#[derive(Clone)]
struct Part(Rc<RefCell<Cells>>, Region);

impl ErrorType for Part {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Part {
    const READ_SIZE: usize = WORD;
    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        let at = (self.1.offset_bytes() + offset) as usize;
        bytes.copy_from_slice(&self.0.borrow().bytes[at..at + bytes.len()]);
        Ok(())
    }
    fn capacity(&self) -> usize {
        self.1.len_bytes() as usize
    }
}

impl NorFlash for Part {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = PAGE;
    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        let mut cells = self.0.borrow_mut();
        let erased = vec![0xFF; (to - from) as usize];
        cells.change((self.1.offset_bytes() + from) as usize, &erased)
    }
    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        let mut cells = self.0.borrow_mut();
        let at = (self.1.offset_bytes() + offset) as usize;
        let there = &cells.bytes[at..at + bytes.len()];
        let is_erased = there.iter().all(|byte| *byte == 0xFF);
        // A write only clears bits.
        let wanted: Vec<u8> = there.iter().zip(bytes).map(|(there, byte)| there & byte).collect();
        cells.twice += u32::from(!is_erased);
        cells.change(at, &wanted)
    }
}

/// A device with an old image that runs and a new one in the DFU partition.
#[derive(Clone)]
struct Device {
    cells: Cells,
}

impl Device {
    fn new() -> Self {
        let mut bytes = vec![0xFF; CAPACITY];
        bytes[..PAGES * PAGE].copy_from_slice(&image(1));
        bytes[PAGES * PAGE..2 * PAGES * PAGE].copy_from_slice(&image(2));
        Self { cells: Cells { bytes, operations: 0, cut: None, twice: 0 } }
    }

    /// Runs a closure over the flash; returns its number of operations.
    fn over<T>(&mut self, act: impl FnOnce(&Rc<RefCell<Cells>>) -> T) -> (T, u32) {
        let before = self.cells.operations;
        let shared = Rc::new(RefCell::new(self.cells.clone()));
        let result = act(&shared);
        self.cells = shared.borrow().clone();
        (result, self.cells.operations - before)
    }

    fn cut(&mut self, at: u32, cut: Cut) {
        self.cells.cut = Some((self.cells.operations + at, cut));
    }

    /// Restores the power; embassy-boot prepares the boot. `None` if the power is cut meanwhile.
    fn prepare(&mut self) -> (Option<State>, u32) {
        self.over(|cells| {
            let [active, dfu, state] = [ACTIVE, DFU, STATE].map(|region| Part(cells.clone(), region));
            let mut page = [0; PAGE];
            BootLoader::new(BootLoaderConfig { active, dfu, state }).prepare_boot(&mut page).ok()
        })
    }

    fn boot(&mut self) -> State {
        self.cells.cut = None;
        self.prepare().0.expect("nothing is cut")
    }

    fn mark_updated(&mut self) -> (Result<(), Fault>, u32) {
        self.over(|cells| poll_ready(partitions().mark_updated(&mut whole(cells))).expect("memory never waits"))
    }

    fn mark_booted(&mut self) -> (Result<(), Fault>, u32) {
        self.over(|cells| poll_ready(partitions().mark_booted(&mut whole(cells))).expect("memory never waits"))
    }

    fn judge(&mut self) -> Verdict {
        let digest = Digest(Sha256::digest(image(2)).into());
        let judged = self.over(|cells| {
            let mut watchdog = NoWatchdog;
            poll_ready(partitions().judge(&mut whole(cells), &digest, ACTIVE.len_bytes(), &mut watchdog))
        });
        judged.0.expect("memory never waits").expect("it can be read")
    }

    fn new_runs(&self) -> bool {
        let runs = &self.cells.bytes[..PAGES * PAGE];
        assert!(runs == image(1) || runs == image(2), "a whole image runs");
        runs == image(2)
    }

    /// Whether a verdict still holds at the following boots, which confirm nothing.
    fn holds(&mut self, verdict: Verdict) -> bool {
        // Runs now, after the next boot, and after those that follow.
        let expected = match verdict {
            Verdict::Waits => [false, true, false],
            Verdict::OnTrial => [true, false, false],
            Verdict::Stays => [true; 3],
            Verdict::NotTaken => [false; 3],
        };
        expected.into_iter().all(|new_runs| {
            let as_promised = self.new_runs() == new_runs;
            self.boot();
            as_promised
        })
    }
}

fn image(number: u8) -> Vec<u8> {
    (0..PAGES * PAGE).map(|index| (index as u8).wrapping_mul(7) ^ number).collect()
}

fn whole(cells: &Rc<RefCell<Cells>>) -> Blocking<Part> {
    Blocking(Part(cells.clone(), Region::new(0, CAPACITY as u32)))
}

fn geometry() -> Geometry {
    Geometry { word_bytes: WORD as u32, erase_bytes: PAGE as u32, capacity_bytes: CAPACITY as u32 }
}

fn partitions() -> Partitions {
    Partitions::new(geometry(), ACTIVE, DFU, STATE).expect("they suit embassy-boot")
}

/// A device on which the new image runs on trial.
fn on_trial() -> Device {
    let mut device = Device::new();
    device.mark_updated().0.expect("a mark");
    assert_eq!(device.judge(), Verdict::Waits);
    assert_eq!(device.boot(), State::Swap);
    assert_eq!(device.judge(), Verdict::OnTrial);
    device
}

#[test]
fn what_is_marked_is_swapped_in_and_reverted_unless_it_is_confirmed() {
    let mut kept = on_trial();
    kept.mark_booted().0.expect("a mark");
    assert_eq!(kept.mark_booted(), (Ok(()), 0), "confirming again changes nothing");
    assert_eq!(kept.judge(), Verdict::Stays);
    assert!(kept.holds(Verdict::Stays));
    let mut left = on_trial();
    left.boot();
    assert_eq!(left.judge(), Verdict::NotTaken);
    assert!(left.holds(Verdict::NotTaken));
}

#[test]
fn a_cut_mark_is_followed_or_made_again() {
    let (_, operations) = Device::new().mark_updated();
    for (at, cut) in (0..operations).flat_map(|at| CUTS.map(|cut| (at, cut))) {
        let mut device = Device::new();
        device.cut(at, cut);
        device.mark_updated().0.expect_err("it is cut");
        device.boot();
        if device.judge() == Verdict::NotTaken {
            device.mark_updated().0.expect("a mark");
            device.boot();
        }
        assert_eq!(device.judge(), Verdict::OnTrial, "{at} {cut:?}");
    }
    println!("{} cuts of a mark", operations * 4);
}

#[test]
fn after_a_cut_confirmation_the_verdict_holds_where_the_state_word_does_not() {
    let (_, operations) = on_trial().mark_booted();
    let (mut lies, mut reverted, mut twice) = (0, 0, 0);
    for (at, cut) in (0..operations).flat_map(|at| CUTS.map(|cut| (at, cut))) {
        let mut device = on_trial();
        device.cut(at, cut);
        device.mark_booted().0.expect_err("it is cut");
        let written_before = device.cells.twice;
        device.boot();
        twice += u32::from(device.cells.twice > written_before);
        let verdict = device.judge();
        let says_reverted = device.clone().boot() == State::Revert;
        lies += u32::from(says_reverted && device.new_runs());
        reverted += u32::from(!device.new_runs());
        assert!(matches!(verdict, Verdict::Stays | Verdict::NotTaken), "{at} {cut:?}: {verdict:?}");
        assert!(device.clone().holds(verdict), "{at} {cut:?}: {verdict:?}");
        if verdict == Verdict::Stays {
            device.mark_booted().0.expect("a mark");
            assert_eq!(device.boot(), State::Boot, "confirming again ends the lie");
            assert!(device.new_runs());
        }
    }
    println!(
        "{} cuts of a confirmation: {lies} say Revert and run the new image, {reverted} reverted, in {twice} embassy-boot wrote a word twice",
        operations * 4
    );
    assert!(lies > 0, "the state word has become reliable");
}

#[test]
fn a_cut_in_a_swap_or_a_revert_ends_in_a_complete_image_with_the_right_verdict() {
    let mut marked = Device::new();
    marked.mark_updated().0.expect("a mark");
    let mut skipped = 0;
    for start in [marked, on_trial()] {
        let (_, operations) = start.clone().prepare();
        for (at, cut) in (0..operations).flat_map(|at| CUTS.map(|cut| (at, cut))) {
            let mut device = start.clone();
            device.cut(at, cut);
            assert_eq!(device.prepare().0, None, "it is cut");
            device.boot();
            let verdict = device.judge();
            skipped += u32::from(start.judge_of_clone() == Verdict::Waits && verdict == Verdict::NotTaken);
            assert!(matches!(verdict, Verdict::OnTrial | Verdict::NotTaken), "{at} {cut:?}: {verdict:?}");
            assert!(device.clone().holds(verdict), "{at} {cut:?}: {verdict:?}");
        }
        println!("{} cuts of a boot", operations * 4);
    }
    println!("{skipped} swaps were reverted before the new image ever ran");
}

impl Device {
    fn judge_of_clone(&self) -> Verdict {
        self.clone().judge()
    }
}

#[test]
fn partitions_that_embassy_boot_would_panic_on_are_refused() {
    let ragged = Region::new(0, 1_000);
    let refused = Partitions::new(geometry(), ragged, DFU, STATE);
    assert_eq!(refused, Err(PartitionError::NotPages { offset_bytes: 0, len_bytes: 1_000 }));
    let overlap = PartitionError::Overlap { first_offset_bytes: 1_024, second_offset_bytes: 1_024 };
    assert_eq!(Partitions::new(geometry(), ACTIVE, DFU, Region::new(1_024, 256)), Err(overlap));
    let short = Region::new(DFU.offset_bytes(), ACTIVE.len_bytes());
    let refused = Partitions::new(geometry(), ACTIVE, short, STATE);
    assert_eq!(refused, Err(PartitionError::DfuTooSmall { got: 1_024, min: 1_280 }));
    let wide = Geometry { word_bytes: 16, ..geometry() };
    assert_eq!(Partitions::new(wide, ACTIVE, DFU, STATE), Err(PartitionError::StateTooSmall { got: 256, min: 288 }));
    assert_eq!((partitions().running(), partitions().receiving()), (ACTIVE, Region::new(1_024, 1_024)));
}
