//! Conflicts between the boot record and the state of a foreign boot loader: a switch that the loader did not receive, one
//! to an image that it refuses, an interrupted factory reset, an image that is started without a trial. In each case the
//! device reports what runs and accepts a later update.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use ota_pal::REASON_ATTEMPTS_EXHAUSTED;
use ota_pal::loaders::esp_idf::EspImages;
use ota_pal::loaders::mcuboot::McubootImages;
use ota_pal::{
    Available, Fault, ImageFormat, ImageInfo, ImageManagement, ImageState, ImageStatus, Platform, Refusal, Region,
    SlotId, Trial, poll_ready,
};
use ota_tests::esp_bootloader::{Entry, NEW, Table, VALID};
use ota_tests::nor::{CutEffect, FlashFault, Nor, PlainView, PlannedFault, View};
use ota_tests::rig::embassy::Embassy;
use ota_tests::rig::esp::Esp;
use ota_tests::rig::mcuboot::{McubootInPlace, McubootSwap};
use ota_tests::rig::{Rig, Turn, booted, receive, signature, signer, update, update_and_keep};

/// Boots within which every recovery ends.
const BOOTS_MAX: u32 = 8;

/// A device that runs image 2, and can next_u64 back to image 1.
fn with_a_way_back<R: Rig>() -> R {
    let rig = R::new();
    update_and_keep(&rig, 2).expect("a good update");
    rig
}

/// Boots until no trial is open and the running image is confirmed; returns the state of the last trial.
fn settled<R: Rig>(rig: &R) -> Trial {
    for _ in 0..BOOTS_MAX {
        let state = poll_ready(booted(rig).boot_state()).expect("nothing is cut").expect("flash can be read");
        let waits = matches!(state.trial, Trial::Pending { .. } | Trial::Started { .. });
        if state.image_state() == ImageState::Confirmed && !waits {
            return state.trial;
        }
    }
    panic!("not settled after {BOOTS_MAX} boots: {:?}", poll_ready(booted(rig).boot_state()));
}

/// Cuts the power at operation `at` of the program; returns whether the cut occurred.
fn cut<R: Rig, T>(rig: &R, at: u32, effect: CutEffect, act: impl AsyncFnOnce(&mut R::Board) -> T) -> bool {
    let mut board = booted(rig);
    poll_ready(board.boot_state()).expect("nothing is cut").expect("flash can be read");
    rig.nor().plan([PlannedFault { at, fault: FlashFault::Cut(effect) }]);
    let ended = poll_ready(act(&mut board));
    let was_cut = !rig.nor().is_fault_due();
    assert_eq!(ended.is_none(), was_cut, "what is cut does not return");
    rig.nor().plan([]);
    was_cut
}

/// Cuts the rollback at every operation, with every effect; returns in how many cases image 1 ran in the end, and image 2.
fn cut_the_way_back<R: Rig>() -> [u32; 2] {
    let mut runs = [0, 0];
    for effect in CutEffect::ALL {
        for at in 0.. {
            let rig = with_a_way_back::<R>();
            if !cut(&rig, at, effect, async |board| board.restore_previous().await) {
                break;
            }
            settled(&rig);
            assert!(rig.runs(1) || rig.runs(2), "{at} {effect:?}");
            runs[usize::from(rig.runs(2))] += 1;
            update_and_keep(&rig, 3).unwrap_or_else(|failure| panic!("{at} {effect:?}: {failure}"));
        }
    }
    runs
}

#[test]
fn a_rollback_that_did_not_reach_the_loader_is_repeated() {
    for [back, stayed] in [cut_the_way_back::<Esp>(), cut_the_way_back::<McubootSwap>()] {
        println!("{back} go back, {stayed} stay");
        assert!(back > stayed && stayed > 0, "{back} {stayed}");
    }
}

/// In place, the rollback loses the running image: MCUboot erases it.
#[test]
fn a_rollback_that_did_not_reach_mcuboot_in_place_is_repeated() {
    let [back, stayed] = cut_the_way_back::<McubootInPlace>();
    println!("{back} go back, {stayed} stay");
    assert!(back > stayed && stayed > 0, "{back} {stayed}");
}

/// The outcome of an update that was cut.
#[derive(Debug, Default)]
struct Counts {
    cuts: u32,
    succeeded: u32,
    failed: u32,
    /// The loader wrote a word that it had not erased, then or in the next update: this flash refuses that.
    written_twice: u32,
}

/// Boots until image `new` is confirmed or its trial has ended; returns whether it is confirmed. It passes its self-test.
fn run_to_end<R: Rig>(rig: &R, new: u32) -> bool {
    for _ in 0..2 * BOOTS_MAX {
        if rig.reset() != Turn::Runs {
            continue;
        }
        if let Some(Some(ended)) = poll_ready(program::<R>(rig, new, &mut rig.board())) {
            return ended;
        }
    }
    panic!("no end after {} boots", 2 * BOOTS_MAX);
}

async fn program<R: Rig>(rig: &R, new: u32, board: &mut R::Board) -> Option<bool> {
    let state = board.boot_state().await.expect("flash can be read");
    match (state.image_state(), state.trial) {
        (ImageState::OnTrial, _) => board.confirm().await.expect("it is on trial"),
        (ImageState::Confirmed, _) if rig.runs(new) => return Some(true),
        (ImageState::Confirmed, Trial::Ended { .. }) => return Some(false),
        (ImageState::Confirmed, Trial::None) => update(board, &R::image(new)).await.expect("a good image"),
        _ => {}
    }
    None
}

/// Cuts an update to image `new` at every operation of program and loader, with every effect that leaves stable bits.
fn cut_an_update<R: Rig>(new: u32) -> Counts {
    let mut counts = Counts::default();
    for effect in
        [CutEffect::Before, CutEffect::Head, CutEffect::Tail, CutEffect::Bits, CutEffect::Between, CutEffect::After]
    {
        for at in 0.. {
            let rig = R::new();
            for number in 2..new {
                update_and_keep(&rig, number).expect("a good update");
            }
            rig.nor().plan([PlannedFault { at, fault: FlashFault::Cut(effect) }]);
            let ended = catch_unwind(AssertUnwindSafe(|| run_to_end(&rig, new)));
            if rig.nor().is_fault_due() {
                break;
            }
            counts.cuts += 1;
            match ended {
                Ok(true) => counts.succeeded += 1,
                Ok(false) => counts.failed += 1,
                Err(cause) if is_of_flash(&*cause) => {
                    counts.written_twice += 1;
                    continue;
                }
                Err(cause) => resume_unwind(cause),
            }
            assert!(rig.runs(if matches!(ended, Ok(true)) { new } else { new - 1 }), "{at} {effect:?}");
            match catch_unwind(AssertUnwindSafe(|| update_and_keep(&rig, new + 1))) {
                Err(cause) if is_of_flash(&*cause) => counts.written_twice += 1,
                Err(cause) => resume_unwind(cause),
                Ok(taken) => assert_eq!(taken, Ok(()), "{at} {effect:?}"),
            }
        }
    }
    counts
}

fn is_of_flash(cause: &dyn Any) -> bool {
    cause.downcast_ref::<String>().is_some_and(|text| text.contains("is not erased"))
}

#[test]
fn after_an_update_that_was_cut_anywhere_the_next_one_is_taken() {
    for new in [2, 3] {
        let swap = cut_an_update::<McubootSwap>(new);
        println!("MCUboot, swap, to image {new}: {swap:?}");
        assert!(swap.succeeded > 100 && swap.written_twice == 0);
        let in_place = cut_an_update::<McubootInPlace>(new);
        println!("MCUboot, in place, to image {new}: {in_place:?}");
        assert!(in_place.succeeded > in_place.failed && in_place.written_twice == 0);
    }
}

/// embassy-boot marks invalid progress by a second write to the same word.
#[test]
fn after_an_update_of_embassy_boot_that_was_cut_anywhere_the_next_one_is_taken() {
    let embassy = cut_an_update::<Embassy>(2);
    println!("embassy-boot: {embassy:?}");
    // Only cuts between start and verdict, of which 18 are in the record of a confirmation that was begun, end the trial.
    assert!(embassy.succeeded > 1_000 && embassy.failed <= 20, "{embassy:?}");
    assert!(embassy.written_twice < embassy.succeeded / 4, "{embassy:?}");
}

/// The record names the earlier image, whose copy is corrupted before the loader reads it.
fn switch_to_what_is_refused<R: Rig>() -> R {
    let rig = with_a_way_back::<R>();
    poll_ready(booted(&rig).restore_previous()).expect("nothing is cut").expect("there is an earlier image");
    rig.corrupt(&R::image(1));
    rig
}

#[test]
fn a_rollback_to_an_image_that_the_loader_refuses_changes_nothing_and_is_reported() {
    let esp = switch_to_what_is_refused::<Esp>();
    let ended = settled(&esp);
    assert!(esp.runs(2));
    let as_expected =
        matches!(ended, Trial::Ended { slot: SlotId::A, reason: REASON_ATTEMPTS_EXHAUSTED, started: true, .. });
    assert!(as_expected, "{ended:?}");
    let images = poll_ready(booted(&esp).images()).expect("nothing is cut").expect("flash can be read");
    let refused = images.get(SlotId::A).map(|image| image.status);
    assert_eq!(refused, Some(ImageStatus::Failed), "so that no rollback tries it again");
    assert_eq!(update_and_keep(&esp, 3), Ok(()));

    let swap = switch_to_what_is_refused::<McubootSwap>();
    let ended = settled(&swap);
    assert!(swap.runs(2));
    assert!(matches!(ended, Trial::Ended { reason: REASON_ATTEMPTS_EXHAUSTED, .. }), "{ended:?}");
    assert_eq!(update_and_keep(&swap, 3), Ok(()));
}

/// With a third slot, an image can have failed there while the rollback target is in another one.
#[test]
fn a_rollback_after_a_failed_trial_that_did_not_reach_the_loader_is_repeated() {
    for (at, effect) in (0..8).flat_map(|at| CutEffect::ALL.map(|effect| (at, effect))) {
        let esp = Esp::with(Table { slots: 3, factory: false });
        update_and_keep(&esp, 2).expect("a good update");
        poll_ready(update(&mut booted(&esp), &Esp::image(3))).expect("nothing is cut").expect("a good image");
        poll_ready(booted(&esp).roll_back(7)).expect("nothing is cut").expect("it is on trial");
        assert!(matches!(settled(&esp), Trial::Ended { slot: SlotId::C, reason: 7, .. }));
        cut(&esp, at, effect, async |board| board.restore_previous().await);
        settled(&esp);
        assert!(esp.runs(1) || esp.runs(2), "{at} {effect:?}");
        update_and_keep(&esp, 4).unwrap_or_else(|failure| panic!("{at} {effect:?}: {failure}"));
    }
}

/// A device with factory image 1 that runs image 2.
fn with_a_factory() -> Esp {
    let esp = Esp::with(Table { slots: 2, factory: true });
    update_and_keep(&esp, 2).expect("a good update");
    let der = signer().sign(&Esp::image(1));
    poll_ready(booted(&esp).verify_factory(&signature(&der)))
        .expect("nothing is cut")
        .expect("the factory's image is good");
    esp
}

fn is_reset(esp: &Esp) -> bool {
    let slots = [SlotId::A, SlotId::B].map(|slot| esp.layout().slot(slot));
    let is_erased = |region: ota_pal::Region| {
        esp.nor().bytes(region.offset_bytes(), region.len_bytes()).iter().all(|byte| *byte == 0xFF)
    };
    esp.started().is_factory() && slots.into_iter().all(is_erased)
}

#[test]
fn a_factory_reset_cut_between_record_and_loader_is_done_whole_or_forgotten() {
    let (mut done, mut forgotten) = (0, 0);
    for effect in CutEffect::ALL {
        for at in 0.. {
            let esp = with_a_factory();
            if !cut(&esp, at, effect, async |board| board.factory_reset().await) {
                break;
            }
            assert_eq!(settled(&esp), Trial::None, "{at} {effect:?}");
            assert!(is_reset(&esp) || esp.runs(2), "{at} {effect:?}");
            done += u32::from(is_reset(&esp));
            forgotten += u32::from(esp.runs(2));
            let images = poll_ready(booted(&esp).images()).expect("nothing is cut").expect("flash can be read");
            assert_eq!(images.iter().count(), if is_reset(&esp) { 1 } else { 2 }, "{at} {effect:?}");
            update_and_keep(&esp, 3).unwrap_or_else(|failure| panic!("{at} {effect:?}: {failure}"));
        }
    }
    println!("{done} factory resets done, {forgotten} forgotten");
    assert!(done > 0 && forgotten > 0, "{done} {forgotten}");
}

#[test]
fn a_factory_reset_cut_in_the_middle_of_the_erasing_is_done_at_the_next_boot() {
    let mut cuts = 0;
    for effect in CutEffect::ALL {
        for at in 0.. {
            let esp = with_a_factory();
            poll_ready(booted(&esp).factory_reset()).expect("nothing is cut").expect("the factory's image is good");
            assert_eq!(esp.reset(), Turn::Runs);
            esp.nor().plan([PlannedFault { at, fault: FlashFault::Cut(effect) }]);
            let ended = poll_ready(esp.board().boot_state());
            if esp.nor().is_fault_due() {
                break;
            }
            assert_eq!(ended, None, "{at} {effect:?}");
            cuts += 1;
            assert_eq!(settled(&esp), Trial::None, "{at} {effect:?}");
            assert!(is_reset(&esp), "{at} {effect:?}");
            update_and_keep(&esp, 3).unwrap_or_else(|failure| panic!("{at} {effect:?}: {failure}"));
        }
    }
    assert!(cuts > 30, "{cuts}");
}

/// `Layout` can have a factory slot, but MCUboot never starts one.
fn order_an_unsupported_factory_reset<R: Rig>(rig: &R) {
    update_and_keep(rig, 2).expect("a good update");
    let der = signer().sign(&R::image(1));
    let mut board = booted(rig);
    poll_ready(board.verify_factory(&signature(&der))).expect("nothing is cut").expect("the factory's image is good");
    let flash = || rig.nor().bytes(0, rig.nor().capacity() as u32);
    let before = flash();
    let refused = poll_ready(board.factory_reset()).expect("nothing is cut");
    assert_eq!(refused, Err(Refusal::Fault(Fault::LoaderRefused { code: 0 })));
    assert!(flash() == before, "nothing was written");
    assert_eq!(settled(rig), Trial::None);
    assert!(rig.runs(2));
    assert_eq!(update_and_keep(rig, 3), Ok(()));
}

#[test]
fn a_factory_reset_that_the_loader_cannot_perform_is_refused_and_changes_nothing() {
    order_an_unsupported_factory_reset(&McubootSwap::with_factory());
    order_an_unsupported_factory_reset(&McubootInPlace::with_factory());
}

/// Bits of an entry's state can be erased first: `NEW` becomes `VALID`, and the image starts without rollback protection.
#[test]
fn an_image_that_was_started_as_if_it_had_been_kept_is_on_trial_all_the_same() {
    let esp = Esp::new();
    poll_ready(update(&mut booted(&esp), &Esp::image(2))).expect("nothing is cut").expect("a good image");
    let otadata = esp.otadata();
    assert_eq!((Entry::of(&otadata, 1).seq(), Entry::of(&otadata, 1).state()), (2, NEW));
    esp.put([Some(Entry::of(&otadata, 0)), Some(Entry::new(2, VALID))]);
    let mut board = booted(&esp);
    assert!(esp.runs(2));
    for _ in 0..2 {
        let state = poll_ready(board.boot_state()).expect("nothing is cut").expect("flash can be read");
        assert_eq!(state.image_state(), ImageState::OnTrial);
    }
    drop(board);
    assert!(matches!(settled(&esp), Trial::Ended { slot: SlotId::B, .. }), "it gave no verdict");
    assert!(esp.runs(1));
    assert_eq!(update_and_keep(&esp, 3), Ok(()));
}

/// A device that runs image 2, on trial, with the flag of a confirmed image, which no program set, at this address.
fn confirmed_by_none<R: Rig>(flag_at: u32) -> R {
    let rig = R::new();
    poll_ready(update(&mut booted(&rig), &R::image(2))).expect("nothing is cut").expect("a good image");
    assert_eq!(rig.reset(), Turn::Runs);
    rig.nor().burn(flag_at, &[0x01]);
    assert!(rig.runs(2));
    rig
}

/// The flag of the slot that starts at 0, and of the one after it.
const FLAGS: [u32; 2] = [12_288 - 24, 2 * 12_288 - 24];

#[test]
fn an_image_that_the_loader_confirmed_without_a_verdict_is_on_trial_at_every_load() {
    fn is_on_trial<R: Rig>(rig: &R) {
        for _ in 0..2 {
            let mut board = booted(rig);
            for _ in 0..3 {
                let state = poll_ready(board.boot_state()).expect("nothing is cut").expect("flash can be read");
                assert!(rig.runs(2) && state.image_state() == ImageState::OnTrial, "{:?}", state.trial);
            }
        }
        poll_ready(booted(rig).confirm()).expect("nothing is cut").expect("it is on trial");
        assert_eq!(settled(rig), Trial::None);
        assert_eq!(update_and_keep(rig, 3), Ok(()));
    }
    is_on_trial(&confirmed_by_none::<McubootSwap>(FLAGS[0]));
    is_on_trial(&confirmed_by_none::<McubootInPlace>(FLAGS[1]));
}

/// A device whose image 2 failed its self-test with reason 7, after another program had confirmed it at the loader.
fn failed_and_kept<R: Rig>(rig: R) -> R {
    poll_ready(update(&mut booted(&rig), &R::image(2))).expect("nothing is cut").expect("a good image");
    let mut board = booted(&rig);
    rig.keep();
    let ended = poll_ready(board.roll_back(7)).expect("nothing is cut");
    assert_eq!(ended, Err(Fault::NoTrialRuns));
    rig
}

/// The image runs and is confirmed, and the reason of its trial is there, at each load of two boots.
fn is_kept<R: Rig>(rig: &R) {
    for _ in 0..2 {
        let mut board = booted(rig);
        for _ in 0..2 {
            let state = poll_ready(board.boot_state()).expect("nothing is cut").expect("the device is not lost");
            assert_eq!((rig.runs(2), state.image_state()), (true, ImageState::Confirmed));
            assert!(matches!(state.trial, Trial::Ended { slot: SlotId::B, reason: 7, .. }), "{:?}", state.trial);
        }
    }
}

#[test]
fn a_failed_image_that_the_loader_does_not_revert_is_reported_and_the_next_update_is_taken() {
    fn is_replaced<R: Rig>() {
        let rig = failed_and_kept(R::new());
        is_kept(&rig);
        assert_eq!(update_and_keep(&rig, 3), Ok(()));
        assert_eq!(settled(&rig), Trial::None);
    }
    is_replaced::<Embassy>();
    is_replaced::<McubootSwap>();
    is_replaced::<McubootInPlace>();
}

#[test]
fn the_boot_record_of_a_failed_image_that_the_loader_keeps_can_be_stored() {
    let swap = failed_and_kept(McubootSwap::with_factory());
    let der = signer().sign(&McubootSwap::image(1));
    poll_ready(booted(&swap).verify_factory(&signature(&der))).expect("nothing is cut").expect("a good image");
    is_kept(&swap);
    poll_ready(booted(&swap).restore_previous()).expect("nothing is cut").expect("there is an earlier image");
    settled(&swap);
    assert!(swap.runs(1));
    assert_eq!(update_and_keep(&swap, 3), Ok(()));
}

/// After a command to return to the earlier image, the loader keeps the failed one until the reset only.
#[test]
fn a_failed_image_is_not_taken_for_confirmed_once_a_rollback_is_ordered() {
    let swap = failed_and_kept(McubootSwap::new());
    let mut board = booted(&swap);
    poll_ready(board.restore_previous()).expect("nothing is cut").expect("there is an earlier image");
    let refused = poll_ready(board.begin(1_024, 0)).expect("nothing is cut");
    assert_eq!(refused, Err(Refusal::TrialRunning), "the slot of the earlier image is not written");
}

/// Another program changed otadata: the image was verified and never activated.
#[test]
fn an_image_that_another_program_chose_is_on_trial_at_every_load_and_reverted_without_a_verdict() {
    let esp = Esp::new();
    let image = Esp::image(2);
    poll_ready(receive(&mut booted(&esp), &image)).expect("nothing is cut").expect("a good image");
    esp.put([Some(Entry::of(&esp.otadata(), 0)), Some(Entry::new(2, VALID))]);
    let mut board = booted(&esp);
    for _ in 0..3 {
        let state = poll_ready(board.boot_state()).expect("nothing is cut").expect("flash can be read");
        assert!(esp.runs(2) && state.image_state() == ImageState::OnTrial, "{:?}", state.trial);
    }
    drop(board);
    assert!(matches!(settled(&esp), Trial::Ended { slot: SlotId::B, .. }), "it gave no verdict");
    assert!(esp.runs(1));
    assert_eq!(update_and_keep(&esp, 3), Ok(()));
}

/// In place, MCUboot erases images that hang or are invalid: the device must not wait for a trial of either.
#[test]
fn an_image_that_mcuboot_erased_is_given_up_at_the_next_boot() {
    let mut no_image = McubootInPlace::image(4);
    *no_image.last_mut().expect("an image has bytes") ^= 1;
    for (image, hangs) in [(McubootInPlace::image(4), true), (no_image, false)] {
        let mcuboot = McubootInPlace::new();
        update_and_keep(&mcuboot, 3).expect("a good update");
        poll_ready(update(&mut booted(&mcuboot), &image)).expect("nothing is cut").expect("signed as it is");
        if hangs {
            assert_eq!(mcuboot.reset(), Turn::Runs);
            assert!(mcuboot.runs(4));
        }
        let mut board = booted(&mcuboot);
        assert!(mcuboot.runs(3));
        let state = poll_ready(board.boot_state()).expect("nothing is cut").expect("flash can be read");
        assert!(matches!(state.trial, Trial::Ended { reason: REASON_ATTEMPTS_EXHAUSTED, .. }), "{:?}", state.trial);
        assert_eq!(update_and_keep(&mcuboot, 5), Ok(()));
    }
}

/// An update of firmware that stores no boot record: its loader still has the running image on trial, and needs the other one.
#[test]
fn a_trial_that_no_record_describes_is_not_overwritten() {
    fn is_kept<R: Rig>() {
        let rig = R::on_trial_without_a_record();
        for number in [3, 4] {
            let image = R::image(number);
            let refused = poll_ready(rig.board().begin(image.len() as u32, 0)).expect("nothing is cut");
            assert_eq!(refused, Err(Refusal::Fault(Fault::LoaderRefused { code: 0 })));
        }
        settled(&rig);
        assert!(rig.runs(1), "the loader could revert it");
        assert_eq!(update_and_keep(&rig, 3), Ok(()));

        let rig = R::on_trial_without_a_record();
        rig.keep();
        poll_ready(receive(&mut rig.board(), &R::image(3))).expect("nothing is cut").expect("a good image");
        settled(&rig);
        assert!(rig.runs(2), "it was confirmed at the loader");
        assert_eq!(update_and_keep(&rig, 4), Ok(()));
    }
    is_kept::<Embassy>();
    is_kept::<McubootInPlace>();
    is_kept::<McubootSwap>();
    is_kept::<Esp>();
}

/// MCUboot in place starts the highest version only, and `VersionRule::Any` permits updates to an earlier one.
#[test]
fn an_image_that_waits_and_is_passed_over_at_every_boot_is_given_up() {
    let mcuboot = McubootInPlace::new();
    update_and_keep(&mcuboot, 4).expect("a good update");
    poll_ready(update(&mut booted(&mcuboot), &McubootInPlace::image(3)))
        .expect("nothing is cut")
        .expect("a good image");
    let ended = settled(&mcuboot);
    assert!(mcuboot.runs(4));
    assert!(matches!(ended, Trial::Ended { reason: REASON_ATTEMPTS_EXHAUSTED, .. }), "{ended:?}");
    assert_eq!(update_and_keep(&mcuboot, 5), Ok(()));
}

/// The same bytes in two slots: their digests alone do not identify the running slot.
#[test]
fn an_image_that_lies_in_both_slots_is_swapped_once_and_the_next_update_works() {
    fn twice<R: Rig>() {
        let rig = R::new();
        for number in [2, 2, 3] {
            update_and_keep(&rig, number).unwrap_or_else(|failure| panic!("{failure}"));
            for _ in 0..3 {
                assert!(poll_ready(booted(&rig).boot_state()).is_some_and(|state| state.is_ok()));
                assert!(rig.runs(number));
            }
        }
    }
    twice::<McubootSwap>();
    twice::<Embassy>();
}

/// Random bits that are misread in each read: enough for one of the version or the counter to be among them.
const MISREAD_BITS: u32 = 64;

/// Misreads one bit in each read of the identity of an image in turn; returns the number of reads.
fn misread_everywhere(nor: &Nor, identity: impl Fn() -> Result<ImageInfo, Refusal>) -> u32 {
    let info = identity();
    assert!(info.is_ok(), "{info:?}");
    for at in 0.. {
        for _ in 0..MISREAD_BITS {
            nor.plan([PlannedFault { at, fault: FlashFault::Misread }]);
            assert_eq!(identity(), info, "{at}");
            if nor.is_fault_due() {
                return at;
            }
        }
    }
    unreachable!("a reading ends")
}

#[test]
fn a_bit_misread_changes_nothing_of_an_mcuboot_image() {
    let rig = McubootSwap::new();
    let reads = misread_everywhere(rig.nor(), || {
        let mut flash: View<8, 2_048> = View(rig.nor().clone());
        poll_ready(McubootImages::<true>::identity(&mut flash, Region::new(0, 12_288), Available::Whole))
            .expect("nothing is cut")
    });
    assert!(reads > 4, "header and TLVs, twice");
}

#[test]
fn a_bit_misread_changes_nothing_of_an_esp_idf_image() {
    let rig = Esp::new();
    let slot = rig.layout().slot(SlotId::A);
    for (extent, reads_min) in [(Available::Head, 2), (Available::Whole, 6)] {
        let reads = misread_everywhere(rig.nor(), || {
            let mut flash: PlainView = View(rig.nor().clone());
            poll_ready(EspImages::identity(&mut flash, slot, extent)).expect("nothing is cut")
        });
        assert!(reads >= reads_min, "the head, and for a whole image two segments, twice: {reads}");
    }
}
