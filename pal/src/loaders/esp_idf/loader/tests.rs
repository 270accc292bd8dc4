//! Every operation, cut at every byte of every erase and write, and repeated. `Slots::start` models the bootloader.

use super::super::super::super::loaders::esp_idf::otadata::SLOTS_MAX;
use super::super::super::super::loaders::esp_idf::testing::{Nor, REGION, Tear};
use super::super::super::super::testing::run;
use super::*;
use embedded_storage::nor_flash::NorFlashErrorKind;
use proptest::prelude::*;

#[derive(Clone, Copy, Debug)]
enum Operation {
    Try(App, u8),
    Vacate(App, u8),
    Keep(u8),
    Revert(u8),
    Factory,
}

impl Operation {
    fn run<F: Flash>(self, otadata: &OtaData, flash: &mut F) -> Result<(), OtaDataError> {
        match self {
            Self::Try(running, slot) => run(otadata.try_next(flash, running, slot)),
            Self::Vacate(running, slot) => run(otadata.vacate(flash, running, slot)),
            Self::Keep(slot) => run(otadata.keep(flash, slot)),
            Self::Revert(slot) => run(otadata.revert(flash, slot)),
            Self::Factory => run(otadata.factory(flash)),
        }
    }
}

/// The flash contents, whether there is a factory application, the operation, and the applications allowed after a cut.
type Story = ([Entry; 2], bool, Operation, &'static [App]);

const A: App = App::Ota(0);
const B: App = App::Ota(1);

fn otadata<const W: usize>(factory: bool) -> OtaData {
    OtaData::new::<Nor<W>>(REGION, Slots::TWO, factory).unwrap()
}

const fn entry(sequence: u32, state: State) -> Entry {
    // The vectors are from the documented facts; `otadata` checks that they match its own.
    let crc = [u32::MAX, 0x4743_989A, 0x55F6_3774, 0xED4A_5011, 0x709D_68A8][sequence as usize];
    Entry { sequence, state, crc }
}

const fn valid(sequence: u32) -> Entry {
    entry(sequence, State::Valid)
}

const ERASED: Entry = Entry::ERASED;
const TORN: Entry = Entry { crc: 1, ..valid(1) };

/// The scenarios. After a cut, only the application started before or the one started afterwards is allowed.
const STORIES: [Story; 20] = [
    ([ERASED, ERASED], true, Operation::Try(App::Factory, 0), &[App::Factory, A]),
    ([ERASED, ERASED], true, Operation::Try(App::Factory, 1), &[App::Factory, B]),
    ([ERASED, ERASED], false, Operation::Try(A, 1), &[A, B]),
    ([valid(1), ERASED], false, Operation::Try(A, 1), &[A, B]),
    ([ERASED, valid(1)], true, Operation::Try(A, 1), &[A, B]),
    ([valid(1), valid(2)], false, Operation::Try(B, 0), &[B, A]),
    ([valid(3), valid(2)], true, Operation::Try(A, 1), &[A, B]),
    ([entry(3, State::Undefined), valid(2)], true, Operation::Try(A, 1), &[A, B]),
    ([valid(1), entry(2, State::PendingVerify)], false, Operation::Keep(1), &[A, B]),
    ([entry(3, State::PendingVerify), valid(2)], true, Operation::Keep(0), &[B, A]),
    ([entry(1, State::PendingVerify), ERASED], true, Operation::Keep(0), &[App::Factory, A]),
    ([valid(1), entry(2, State::New)], false, Operation::Keep(1), &[A, B]), // a bootloader without rollback
    ([valid(1), valid(2)], true, Operation::Revert(1), &[A, B]),
    ([valid(1), ERASED], true, Operation::Revert(0), &[App::Factory, A]),
    ([valid(1), valid(2)], true, Operation::Factory, &[App::Factory, B]),
    // The device fell back: the active entry cannot be started, or the entry of the running slot is torn.
    ([valid(1), valid(2)], false, Operation::Keep(0), &[A, B]),
    ([valid(1), valid(2)], false, Operation::Try(A, 1), &[A, B]),
    ([valid(1), valid(2)], true, Operation::Try(App::Factory, 0), &[App::Factory, A, B]),
    ([TORN, valid(2)], false, Operation::Try(A, 1), &[A, B]),
    ([TORN, valid(2)], false, Operation::Keep(0), &[B, A]),
];

/// The scenarios in which an entry is erased that must not be started again: refused, or still pending.
const REFUSED: [Story; 3] = [
    ([valid(1), entry(2, State::Aborted)], false, Operation::Try(A, 1), &[A, B]),
    ([entry(3, State::Invalid), valid(2)], true, Operation::Try(B, 0), &[B, A]),
    ([valid(1), entry(2, State::PendingVerify)], true, Operation::Revert(1), &[A]),
];

/// The scenarios in which a slot is made safe to write. An entry whose image cannot be started is named until it is
/// erased; the bootloader then searches the same image as before.
const VACATED: [Story; 7] = [
    ([valid(1), valid(2)], false, Operation::Vacate(B, 0), &[B]),
    ([valid(3), valid(2)], false, Operation::Vacate(A, 1), &[A]),
    ([valid(3), valid(2)], false, Operation::Vacate(B, 0), &[A, B]),
    ([entry(3, State::New), valid(2)], true, Operation::Vacate(B, 0), &[A, B]),
    ([valid(1), ERASED], false, Operation::Vacate(B, 0), &[A, B]),
    ([ERASED, valid(2)], true, Operation::Vacate(App::Factory, 0), &[B, App::Factory]),
    ([valid(1), valid(2)], true, Operation::Vacate(App::Factory, 1), &[B, A, App::Factory]),
];

/// Returns every cut of an operation of `len` bytes, at every byte of it or only near its beginning and end.
fn tears(erase: bool, len: usize, every_byte: bool) -> impl Iterator<Item = Tear> {
    let heads = (0..=len).filter(move |bytes| every_byte || *bytes <= 40 || *bytes + 40 >= len);
    let edges = heads.flat_map(|bytes| [Tear::Head(bytes), Tear::Tail(bytes)]);
    let bits = [4, 32, 128, 224, 252].into_iter().flat_map(|done| (0..10).map(move |seed| Tear::Bits { seed, done }));
    let spared = (0..ENTRY_BYTES * 8).filter(move |_| !erase).map(Tear::AllBut);
    edges.chain(bits).chain(spared)
}

/// Runs a scenario without faults, then once per cut. Returns the number of cuts, and of those that started an image
/// without the required trial.
fn cut_everywhere<const W: usize>((held, factory, operation, allowed): Story, every_byte: bool) -> (usize, usize) {
    let (otadata, fresh) = (otadata::<W>(factory), Nor::<W>::holding(held));
    let mut whole = fresh.clone();
    assert_eq!(operation.run(&otadata, &mut whole), Ok(()), "{held:?} {operation:?}");
    let (mut cuts, mut unwatched) = (0, 0);
    for (index, (erase, len)) in whole.ops.iter().copied().enumerate() {
        for tear in tears(erase, len, every_byte && erase) {
            let mut flash = fresh.clone();
            flash.cut = Some((index, tear));
            assert!(matches!(operation.run(&otadata, &mut flash), Err(OtaDataError::Fault(_))));
            flash.power_on();
            cuts += 1;
            let edge = matches!(tear, Tear::Head(_) | Tear::Tail(_));

            let context = || std::format!("W {W} {operation:?} on {held:?}, cut {index} {tear:?}");
            let entries = flash.entries();
            let start = Slots::TWO.start(&entries, factory);
            assert!(allowed.contains(&start) || may_be_unwatched::<W>(erase, tear), "{start:?}: {}", context());
            let was = Slots::TWO.start(&fresh.entries(), factory);
            if let (Operation::Try(_, slot), Some(active)) = (operation, entries.active())
                && start == App::Ota(slot)
                && start != was
                && entries.of(active).state != State::New
            {
                assert!(may_be_unwatched::<W>(erase, tear), "not on trial: {}", context());
                unwatched += 1;
            } else if !allowed.contains(&start) {
                unwatched += 1;
            }

            assert_eq!(operation.run(&otadata, &mut flash), Ok(()), "again: {}", context());
            // Torn bits can turn an intact entry into a refused one. It stays and its number counts: erasing it would
            // be riskier.
            let refused = flash.entries().0.iter().any(|entry| entry.is_whole() && entry.is_passed_over());
            let same_choice =
                Slots::TWO.start(&flash.entries(), factory) == Slots::TWO.start(&whole.entries(), factory);
            let alike = flash.bytes == whole.bytes || (refused && !edge);
            assert!(alike && same_choice, "again: {:?}: {}", flash.entries(), context());
        }
    }
    (cuts, unwatched)
}

/// Whether the format itself permits the failure: bits of an erased sector change in any order, or an entry is one
/// write.
fn may_be_unwatched<const W: usize>(erase: bool, tear: Tear) -> bool {
    matches!(tear, Tear::Bits { .. } | Tear::AllBut(_)) && (erase || W == 32)
}

/// Runs all scenarios. Returns the number of cuts, and of those that started an image without the required trial.
fn count<const W: usize>(stories: &[Story]) -> (usize, usize) {
    let counts = stories.iter().map(|story| cut_everywhere::<W>(*story, false));
    counts.fold((0, 0), |(cuts, unwatched), more| (cuts + more.0, unwatched + more.1))
}

#[test]
fn a_cut_at_any_byte_leaves_a_whole_choice_and_the_operation_can_be_done_again() {
    for (cuts, unwatched) in [count::<1>(&STORIES), count::<4>(&STORIES), count::<8>(&STORIES), count::<16>(&STORIES)] {
        assert!(cuts > 10_000, "{cuts} cuts");
        assert_eq!(unwatched, 0);
    }
}

#[test]
fn a_cut_at_any_byte_of_either_sector_leaves_a_whole_choice() {
    for (held, running, slot) in [([valid(1), valid(2)], B, 0), ([valid(3), valid(2)], A, 1)] {
        let story = (held, false, Operation::Try(running, slot), &[A, B][..]);
        let (cuts, unwatched) = cut_everywhere::<4>(story, true);
        assert!(cuts > 2 * SECTOR_BYTES as usize, "{cuts} cuts");
        assert_eq!(unwatched, 0);
    }
}

#[test]
fn a_slot_that_is_vacated_is_not_chosen_after_a_cut_either() {
    for (cuts, unwatched) in [count::<4>(&VACATED), count::<16>(&VACATED)] {
        assert!(cuts > 1_000, "{cuts} cuts");
        assert_eq!(unwatched, 0);
    }
    // Nothing to erase: the running image is chosen, and the entry that names the slot was refused.
    for held in [[valid(1), ERASED], [valid(1), entry(2, State::Aborted)]] {
        let mut flash = Nor::<4>::holding(held);
        assert_eq!(Operation::Vacate(A, 1).run(&otadata::<4>(false), &mut flash), Ok(()));
        assert!(flash.ops.is_empty(), "{held:?}");
    }
}

/// The counts depend on the tears generated above and are no measure of probability: they show that the failure can
/// happen, and only there.
#[test]
fn what_the_format_cannot_keep_is_counted() {
    assert_eq!(count::<4>(&REFUSED), (2_002, 3));
    assert_eq!(count::<32>(&STORIES), (12_260, 279), "an entry is one write");
}

/// Counts the single bits, and the pairs of bits, of a refused entry whose early change in an erase makes it valid
/// again.
fn resurrections(state: State) -> [usize; 2] {
    let (bytes, running) = (entry(2, state).emit(), valid(1));
    let clear: std::vec::Vec<_> = (0..ENTRY_BYTES * 8).filter(|bit| bytes[bit / 8] & 1 << (bit % 8) == 0).collect();
    let starts = |bits: &[usize]| {
        let mut torn = bytes;
        bits.iter().for_each(|bit| torn[bit / 8] |= 1 << (bit % 8));
        Slots::TWO.start(&Entries([running, Entry::parse(&torn)]), false) == B
    };
    let pairs = clear.iter().flat_map(|one| clear.iter().filter(move |two| *two > one).map(move |two| [*one, *two]));
    [clear.iter().filter(|bit| starts(&[**bit])).count(), pairs.filter(|pair| starts(pair)).count()]
}

#[test]
fn what_a_torn_erase_can_make_of_a_refused_entry_is_counted() {
    // Of 75, 74 and 75 bits that an erase sets in such an entry, and of their pairs.
    assert_eq!(resurrections(State::PendingVerify), [30, 465]);
    assert_eq!(resurrections(State::Invalid), [30, 435]);
    assert_eq!(resurrections(State::Aborted), [31, 465]);
}

/// Two entries as damage and other programs leave them: numbers close to each other or to the end, and all states.
fn any_entries() -> impl Strategy<Value = [Entry; 2]> {
    let sequence = prop_oneof![8 => 0_u32..9, 1 => u32::MAX - 20..=u32::MAX, 1 => any::<u32>()];
    let state = prop_oneof![8 => (0_u32..7).prop_map(State::parse), 2 => Just(State::Undefined), 1 => any::<u32>().prop_map(State::parse)];
    let entry =
        (sequence, state, prop_oneof![6 => Just(0), 1 => any::<u32>()]).prop_map(|(sequence, state, damage)| Entry {
            crc: Entry::new(sequence, state).crc ^ damage,
            ..Entry::new(sequence, state)
        });
    [prop_oneof![4 => entry.clone(), 1 => Just(ERASED)], prop_oneof![4 => entry, 1 => Just(ERASED)]]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]
    #[test]
    fn on_any_contents_an_operation_does_what_it_says_or_is_refused(
        held in any_entries(), count in 1..=SLOTS_MAX, own: u8, slot: u8, factory: bool, from_factory: bool, kind in 0_u8..5,
    ) {
        let slots = Slots::new(count).unwrap();
        let (own, slot) = (own % (count + 1), slot % (count + 1));
        let otadata = OtaData::new::<Nor<4>>(REGION, slots, factory).unwrap();
        let running = if from_factory && factory { App::Factory } else { App::Ota(own) };
        let operation = match kind {
            0 => Operation::Try(running, slot),
            1 => Operation::Keep(own),
            2 => Operation::Revert(own),
            3 => Operation::Vacate(running, slot),
            _ => Operation::Factory,
        };
        let mut flash = Nor::<4>::holding(held);
        let done = operation.run(&otadata, &mut flash);
        let (entries, erases) = (flash.entries(), flash.ops.iter().filter(|(erase, _)| *erase).count());
        let start = slots.start(&entries, factory);
        match (done, operation) {
            (Ok(()), Operation::Try(_, slot)) => prop_assert_eq!(start, App::Ota(slot)),
            (Ok(()), Operation::Vacate(running, slot)) => {
                let names = |entry: &Entry| otadata.names(entry, slot) && entry.is_valid();
                let chosen = entries.0.iter().any(|entry| names(entry) && entry.state != State::PendingVerify);
                prop_assert!(start == running && !chosen);
            }
            (Ok(()), Operation::Keep(own)) => prop_assert_eq!(start, App::Ota(own)),
            (Ok(()), Operation::Revert(own)) => prop_assert_ne!(start, App::Ota(own)),
            (Ok(()), Operation::Factory) => prop_assert_eq!(start, App::Factory),
            (Err(_), _) => prop_assert!(flash.entries() == Entries(held) || erases > 0),
        }
        if done.is_ok() {
            if let Operation::Try(App::Ota(own), slot) = operation {
                let sector = entries.active().unwrap();
                prop_assert_eq!(*entries.of(sector), Entry::new(entries.of(sector).sequence, State::New));
                let back = Entries([*entries.of(sector.other()), ERASED]);
                prop_assert_eq!(slots.start(&back, factory), App::Ota(own), "reverted from the trial of {}", slot);
            }
            flash.power_on();
            prop_assert_eq!(operation.run(&otadata, &mut flash), Ok(()));
            prop_assert_eq!(flash.entries(), entries);
        }
    }
}

#[test]
fn what_cannot_be_done_is_refused_by_name_and_number() {
    let refused = |held, operation: Operation, factory| {
        let mut flash = Nor::<4>::holding(held);
        let error = operation.run(&otadata::<4>(factory), &mut flash).unwrap_err();
        assert_eq!((flash.entries(), flash.ops.len()), (Entries(held), 0), "nothing happened");
        (error, error.esp_err())
    };
    let (one, trial) = ([valid(1), ERASED], [valid(1), entry(2, State::PendingVerify)]);
    assert_eq!(refused(one, Operation::Try(A, 0), true), (OtaDataError::SlotRuns { slot: 0 }, 0x1501));
    assert_eq!(refused(one, Operation::Try(A, 2), true), (OtaDataError::NoSuchSlot { got: 2, slots: 2 }, 0x102));
    assert_eq!(refused(one, Operation::Vacate(A, 0), true), (OtaDataError::SlotRuns { slot: 0 }, 0x1501));
    assert_eq!(refused(trial, Operation::Vacate(B, 0), true), (OtaDataError::TrialRuns { slot: 1 }, 0x1506));
    assert_eq!(refused(one, Operation::Keep(2), true), (OtaDataError::NoSuchSlot { got: 2, slots: 2 }, 0x102));
    assert_eq!(refused(trial, Operation::Try(B, 0), true), (OtaDataError::TrialRuns { slot: 1 }, 0x1506));
    assert_eq!(refused(one, Operation::Revert(0), false), (OtaDataError::NothingToGoBackTo { slot: 0 }, 0x1505));
    assert_eq!(refused(one, Operation::Factory, false), (OtaDataError::NoFactory, 0x105));
    let last = [Entry::new(u32::MAX - 1, State::Valid), ERASED];
    assert_eq!(
        refused(last, Operation::Try(B, 0), true),
        (OtaDataError::SequencesUsedUp { above: u32::MAX - 1 }, 0x1502)
    );
}

#[test]
fn only_two_whole_sectors_are_the_partition() {
    for (offset_bytes, len_bytes) in [(0x1000, 0x1000), (0x1000, 0x3000), (0x800, 0x2000), (0xFFFF_F000, 0x2000)] {
        let refused = OtaData::new::<Nor<4>>(Region::new(offset_bytes, len_bytes), Slots::TWO, true);
        let error = OtaDataError::NotTwoSectors { offset_bytes, len_bytes, erase_bytes: 0x1000 };
        assert_eq!(refused, Err(error));
        assert_eq!(error.esp_err(), 0x104);
    }
    let error = OtaData::new::<crate::fixtures::Ram<1, 4, 2048>>(REGION, Slots::TWO, true);
    assert!(matches!(error, Err(OtaDataError::NotTwoSectors { erase_bytes: 2048, .. })));
}

#[test]
fn an_entry_lies_at_the_start_of_its_sector_and_its_number_is_written_last() {
    let mut flash = Nor::<4>::holding([valid(1), ERASED]);
    Operation::Try(A, 1).run(&otadata::<4>(false), &mut flash).unwrap();
    assert_eq!(flash.ops, [(true, 0x1000), (false, 28), (false, 4)]);
    assert_eq!(flash.bytes[0x2000..0x2020], entry(2, State::New).emit());
    assert_eq!(flash.bytes[0x1000..0x1020], valid(1).emit(), "the entry of the running slot is unchanged");
    assert_eq!(run(otadata::<4>(false).start(&mut flash)), Ok(B));
}

#[test]
fn an_operation_leaves_these_entries_and_erases_no_sector_without_need() {
    let (new, pending) = (|sequence| entry(sequence, State::New), |sequence| entry(sequence, State::PendingVerify));
    let torn = Entry { crc: 1, ..valid(2) };
    for (held, factory, operation, left, erases) in [
        ([valid(1), pending(2)], false, Operation::Keep(1), [valid(1), valid(2)], 1),
        ([TORN, pending(2)], false, Operation::Keep(1), [ERASED, valid(2)], 2),
        ([valid(1), valid(2)], false, Operation::Keep(0), [valid(1), ERASED], 1),
        ([valid(1), ERASED], false, Operation::Keep(0), [valid(1), ERASED], 0),
        ([entry(1, State::Undefined), ERASED], false, Operation::Keep(0), [entry(1, State::Undefined), ERASED], 0),
        ([entry(1, State::Other(5)), ERASED], false, Operation::Try(A, 1), [valid(1), new(2)], 2),
        ([ERASED, ERASED], true, Operation::Try(App::Factory, 0), [new(1), ERASED], 1),
        ([new(1), ERASED], true, Operation::Try(App::Factory, 0), [new(1), ERASED], 0),
        ([valid(3), ERASED], true, Operation::Try(App::Factory, 0), [new(1), ERASED], 3),
        ([ERASED, valid(2)], true, Operation::Try(App::Factory, 0), [new(1), ERASED], 3),
        ([ERASED, torn], true, Operation::Try(App::Factory, 0), [new(1), ERASED], 3),
    ] {
        let mut flash = Nor::<4>::holding(held);
        assert_eq!(operation.run(&otadata::<4>(factory), &mut flash), Ok(()));
        assert_eq!(flash.entries(), Entries(left), "{operation:?} on {held:?}");
        assert_eq!(flash.ops.iter().filter(|(erase, _)| *erase).count(), erases, "{operation:?} on {held:?}");
    }
}

#[test]
fn an_image_that_runs_without_a_trial_is_put_on_one() {
    for (state, watched) in [
        (State::Valid, State::PendingVerify),
        (State::Undefined, State::PendingVerify),
        (State::New, State::New),
        (State::PendingVerify, State::PendingVerify),
    ] {
        let mut flash = Nor::<4>::holding([entry(1, state), ERASED]);
        assert_eq!(run(otadata::<4>(false).watch(&mut flash, 0)), Ok(()));
        assert_eq!((flash.entries(), flash.ops.is_empty()), (Entries([entry(1, watched), ERASED]), state == watched));
    }
    let mut erased = Nor::<4>::holding([ERASED, ERASED]);
    assert_eq!((run(otadata::<4>(false).watch(&mut erased, 0)), erased.ops.len()), (Ok(()), 0));
}

/// A flash that flips a bit of one read.
struct Misread {
    flash: Nor<4>,
    misread_in: usize,
}

impl Flash for Misread {
    const READ_SIZE: usize = <Nor<4> as Flash>::READ_SIZE;
    const WRITE_SIZE: usize = <Nor<4> as Flash>::WRITE_SIZE;
    const ERASE_SIZE: usize = <Nor<4> as Flash>::ERASE_SIZE;

    fn capacity(&self) -> usize {
        self.flash.capacity()
    }
    async fn read(&mut self, at: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        self.flash.read(at, out).await?;
        out[0] ^= u8::from(self.misread_in == 0);
        self.misread_in = self.misread_in.wrapping_sub(1);
        Ok(())
    }
    async fn write(&mut self, at: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.flash.write(at, bytes).await
    }
    async fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        self.flash.erase(from, to).await
    }
    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        self.flash.sync().await
    }
}

#[test]
fn a_bit_that_is_misread_once_changes_no_choice() {
    for (held, start) in [([valid(1), valid(2)], B), ([valid(3), valid(2)], A)] {
        for misread_in in 0..4 {
            let mut flash = Misread { flash: Nor::holding(held), misread_in };
            assert_eq!(run(otadata::<4>(true).start(&mut flash)), Ok(start), "read {misread_in} of {held:?}");
        }
    }
}
