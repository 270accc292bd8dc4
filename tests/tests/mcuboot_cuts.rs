//! Marks and confirmations with a model of MCUboot, with the power cut at every operation with every effect: it starts the
//! marked image, an incomplete mark is rewritten, and limits of the format itself are counted.

use ota_pal::flash::poll_ready;
use ota_pal::loaders::mcuboot::{Align, Mark, Marks, Mode, Swap, TrialState};
use ota_pal::{Flash, Geometry, Region, SlotId};
use ota_tests::mcuboot::{Booted, Mcuboot, image};
use ota_tests::nor::{CHIPS, Chip, CutEffect, FlashFault, Nor, PlannedFault, View};
use ota_tests::rng::Rng;

const SLOT_SECTORS: usize = 4;
/// An unused sector: writes to it only advance the random number generator.
const SPARE: usize = 2 * SLOT_SECTORS;
const IMAGE_BYTES: usize = 1_000;

/// Cut effects after which bits read the same each time.
const STEADY: [CutEffect; 6] =
    [CutEffect::Before, CutEffect::Head, CutEffect::Tail, CutEffect::Bits, CutEffect::Between, CutEffect::After];

/// A device with an old image in the primary slot and a new one in the secondary.
struct Device<const WORD: usize, const SECTOR: usize> {
    flash: View<WORD, SECTOR>,
    regions: [Region; 2],
    old: Vec<u8>,
    new: Vec<u8>,
}

impl<const WORD: usize, const SECTOR: usize> Device<WORD, SECTOR> {
    fn new(variant: u32) -> Self {
        let fits = |chip: &Chip| (chip.word_bytes, chip.sector_bytes) == (WORD, SECTOR);
        let chip = CHIPS.into_iter().find(fits).expect("a chip of these units");
        let mut flash = View::<WORD, SECTOR>(Nor::new(chip, SPARE + 1));
        let slot_bytes = (SLOT_SECTORS * SECTOR) as u32;
        let regions = [Region::new(0, slot_bytes), Region::new(slot_bytes, slot_bytes)];
        for word in 0..variant {
            let at = (SPARE * SECTOR) as u32 + word * WORD as u32;
            poll_ready(flash.write(at, &[0; 32][..WORD])).expect("no fault is planned").expect("no fault is planned");
        }
        let mut rng = Rng::new(1);
        let [old, new] = [1, 2].map(|patch| image(patch, 0, IMAGE_BYTES, &mut rng));
        flash.0.burn(0, &old);
        flash.0.burn(slot_bytes, &new);
        Self { flash, regions, old, new }
    }

    /// A program starts without state of an earlier one.
    fn marks(&self) -> Marks {
        self.marks_in(Mode::Swap(Swap::Scratch))
    }

    fn marks_in(&self, mode: Mode) -> Marks {
        let align = Align::new(if WORD > 8 { WORD as u32 } else { 8 }).expect("one of three");
        Marks::new(mode, align, Geometry::of(&self.flash), self.regions).expect("room")
    }

    /// Puts the newest image into the first slot, where its trailer is not.
    fn put_newest(&self) {
        self.flash.0.burn(0, &image(3, 0, IMAGE_BYTES, &mut Rng::new(3)));
    }

    fn mark(&mut self, mark: Mark) -> bool {
        let mut marks = self.marks();
        poll_ready(marks.mark(&mut self.flash, SlotId::B, mark)).is_some_and(|made| made.is_ok())
    }

    fn confirm(&mut self) -> Option<TrialState> {
        let mut marks = self.marks();
        poll_ready(marks.confirm(&mut self.flash, SlotId::A))?.ok()
    }

    fn trial_state(&mut self) -> TrialState {
        let marks = self.marks();
        poll_ready(marks.trial_state(&mut self.flash, SlotId::A)).expect("memory never waits").expect("it can be read")
    }

    fn cut(&self, at: u32, effect: CutEffect) {
        self.flash.0.plan([PlannedFault { at, fault: FlashFault::Cut(effect) }]);
    }

    fn boot(&self) -> Booted {
        self.flash.0.plan([]);
        Mcuboot::<WORD, SECTOR>::new(&self.flash.0, self.regions).boot()
    }

    /// Whether the new image runs; the old one if not.
    fn new_runs(&self) -> bool {
        let runs = self.flash.0.bytes(0, IMAGE_BYTES as u32);
        assert!(runs == self.old || runs == self.new, "a whole image runs");
        runs == self.new
    }
}

fn a_mark_is_followed<const WORD: usize, const SECTOR: usize>() {
    for (mark, first, then) in
        [(Mark::Trial, Booted::OnTrial, Booted::Reverted), (Mark::Permanent, Booted::ForGood, Booted::AsBefore)]
    {
        let mut device = Device::<WORD, SECTOR>::new(0);
        assert!(device.mark(mark));
        assert_eq!((device.boot(), device.new_runs()), (first, true));
        assert_eq!((device.boot(), device.new_runs()), (then, mark == Mark::Permanent));
        assert_eq!(device.boot(), Booted::AsBefore);
    }
    let mut device = Device::<WORD, SECTOR>::new(0);
    assert!(device.mark(Mark::Trial));
    assert_eq!(device.boot(), Booted::OnTrial);
    assert_eq!((device.trial_state(), device.confirm()), (TrialState::OnTrial, Some(TrialState::Confirmed)));
    for _ in 0..2 {
        assert_eq!((device.boot(), device.new_runs()), (Booted::AsBefore, true));
    }
}

#[test]
fn mcuboot_follows_a_mark_and_keeps_a_confirmed_image() {
    a_mark_is_followed::<8, 2048>();
    a_mark_is_followed::<16, 8192>();
    a_mark_is_followed::<32, 131_072>();
}

/// Cuts a mark at every operation: MCUboot then ignores it or follows it exactly; if it ignored it, a second attempt is
/// followed. Returns the number of cuts.
fn a_cut_mark<const WORD: usize, const SECTOR: usize>() -> u32 {
    let mut cuts = 0;
    for (mark, followed) in [(Mark::Trial, Booted::OnTrial), (Mark::Permanent, Booted::ForGood)] {
        for (effect, variant) in
            CutEffect::ALL.into_iter().flat_map(|effect| (0..8).map(move |variant| (effect, variant)))
        {
            for at in 0.. {
                let mut device = Device::<WORD, SECTOR>::new(variant);
                assert!(device.mark(Mark::Trial), "something lies there");
                device.cut(at, effect);
                if device.mark(mark) {
                    break;
                }
                cuts += 1;
                // There was a trial; an incomplete mark is none.
                let booted = device.boot();
                let expected = [followed, Booted::OnTrial, Booted::AsBefore];
                assert!(expected.contains(&booted), "{mark:?} {at} {effect:?}: {booted:?}");
                if booted == Booted::AsBefore {
                    assert!(device.mark(mark));
                    assert_eq!(device.boot(), followed, "{mark:?} {at} {effect:?}");
                }
                assert!(device.new_runs());
            }
        }
    }
    cuts
}

#[test]
fn a_mark_cut_anywhere_is_passed_over_or_followed_and_can_be_made_again() {
    let cuts = a_cut_mark::<8, 2048>() + a_cut_mark::<16, 8192>() + a_cut_mark::<32, 131_072>();
    println!("{cuts} cuts of a mark");
    assert!(cuts > 1_000, "{cuts}");
}

/// Cuts the removal of a confirmed image's mark at every operation: MCUboot in place starts the other image, also after the
/// removal was repeated and a newer image was written to the slot. Returns the number of cuts.
fn a_cut_unmark<const WORD: usize, const SECTOR: usize>() -> u32 {
    let mut cuts = 0;
    for (effect, variant) in CutEffect::ALL.into_iter().flat_map(|effect| (0..8).map(move |variant| (effect, variant)))
    {
        for at in 0.. {
            let device = Device::<WORD, SECTOR>::new(variant);
            let mcuboot = Mcuboot::<WORD, SECTOR>::new(&device.flash.0, device.regions);
            let marks = || device.marks_in(Mode::DirectXip);
            let mut flash = View::<WORD, SECTOR>(device.flash.0.clone());
            for slot in [SlotId::A, SlotId::B] {
                let marked = poll_ready(marks().mark(&mut flash, slot, Mark::Permanent));
                assert_eq!(marked, Some(Ok(())));
            }
            assert_eq!(mcuboot.boot_in_place(), Some(1), "the higher version");
            device.cut(at, effect);
            let is_cut = poll_ready(marks().unmark(&mut flash, SlotId::A)).is_none();
            device.flash.0.plan([]);
            assert_eq!(mcuboot.boot_in_place(), Some(1), "{at} {effect:?}");
            assert_eq!(poll_ready(marks().unmark(&mut flash, SlotId::A)), Some(Ok(())));
            device.put_newest();
            for _ in 0..4 {
                assert_eq!(mcuboot.boot_in_place(), Some(1), "{at} {effect:?}");
            }
            if !is_cut {
                break;
            }
            cuts += 1;
        }
    }
    cuts
}

#[test]
fn a_removal_of_a_mark_cut_anywhere_can_be_repeated_and_starts_no_later_image() {
    let cuts = a_cut_unmark::<8, 2048>() + a_cut_unmark::<16, 8192>() + a_cut_unmark::<32, 131_072>();
    println!("{cuts} cuts of a removal");
    assert!(cuts > 100, "{cuts}");
}

/// Counters of cut confirmations.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    kept: u32,
    reverted: u32,
    /// The program was reported as confirmed, and a later boot reverted it.
    left_after_all: u32,
    /// MCUboot reads the flag as set and the program does not, which would have to write the word again.
    unseen: u32,
    /// MCUboot could not read the trailer.
    stopped: u32,
}

fn cut_confirmations<const WORD: usize, const SECTOR: usize>(effects: &[CutEffect], counts: &mut Counts) {
    for (effect, variant) in effects.iter().flat_map(|effect| (0..32).map(move |variant| (*effect, variant))) {
        let mut device = Device::<WORD, SECTOR>::new(variant);
        assert!(device.mark(Mark::Trial));
        assert_eq!(device.boot(), Booted::OnTrial);
        device.cut(0, effect);
        assert_eq!(device.confirm(), None, "a cut confirmation does not return");
        match device.boot() {
            Booted::Reverted => counts.reverted += 1,
            Booted::Stopped => counts.stopped += 1,
            Booted::AsBefore if device.trial_state() == TrialState::OnTrial => counts.unseen += 1,
            Booted::AsBefore if (0..8).any(|_| device.boot() == Booted::Reverted) => counts.left_after_all += 1,
            Booted::AsBefore => counts.kept += 1,
            other => panic!("{effect:?}: {other:?}"),
        }
    }
}

fn counts(effects: &[CutEffect]) -> Counts {
    let mut counts = Counts::default();
    cut_confirmations::<8, 2048>(effects, &mut counts);
    cut_confirmations::<16, 8192>(effects, &mut counts);
    cut_confirmations::<32, 131_072>(effects, &mut counts);
    println!("{effects:?}: {counts:?}");
    counts
}

#[test]
fn a_confirmation_cut_anywhere_is_kept_or_reverted_once_and_for_all() {
    let Counts { kept, reverted, left_after_all, unseen, stopped } = counts(&STEADY);
    assert_eq!((left_after_all, unseen, stopped), (0, 0, 0));
    assert!(kept > 0 && reverted > 0, "{kept} {reverted}");
}

/// A limit of the format: the single flag of a confirmation can be neither rewritten nor duplicated, and MCUboot reads it
/// without a check. If these counts become zero, the limit no longer exists.
#[test]
fn a_flag_that_does_not_read_the_same_twice_or_at_all_is_beyond_the_format() {
    let Counts { left_after_all, unseen, .. } = counts(&[CutEffect::Unstable]);
    assert!(left_after_all + unseen > 0);
    assert!(counts(&[CutEffect::Unreadable]).stopped > 0);
}
