//! One update, and one interruption at every point of it: of the connection, the device, the power or the job itself.

use ota_agent::Notice;
use ota_jobs::{Reason, Status};
use ota_pal::Floor;
use ota_pal::{SlotId, Trial};
use ota_tests::calm::{WHILE_MS, confirmed, world};
use ota_tests::job::{Kind, Order, Route};
use ota_tests::nor::{Blow, Mishap, Tear};
use ota_tests::world::{Act, Ended, Flow, Setup, World};

/// Three sectors, twelve blocks: an update short enough to be interrupted everywhere.
fn short(id: &str, kind: Kind, patch: u32, route: Route) -> Order {
    Order { id: id.into(), kind, route, patch, image_bytes: 12_000 + patch, asks: Floor::default(), by_next_key: false }
}

/// A simulation of this job, with `disturb` called before every step.
fn disturbed(kind: Kind, route: Route, mut disturb: impl FnMut(&mut World)) -> World {
    let mut world = world();
    world.create(&short("job", kind, 2, route));
    let ended = world.run(WHILE_MS, |world| {
        disturb(world);
        Flow::Go
    });
    assert_eq!(world.checks.violations, [] as [String; 0]);
    assert_eq!(ended, Ended::Quiet);
    world
}

/// Does something once, as soon as it is `due`.
fn once(due: impl Fn(&World) -> bool, mut act: impl FnMut(&mut World)) -> impl FnMut(&mut World) {
    let mut is_done = false;
    move |world| {
        if !is_done && due(world) {
            is_done = true;
            act(world);
        }
    }
}

const ROUTES: [Route; 2] = [Route::Mqtt, Route::Http];

#[test]
fn the_update_succeeds_wherever_the_connection_breaks() {
    for route in ROUTES {
        let steps = disturbed(Kind::Good, route, |_| {}).steps;
        for at in 0..steps {
            let cut = once(|world| world.steps == at, |world| world.act(Act::Disconnect { ms: 700 }));
            let world = disturbed(Kind::Good, route, cut);
            assert_eq!(world.verdict("job"), (Status::Succeeded, None), "{route:?}, step {at}");
        }
    }
}

#[test]
fn the_update_succeeds_wherever_the_device_is_reset() {
    for route in ROUTES {
        let steps = disturbed(Kind::Good, route, |_| {}).steps;
        for at in 0..steps {
            let world = disturbed(Kind::Good, route, once(|world| world.steps == at, |world| world.act(Act::Reset)));
            assert_eq!(world.verdict("job"), (Status::Succeeded, None), "{route:?}, step {at}");
            assert_eq!(confirmed(&world), (SlotId::B, 2), "{route:?}, step {at}");
        }
    }
}

#[test]
fn a_bad_image_is_tried_once_and_told_as_it_is_wherever_the_device_is_reset() {
    let steps = disturbed(Kind::FailsItsTest, Route::Mqtt, |_| {}).steps;
    for at in 0..steps {
        let reset = once(|world| world.steps == at, |world| world.act(Act::Reset));
        let world = disturbed(Kind::FailsItsTest, Route::Mqtt, reset);
        let tried = world.notices().iter().filter(|notice| **notice == Notice::Activated);
        assert_eq!(tried.count(), 1, "step {at}: one trial");
        assert_eq!(world.verdict("job"), (Status::Failed, Some(Reason::SelfTestFailed)), "step {at}");
        assert_eq!(confirmed(&world), (SlotId::A, 1), "step {at}");
    }
}

#[test]
fn an_image_that_is_reset_again_and_again_without_a_verdict_is_given_up() {
    let mut world = world();
    world.checks.excuses.push(Reason::TrialAttemptsExhausted);
    world.create(&short("job", Kind::HangsInItsTest, 2, Route::Mqtt));
    let ended = world.run(WHILE_MS, |world| {
        let on_trial = matches!(world.device.record().trial, Trial::Started { .. });
        if on_trial && world.steps.is_multiple_of(10) {
            world.act(Act::Reset);
        }
        Flow::Go
    });
    assert_eq!(ended, Ended::Quiet);
    assert_eq!(world.checks.violations, [] as [String; 0]);
    assert_eq!(world.verdict("job"), (Status::Failed, Some(Reason::TrialAttemptsExhausted)));
    assert_eq!((confirmed(&world), world.boots), ((SlotId::A, 1), 5), "one before, three on trial, one after");
}

/// More operations than an update of this size can have: beyond the last one nothing is cut.
const OPERATIONS_MAX: u32 = 60;

#[test]
fn the_truth_is_told_whichever_flash_operation_the_power_goes_at() {
    for (kind, verdict) in
        [(Kind::Good, (Status::Succeeded, None)), (Kind::FailsItsTest, (Status::Failed, Some(Reason::SelfTestFailed)))]
    {
        let mut boots = 0;
        for at in 0..OPERATIONS_MAX {
            for tear in Tear::ALL {
                let cut = once(|_| true, |world| world.device.nor.plan([Mishap { at, blow: Blow::Cut(tear) }]));
                let world = disturbed(kind, Route::Mqtt, cut);
                assert_eq!(world.verdict("job"), verdict, "{kind:?}, operation {at}, {tear:?}");
                boots += world.boots;
            }
        }
        assert!(boots > 2 * OPERATIONS_MAX * 2, "the cuts were felt: {boots} boots");
    }
}

/// Reasons that may be reported when the flash refuses an operation.
const FLASH_REASONS: [Reason; 5] = [
    Reason::FlashWriteFailed,
    Reason::FlashEraseFailed,
    Reason::JournalFailed,
    Reason::BootRecordFailed,
    Reason::TrialAttemptsExhausted,
];

#[test]
fn the_truth_is_told_and_the_next_job_works_whichever_flash_operation_fails() {
    for at in 0..OPERATIONS_MAX {
        let mut world = world();
        world.checks.excuses = FLASH_REASONS.to_vec();
        world.create(&short("job", Kind::Good, 2, Route::Mqtt));
        world.create(&short("next", Kind::Good, 3, Route::Mqtt));
        world.device.nor.plan([Mishap { at, blow: Blow::Fail }]);
        let ended = world.run(WHILE_MS, |_| Flow::Go);
        assert_eq!(world.checks.violations, [] as [String; 0], "operation {at}");
        assert_eq!(ended, Ended::Quiet, "operation {at}");
        let good = ["job", "next"].iter().filter(|id| world.verdict(id).0 == Status::Succeeded);
        assert!(good.count() >= 1, "operation {at}: one of them met no failure");
    }
}

#[test]
fn the_truth_is_told_whichever_flash_operation_is_done_and_called_failed() {
    for at in 0..OPERATIONS_MAX {
        let mut world = world();
        world.checks.excuses = FLASH_REASONS.to_vec();
        world.create(&short("job", Kind::Good, 2, Route::Mqtt));
        world.device.nor.plan([Mishap { at, blow: Blow::Deny }]);
        let ended = world.run(WHILE_MS, |_| Flow::Go);
        assert_eq!(world.checks.violations, [] as [String; 0], "operation {at}");
        world.act(Act::Reset); // an image put on trial unintentionally would start now
        world.run(WHILE_MS, |_| Flow::Go);
        let (patch, status) = (confirmed(&world).1, world.verdict("job").0);
        let truth = (Status::Succeeded, 2) == (status, patch) || (Status::Failed, 1) == (status, patch);
        assert!(truth && ended == Ended::Quiet, "operation {at}: {status}, 1.0.{patch} runs");
    }
}

#[test]
fn a_boot_record_that_wears_out_during_a_trial_ends_the_job_and_not_the_device() {
    let mut world = world();
    world.checks.excuses = FLASH_REASONS.to_vec();
    world.create(&short("job", Kind::Good, 2, Route::Mqtt));
    let region = world.device.layout.boot_record();
    let wear_out = Blow::WearOut(region.offset_bytes(), region.offset_bytes() + region.len_bytes());
    let pending = |world: &World| matches!(world.device.record().trial, Trial::Pending { .. });
    let mut wear = once(pending, |world| world.device.nor.plan([Mishap { at: 0, blow: wear_out }]));
    let ended = world.run(WHILE_MS, |world| {
        wear(world);
        Flow::Go
    });
    assert_eq!(world.checks.violations, [] as [String; 0]);
    assert_eq!((ended, confirmed(&world).1), (Ended::Quiet, 1));
    assert_eq!(world.verdict("job"), (Status::Failed, Some(Reason::BootRecordFailed)));
    assert!(world.boots < 10, "{} boots", world.boots);
}

#[test]
fn while_a_trial_runs_whose_job_is_over_the_service_is_left_in_peace() {
    let mut world = world();
    world.create(&short("job", Kind::HangsInItsTest, 2, Route::Mqtt));
    let on_trial = |world: &World| matches!(world.device.record().trial, Trial::Started { .. }) && world.steps > 60;
    let mut cancel = once(on_trial, |world| world.take_back("job", Status::Canceled));
    let ended = world.run(WHILE_MS, |world| {
        cancel(world);
        Flow::Go
    });
    assert_eq!((ended, world.verdict("job").0, confirmed(&world).1), (Ended::Quiet, Status::Canceled, 1));
    assert!(world.service.questions < 12, "{} questions", world.service.questions);
}

#[test]
fn a_trial_goes_on_after_a_boot_that_could_not_be_counted() {
    let mut world = world();
    world.create(&short("job", Kind::HangsInItsTest, 2, Route::Mqtt));
    let on_trial = |world: &World| matches!(world.device.record().trial, Trial::Started { .. });
    let mut reset = once(on_trial, |world| {
        world.device.nor.plan([Mishap { at: 0, blow: Blow::Fail }]); // the selector's: it starts the confirmed image instead
        world.act(Act::Reset);
    });
    let ended = world.run(WHILE_MS, |world| {
        reset(world);
        Flow::Go
    });
    assert_eq!(world.checks.violations, [] as [String; 0]);
    assert_eq!((ended, world.verdict("job")), (Ended::Quiet, (Status::Failed, Some(Reason::SelfTestTimedOut))));
}

#[test]
fn a_job_cancelled_before_activation_ends_without_a_trial_and_later_the_trial_ends_as_it_must() {
    let steps = disturbed(Kind::Good, Route::Mqtt, |_| {}).steps;
    let mut tried = 0;
    for at in 0..steps {
        let mut activated = false;
        let cancel = |world: &mut World| world.take_back("job", Status::Canceled);
        let mut cancel = once(|world| world.steps == at, cancel);
        let mut told_ms = None;
        let world = disturbed(Kind::Good, Route::Mqtt, |world| {
            let canceled = world.service.entry("job").is_some_and(|entry| entry.status == Status::Canceled);
            let pending = matches!(world.device.record().trial, Trial::Pending { .. });
            if canceled && !activated && pending {
                let after_ms = world.now_ms - told_ms.unwrap_or(world.now_ms);
                assert!(after_ms < 200, "step {at}: activated {after_ms} ms after it was cancelled");
            }
            activated |= pending;
            cancel(world);
            told_ms = told_ms.or(world.service.entry("job").and_then(|entry| entry.taken_back_ms));
        });
        assert_eq!(world.verdict("job").0, if told_ms.is_some() { Status::Canceled } else { Status::Succeeded });
        assert_eq!(confirmed(&world).1, if activated { 2 } else { 1 }, "step {at}");
        tried += u32::from(activated);
    }
    assert!((1..steps as u32).contains(&tried), "some were cancelled in time: {tried} of {steps}");
}

#[test]
fn a_job_that_supersedes_another_at_any_point_succeeds() {
    let steps = disturbed(Kind::Good, Route::Mqtt, |_| {}).steps;
    for at in 0..steps {
        let supersede = |world: &mut World| {
            world.take_back("job", Status::Canceled);
            world.create(&short("next", Kind::Good, 3, Route::Mqtt));
        };
        let world = disturbed(Kind::Good, Route::Mqtt, once(|world| world.steps == at, supersede));
        assert_eq!(world.verdict("next"), (Status::Succeeded, None), "step {at}");
        assert_eq!(confirmed(&world).1, 3, "step {at}");
    }
}

/// Resets a device once in the download of an image of so many bytes, after so many blocks; returns where its downloads
/// resumed.
fn reset_in_a_download(setup: Setup, route: Route, image_bytes: u32, blocks: usize) -> Vec<u32> {
    let mut world = World::new(setup);
    world.create(&Order { image_bytes, ..short("job", Kind::Good, 2, route) });
    let mut reset = once(|world| world.checks.progress.len() == blocks, |world| world.act(Act::Reset));
    world.run(WHILE_MS, |world| {
        reset(world);
        Flow::Go
    });
    assert_eq!(world.verdict("job"), (Status::Succeeded, None));
    assert_eq!(world.checks.violations, [] as [String; 0]);
    let resumed = world.notices().iter().filter_map(|notice| match notice {
        Notice::DownloadStarted { resumed_bytes } => Some(*resumed_bytes),
        _ => None,
    });
    resumed.collect()
}

#[test]
fn a_download_goes_on_after_a_reset_where_the_journal_says() {
    let resumed = reset_in_a_download(Setup::new(1), Route::Mqtt, 150_002, 100);
    assert_eq!(resumed, [0, 65_536], "made durable every 64 KiB; 100 KiB had come");
}

/// In blocks of 256 bytes, of which a window has 32 KiB: the image is more than two windows long.
#[test]
fn a_reset_anywhere_in_a_long_download_costs_a_window_and_a_sector_at_most() {
    let costs_max = 32_768 + 4_096;
    for (route, blocks) in ROUTES.into_iter().flat_map(|route| (5..310).step_by(13).map(move |at| (route, at))) {
        let mut setup = Setup::new(1);
        setup.config = setup.config.with_block_bytes(256).expect("valid");
        let resumed = reset_in_a_download(setup, route, 80_002, blocks);
        assert!(resumed[1] + costs_max >= 256 * blocks as u32, "{route:?}, block {blocks}: {resumed:?}");
    }
}
