//! One update, and one interruption at every point of it: of the connection, the device, the power or the job itself.

use ota_agent::Notice;
use ota_jobs::{Reason, Status};
use ota_pal::RollbackCounters;
use ota_pal::{SlotId, Trial};
use ota_tests::fixtures::{WHILE_MS, confirmed, sim};
use ota_tests::job::{Kind, Order, Route};
use ota_tests::nor::{CutEffect, FlashFault, PlannedFault};
use ota_tests::service::StatusUpdate;
use ota_tests::sim::{Act, Ended, Flow, Setup, Simulation};

/// Three sectors, twelve blocks: an update short enough to be interrupted everywhere.
fn short(id: &str, kind: Kind, patch: u32, route: Route) -> Order {
    Order {
        id: id.into(),
        kind,
        route,
        patch,
        image_bytes: 12_000 + patch,
        asks: RollbackCounters::default(),
        component: ota_pal::Component::App,
        by_next_key: false,
    }
}

/// A simulation of this job, with `disturb` called before every step.
fn disturbed(kind: Kind, route: Route, mut disturb: impl FnMut(&mut Simulation)) -> Simulation {
    let mut sim = sim();
    sim.create(&short("job", kind, 2, route));
    let ended = sim.run(WHILE_MS, |sim| {
        disturb(sim);
        Flow::Go
    });
    assert_eq!(sim.checks.violations, [] as [String; 0]);
    assert_eq!(ended, Ended::Quiet);
    sim
}

/// Does something once, as soon as it is `due`.
fn once(due: impl Fn(&Simulation) -> bool, mut act: impl FnMut(&mut Simulation)) -> impl FnMut(&mut Simulation) {
    let mut is_done = false;
    move |sim| {
        if !is_done && due(sim) {
            is_done = true;
            act(sim);
        }
    }
}

const ROUTES: [Route; 2] = [Route::Mqtt, Route::Http];

#[test]
fn the_update_succeeds_wherever_the_connection_breaks() {
    for route in ROUTES {
        let steps = disturbed(Kind::Good, route, |_| {}).steps;
        for at in 0..steps {
            let cut = once(|sim| sim.steps == at, |sim| sim.act(Act::Disconnect { ms: 700 }));
            let sim = disturbed(Kind::Good, route, cut);
            assert_eq!(sim.verdict("job"), (Status::Succeeded, None), "{route:?}, step {at}");
        }
    }
}

#[test]
fn the_update_succeeds_wherever_the_device_is_reset() {
    for route in ROUTES {
        let steps = disturbed(Kind::Good, route, |_| {}).steps;
        for at in 0..steps {
            let sim = disturbed(Kind::Good, route, once(|sim| sim.steps == at, |sim| sim.act(Act::Reset)));
            assert_eq!(sim.verdict("job"), (Status::Succeeded, None), "{route:?}, step {at}");
            assert_eq!(confirmed(&sim), (SlotId::B, 2), "{route:?}, step {at}");
        }
    }
}

/// What the service does with a job whose execution is open or ended.
type Again = fn(&mut Simulation);
const AGAIN: [(&str, Again); 2] =
    [("retried", |sim| sim.retry("job")), ("created again", |sim| sim.create_again("job"))];
const DISTURBANCES: [Option<Act>; 3] = [None, Some(Act::Disconnect { ms: 700 }), Some(Act::Reset)];

/// Has the job executed again once it is `due`, and disturbs the device; returns the simulation and the number of notices
/// before.
fn executed_again(
    kind: Kind,
    act: Option<Act>,
    again: Again,
    due: impl Fn(&Simulation) -> bool,
) -> (Simulation, usize) {
    let mut before = 0;
    let sim = disturbed(
        kind,
        Route::Mqtt,
        once(due, |sim| {
            before = sim.notices().len();
            act.iter().for_each(|act| sim.act(act.clone()));
            again(sim);
        }),
    );
    (sim, before)
}

fn downloads(notices: &[Notice]) -> usize {
    notices.iter().filter(|notice| matches!(notice, Notice::DownloadStarted { .. })).count()
}

/// The outcome of an execution is that of its own attempt.
#[test]
fn a_job_that_is_executed_again_is_tried_again_wherever_the_first_attempt_was() {
    for (kind, verdict) in [
        (Kind::Good, (Status::Succeeded, None)),
        (Kind::FailsItsTest, (Status::Failed, Some(Reason::SelfTestFailed))),
        (Kind::Tampered, (Status::Failed, Some(Reason::SignatureInvalid))),
    ] {
        let steps = disturbed(kind, Route::Mqtt, |_| {}).steps;
        for (act, (name, again)) in DISTURBANCES.iter().flat_map(|act| AGAIN.map(|again| (act, again))) {
            for at in 0..steps {
                let (sim, before) = executed_again(kind, act.clone(), again, |sim| sim.steps == at);
                assert_eq!(sim.verdict("job"), verdict, "{kind:?} {act:?}, {name} in step {at}");
                // An image that was confirmed by then is not received again.
                let is_received = downloads(&sim.notices()[before..]) > 0;
                assert!(is_received || kind == Kind::Good, "{kind:?} {act:?}, {name} in step {at}");
            }
        }
    }
}

#[test]
fn a_failure_whose_acknowledgement_was_lost_is_not_reported_for_the_next_execution() {
    let failed = |sim: &Simulation| sim.service.entry("job").is_some_and(|entry| entry.status == Status::Failed);
    for (act, (name, again)) in DISTURBANCES.iter().flat_map(|act| AGAIN.map(|again| (act, again))) {
        let (sim, _) = executed_again(Kind::FailsItsTest, act.clone(), again, failed);
        assert_eq!(downloads(sim.notices()), 2, "{act:?}, {name}");
        assert_eq!(sim.verdict("job"), (Status::Failed, Some(Reason::SelfTestFailed)), "{act:?}, {name}");
    }
}

#[test]
fn a_bad_image_is_tried_once_and_reported_truly_wherever_the_device_is_reset() {
    let steps = disturbed(Kind::FailsItsTest, Route::Mqtt, |_| {}).steps;
    for at in 0..steps {
        let reset = once(|sim| sim.steps == at, |sim| sim.act(Act::Reset));
        let sim = disturbed(Kind::FailsItsTest, Route::Mqtt, reset);
        let tried = sim.notices().iter().filter(|notice| **notice == Notice::Activated);
        assert_eq!(tried.count(), 1, "step {at}: one trial");
        assert_eq!(sim.verdict("job"), (Status::Failed, Some(Reason::SelfTestFailed)), "step {at}");
        assert_eq!(confirmed(&sim), (SlotId::A, 1), "step {at}");
    }
}

#[test]
fn an_image_that_is_reset_again_and_again_without_a_verdict_is_given_up() {
    let mut sim = sim();
    sim.checks.allowed_failures.push(Reason::TrialAttemptsExhausted);
    sim.create(&short("job", Kind::HangsInItsTest, 2, Route::Mqtt));
    let ended = sim.run(WHILE_MS, |sim| {
        let on_trial = matches!(sim.device.record().trial, Trial::Started { .. });
        if on_trial && sim.steps.is_multiple_of(10) {
            sim.act(Act::Reset);
        }
        Flow::Go
    });
    assert_eq!(ended, Ended::Quiet);
    assert_eq!(sim.checks.violations, [] as [String; 0]);
    assert_eq!(sim.verdict("job"), (Status::Failed, Some(Reason::TrialAttemptsExhausted)));
    assert_eq!((confirmed(&sim), sim.boots), ((SlotId::A, 1), 5), "one before, three on trial, one after");
}

/// More operations than an update of this size can have: beyond the last one nothing is cut.
const OPERATIONS_MAX: u32 = 60;

#[test]
fn the_report_is_true_whichever_flash_operation_the_power_is_cut_at() {
    for (kind, verdict) in
        [(Kind::Good, (Status::Succeeded, None)), (Kind::FailsItsTest, (Status::Failed, Some(Reason::SelfTestFailed)))]
    {
        let mut boots = 0;
        for at in 0..OPERATIONS_MAX {
            for effect in CutEffect::ALL {
                let cut =
                    once(|_| true, |sim| sim.device.nor.plan([PlannedFault { at, fault: FlashFault::Cut(effect) }]));
                let sim = disturbed(kind, Route::Mqtt, cut);
                assert_eq!(sim.verdict("job"), verdict, "{kind:?}, operation {at}, {effect:?}");
                boots += sim.boots;
            }
        }
        assert!(boots > 2 * OPERATIONS_MAX * 2, "the cuts were felt: {boots} boots");
    }
}

/// In the boot selector, when the agent starts, and at the confirmation.
#[test]
fn the_update_succeeds_whichever_read_after_the_activation_misreads_a_bit() {
    for at in 0.. {
        let activated = |sim: &Simulation| sim.notices().contains(&Notice::Activated);
        let mut misread = once(activated, |sim| sim.device.nor.plan([PlannedFault { at, fault: FlashFault::Misread }]));
        let mut delay_reset = once(|_| true, |sim| sim.device.consent.unprepared.set(2)); // so that this boot sees it
        let sim = disturbed(Kind::Good, Route::Mqtt, |sim| {
            delay_reset(sim);
            misread(sim);
        });
        assert_eq!(sim.verdict("job"), (Status::Succeeded, None), "read {at}");
        if sim.device.nor.is_fault_due() {
            assert!(at > 90, "the image is hashed twice, in {at} reads");
            return;
        }
    }
}

/// Between the confirmation and the report only the digest of the running image shows the outcome.
#[test]
fn the_update_succeeds_if_a_bit_is_misread_after_a_power_cut_since_the_activation() {
    let activated = |sim: &Simulation| sim.notices().contains(&Notice::Activated);
    for cut_at in 0.. {
        for misread_at in (0..).step_by(READS_OF_A_HASH - 1) {
            let cut = PlannedFault { at: cut_at, fault: FlashFault::Cut(CutEffect::Before) };
            let misread = PlannedFault { at: misread_at, fault: FlashFault::Misread };
            let mut delay_reset = once(|_| true, |sim| sim.device.consent.unprepared.set(2)); // so that this boot sees it
            let mut faults = once(activated, |sim| sim.device.nor.plan([cut, misread]));
            let sim = disturbed(Kind::Good, Route::Mqtt, |sim| {
                delay_reset(sim);
                faults(sim);
            });
            assert_eq!(sim.verdict("job"), (Status::Succeeded, None), "operation {cut_at}, read {misread_at}");
            if sim.boots == 2 {
                assert!(cut_at > 4, "trial, confirmation and outcome are stored, in {cut_at} operations");
                return;
            }
            if sim.device.nor.is_fault_due() {
                break;
            }
        }
    }
}

/// Reads in which the image of these tests is hashed.
const READS_OF_A_HASH: usize = 47;

/// Reasons that may be reported when the flash refuses an operation.
const FLASH_REASONS: [Reason; 5] = [
    Reason::FlashWriteFailed,
    Reason::FlashEraseFailed,
    Reason::JournalFailed,
    Reason::BootRecordFailed,
    Reason::TrialAttemptsExhausted,
];

#[test]
fn the_report_is_true_and_the_next_job_works_whichever_flash_operation_fails() {
    for at in 0..OPERATIONS_MAX {
        let mut sim = sim();
        sim.checks.allowed_failures = FLASH_REASONS.to_vec();
        sim.create(&short("job", Kind::Good, 2, Route::Mqtt));
        sim.create(&short("next", Kind::Good, 3, Route::Mqtt));
        sim.device.nor.plan([PlannedFault { at, fault: FlashFault::Fail }]);
        let ended = sim.run(WHILE_MS, |_| Flow::Go);
        assert_eq!(sim.checks.violations, [] as [String; 0], "operation {at}");
        assert_eq!(ended, Ended::Quiet, "operation {at}");
        let good = ["job", "next"].iter().filter(|id| sim.verdict(id).0 == Status::Succeeded);
        assert!(good.count() >= 1, "operation {at}: one of them met no failure");
    }
}

/// A record is written again in another sector if its write fails: two failures in a row fail it.
#[test]
fn the_report_is_true_whichever_flash_operations_are_done_and_reported_as_failed() {
    for (at, failures) in (0..OPERATIONS_MAX).flat_map(|at| [(at, 1), (at, 2)]) {
        let mut sim = sim();
        sim.checks.allowed_failures = FLASH_REASONS.to_vec();
        sim.create(&short("job", Kind::Good, 2, Route::Mqtt));
        let faults = [at, 0].map(|at| PlannedFault { at, fault: FlashFault::Deny });
        sim.device.nor.plan(faults.into_iter().take(failures));
        let ended = sim.run(WHILE_MS, |_| Flow::Go);
        assert_eq!(sim.checks.violations, [] as [String; 0], "{failures} from operation {at}");
        sim.act(Act::Reset); // an image put on trial unintentionally would start now
        sim.run(WHILE_MS, |_| Flow::Go);
        let (patch, status) = (confirmed(&sim).1, sim.verdict("job").0);
        let truth = (Status::Succeeded, 2) == (status, patch) || (Status::Failed, 1) == (status, patch);
        assert!(truth && ended == Ended::Quiet, "{failures} from operation {at}: {status}, 1.0.{patch} runs");
    }
}

/// Operations of the flash from the report that the image is verified to the count of the first boot of its trial.
const OPERATIONS_TO_TRIAL: u32 = 5;

#[test]
fn a_boot_record_that_wears_out_before_the_trial_is_counted_ends_the_job_and_not_the_device() {
    let is_ready = |sim: &Simulation| {
        let entry = sim.service.entry("job");
        entry.is_some_and(|entry| entry.detail("self_test") == Some("ready"))
    };
    for at in 0..OPERATIONS_TO_TRIAL {
        let mut sim = sim();
        sim.checks.allowed_failures = FLASH_REASONS.to_vec();
        sim.create(&short("job", Kind::Good, 2, Route::Mqtt));
        let region = sim.device.layout.boot_record();
        let wear_out = FlashFault::WearOut(region.offset_bytes(), region.offset_bytes() + region.len_bytes());
        let mut wear = once(is_ready, |sim| sim.device.nor.plan([PlannedFault { at, fault: wear_out }]));
        let ended = sim.run(WHILE_MS, |sim| {
            wear(sim);
            Flow::Go
        });
        assert_eq!(sim.checks.violations, [] as [String; 0], "operation {at}");
        assert_eq!((ended, confirmed(&sim).1), (Ended::Quiet, 1), "operation {at}");
        assert_eq!(sim.verdict("job"), (Status::Failed, Some(Reason::BootRecordFailed)), "operation {at}");
        assert!(sim.boots < 10, "operation {at}: {} boots", sim.boots);
    }
}

/// One operation between verification and reset writes the boot record; if it fails, the next one tries another sector.
#[test]
fn a_job_whose_trial_cannot_be_stored_fails_without_a_reset() {
    let failed = (0..OPERATIONS_MAX).filter(|at| {
        let mut sim = sim();
        sim.checks.allowed_failures = FLASH_REASONS.to_vec();
        sim.create(&short("job", Kind::Good, 2, Route::Mqtt));
        sim.device.nor.plan([*at, 0].map(|at| PlannedFault { at, fault: FlashFault::Fail }));
        sim.run(WHILE_MS, |_| Flow::Go);
        let is_verified = sim.notices().iter().any(|notice| matches!(notice, Notice::VerifySucceeded { .. }));
        let (status, reason) = sim.verdict("job");
        let is_record = matches!(reason, Some(Reason::FlashWriteFailed | Reason::FlashEraseFailed));
        is_verified && sim.boots == 1 && status == Status::Failed && is_record
    });
    assert_eq!(failed.count(), 1);
}

#[test]
fn while_a_trial_runs_whose_job_is_over_the_service_is_left_in_peace() {
    let mut sim = sim();
    sim.create(&short("job", Kind::HangsInItsTest, 2, Route::Mqtt));
    let on_trial = |sim: &Simulation| matches!(sim.device.record().trial, Trial::Started { .. }) && sim.steps > 60;
    let mut cancel = once(on_trial, |sim| sim.take_back("job", Status::Canceled));
    let ended = sim.run(WHILE_MS, |sim| {
        cancel(sim);
        Flow::Go
    });
    assert_eq!((ended, sim.verdict("job").0, confirmed(&sim).1), (Ended::Quiet, Status::Canceled, 1));
    assert!(sim.service.questions < 12, "{} questions", sim.service.questions);
}

#[test]
fn a_trial_goes_on_after_a_boot_that_could_not_be_counted() {
    let mut sim = sim();
    sim.create(&short("job", Kind::HangsInItsTest, 2, Route::Mqtt));
    let on_trial = |sim: &Simulation| matches!(sim.device.record().trial, Trial::Started { .. });
    let mut reset = once(on_trial, |sim| {
        sim.device.nor.plan([PlannedFault { at: 0, fault: FlashFault::Fail }]); // the selector's: it starts the confirmed image instead
        sim.act(Act::Reset);
    });
    let ended = sim.run(WHILE_MS, |sim| {
        reset(sim);
        Flow::Go
    });
    assert_eq!(sim.checks.violations, [] as [String; 0]);
    assert_eq!((ended, sim.verdict("job")), (Ended::Quiet, (Status::Failed, Some(Reason::SelfTestTimedOut))));
}

#[test]
fn a_job_cancelled_before_activation_ends_without_a_trial_and_later_the_trial_ends_as_it_must() {
    let steps = disturbed(Kind::Good, Route::Mqtt, |_| {}).steps;
    let mut tried = 0;
    for at in 0..steps {
        let mut activated = false;
        let cancel = |sim: &mut Simulation| sim.take_back("job", Status::Canceled);
        let mut cancel = once(|sim| sim.steps == at, cancel);
        let mut notified_ms = None;
        let sim = disturbed(Kind::Good, Route::Mqtt, |sim| {
            let canceled = sim.service.entry("job").is_some_and(|entry| entry.status == Status::Canceled);
            let is_activated = sim.notices().contains(&Notice::Activated);
            if canceled && !activated && is_activated {
                let after_ms = sim.now_ms - notified_ms.unwrap_or(sim.now_ms);
                assert!(after_ms < 200, "step {at}: activated {after_ms} ms after it was cancelled");
            }
            activated = is_activated;
            cancel(sim);
            notified_ms = notified_ms.or(sim.service.entry("job").and_then(|entry| entry.taken_back_ms));
        });
        assert_eq!(sim.verdict("job").0, if notified_ms.is_some() { Status::Canceled } else { Status::Succeeded });
        assert_eq!(confirmed(&sim).1, if activated { 2 } else { 1 }, "step {at}");
        tried += u32::from(activated);
    }
    assert!((1..steps as u32).contains(&tried), "some were cancelled in time: {tried} of {steps}");
}

/// The report that the image is verified is the last request before the boot record.
#[test]
fn a_cancellation_whose_notification_is_lost_stops_the_job_before_the_boot_record() {
    let steps = disturbed(Kind::Good, Route::Mqtt, |_| {}).steps;
    for at in 0..steps {
        let mut activated = false;
        let sim = disturbed(
            Kind::Good,
            Route::Mqtt,
            once(
                |sim| sim.steps == at,
                |sim| {
                    let ready = |update: &StatusUpdate| update.details.iter().any(|(_, value)| value == "ready");
                    activated = sim.service.updates.iter().any(ready);
                    sim.service.take_back("job", Status::Canceled, sim.now_ms);
                },
            ),
        );
        assert_eq!(confirmed(&sim).1, if activated { 2 } else { 1 }, "step {at}");
    }
}

#[test]
fn a_job_that_supersedes_another_at_any_point_succeeds() {
    let steps = disturbed(Kind::Good, Route::Mqtt, |_| {}).steps;
    for at in 0..steps {
        let supersede = |sim: &mut Simulation| {
            sim.take_back("job", Status::Canceled);
            sim.create(&short("next", Kind::Good, 3, Route::Mqtt));
        };
        let sim = disturbed(Kind::Good, Route::Mqtt, once(|sim| sim.steps == at, supersede));
        assert_eq!(sim.verdict("next"), (Status::Succeeded, None), "step {at}");
        assert_eq!(confirmed(&sim).1, 3, "step {at}");
    }
}

/// Resets a device once in the download of an image, after the given number of blocks; returns where its downloads resumed.
fn reset_in_a_download(setup: Setup, route: Route, image_bytes: u32, blocks: usize) -> Vec<u32> {
    let mut sim = Simulation::new(setup);
    sim.create(&Order { image_bytes, ..short("job", Kind::Good, 2, route) });
    let mut reset = once(|sim| sim.checks.progress.len() == blocks, |sim| sim.act(Act::Reset));
    sim.run(WHILE_MS, |sim| {
        reset(sim);
        Flow::Go
    });
    assert_eq!(sim.verdict("job"), (Status::Succeeded, None));
    assert_eq!(sim.checks.violations, [] as [String; 0]);
    let resumed = sim.notices().iter().filter_map(|notice| match notice {
        Notice::DownloadStarted { resumed_bytes } => Some(*resumed_bytes),
        _ => None,
    });
    resumed.collect()
}

#[test]
fn a_download_resumes_after_a_reset_at_the_position_in_the_journal() {
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
