//! Whole updates through the platform with a model of MCUboot that swaps or starts in place, with the power cut at every
//! operation. The reported image runs, at that boot and at all later ones.

use ota_pal::REASON_ATTEMPTS_EXHAUSTED;
use ota_pal::{ImageState, Platform, Refusal, poll_ready};
use ota_tests::mcuboot::image;
use ota_tests::nor::CutEffect;
use ota_tests::rig::embassy::Embassy;
use ota_tests::rig::esp::Esp;
use ota_tests::rig::mcuboot::{McubootInPlace, McubootSwap};
use ota_tests::rig::update_run::{Behaviour, REASON, Report, UpdateRun, cut_everywhere};
use ota_tests::rig::{Rig, booted, receive, update_and_keep};
use ota_tests::rng::Rng;

const WENT_BACK: Report = Report::Failed { reason: REASON_ATTEMPTS_EXHAUSTED };

const STEADY: [CutEffect; 6] =
    [CutEffect::Before, CutEffect::Head, CutEffect::Tail, CutEffect::Bits, CutEffect::Between, CutEffect::After];

fn ends_as_it_must<R: Rig>() {
    for (behaviour, expected) in [
        (Behaviour::Passes, Report::Succeeded),
        (Behaviour::Fails, Report::Failed { reason: REASON }),
        (Behaviour::Hangs, WENT_BACK),
    ] {
        let run = UpdateRun::<R>::new(behaviour, R::image(2));
        let report = run.run();
        assert_eq!(report, expected, "{behaviour:?}");
        assert!(run.is_true(report), "{behaviour:?}");
    }
}

#[test]
fn an_update_is_swapped_in_and_kept_rolled_back_or_given_up() {
    ends_as_it_must::<McubootSwap>();
    ends_as_it_must::<McubootInPlace>();
}

#[test]
fn an_image_that_mcuboot_would_refuse_or_that_is_too_long_is_refused_by_name() {
    let report = |image: Vec<u8>| UpdateRun::<McubootSwap>::new(Behaviour::Passes, image).run();
    let mut other = McubootSwap::image(2);
    other[4_000] ^= 1; // signed as it is, by the job's key; MCUboot's own digest does not hold
    assert_eq!(report(other), WENT_BACK, "MCUboot erased it");
    let max = 8_192;
    let refusal = Refusal::ImageTooLarge { got: max as u32 + 8, max: max as u32 };
    assert_eq!(report(image(2, 0, max + 8, &mut Rng::new(2))), Report::Refused(refusal));
    assert_eq!(report(image(2, 0, max, &mut Rng::new(2))), Report::Succeeded, "right up to the trailer");
}

#[test]
fn a_cut_anywhere_in_an_update_is_reported_as_it_ended() {
    for behaviour in [Behaviour::Passes, Behaviour::Fails, Behaviour::Hangs] {
        let counts = cut_everywhere::<McubootSwap>(1, behaviour, &STEADY);
        assert_eq!((counts.refused, counts.dead, counts.untrue), (0, 0, 0), "{behaviour:?}");
        let (succeeded, failed) = (counts.succeeded, counts.failed);
        assert!(if behaviour == Behaviour::Passes { succeeded > 100 } else { succeeded == 0 && failed > 100 });
    }
}

/// The limit of the format, in a whole update: only the single flag of a confirmation is affected.
#[test]
fn bits_that_are_not_steady_cost_at_most_the_confirmation() {
    let counts = cut_everywhere::<McubootSwap>(1, Behaviour::Passes, &[CutEffect::Unstable, CutEffect::Unreadable]);
    assert_eq!(counts.refused, 0);
    assert!(counts.dead + counts.untrue <= 2, "{counts:?}");
}

/// In place, MCUboot erases an unmarked image at every boot: a cut before the mark loses the download, and also the job if
/// the record already names the slot.
#[test]
fn a_cut_anywhere_in_an_update_in_place_is_reported_as_it_ended() {
    for behaviour in [Behaviour::Passes, Behaviour::Fails, Behaviour::Hangs] {
        let counts = cut_everywhere::<McubootInPlace>(1, behaviour, &STEADY);
        assert_eq!((counts.refused, counts.dead, counts.untrue), (0, 0, 0), "{behaviour:?}");
        assert_eq!(counts.succeeded > 0, behaviour == Behaviour::Passes);
    }
}

/// The slot of the second update held the first image, which was confirmed: its mark must not start the third one.
#[test]
fn a_cut_anywhere_in_a_second_update_is_reported_as_it_ended() {
    for behaviour in [Behaviour::Passes, Behaviour::Fails, Behaviour::Hangs] {
        let in_place = cut_everywhere::<McubootInPlace>(2, behaviour, &STEADY);
        let swapped = cut_everywhere::<McubootSwap>(2, behaviour, &STEADY);
        for counts in [in_place, swapped] {
            assert_eq!((counts.refused, counts.dead, counts.untrue), (0, 0, 0), "{behaviour:?}");
            assert_eq!(counts.succeeded > 0, behaviour == Behaviour::Passes);
        }
    }
}

/// A device that runs image 2 and has received image 3, in the slot of image 1, up to this step.
fn with_an_unactivated_image<R: Rig>(is_verified: bool) -> R {
    let rig = R::new();
    update_and_keep(&rig, 2).expect("a good update");
    let (mut board, image) = (booted(&rig), R::image(3));
    poll_ready(async {
        match is_verified {
            true => receive(&mut board, &image).await.map(|_| ()),
            false => {
                board.begin(image.len() as u32, 0).await?;
                Ok(board.write(0, &image).await?)
            }
        }
    })
    .expect("nothing is cut")
    .expect("a good image");
    rig
}

#[test]
fn a_complete_image_that_was_never_activated_is_not_started() {
    fn is_not_started<R: Rig>() {
        for is_verified in [false, true] {
            let rig = with_an_unactivated_image::<R>(is_verified);
            for _ in 0..3 {
                let state = poll_ready(booted(&rig).boot_state()).expect("nothing is cut").expect("it can be read");
                assert!(rig.runs(2), "verified: {is_verified}");
                assert_eq!(state.image_state(), ImageState::Confirmed, "verified: {is_verified}");
            }
            assert_eq!(update_and_keep(&rig, 4), Ok(()), "verified: {is_verified}");
        }
    }
    is_not_started::<McubootInPlace>();
    is_not_started::<McubootSwap>();
    is_not_started::<Esp>();
    is_not_started::<Embassy>();
}
