//! The application is asked before a download and before a reset, and answers now, later or no.

use ota_agent::{Command, Consent, Notice, Step, WhyLater};
use ota_jobs::{Reason, Status};
use ota_pal::SlotId;
use ota_tests::fixtures::{WHILE_MS, confirmed, order, run, sim};
use ota_tests::job::Kind;
use ota_tests::sim::{Act, Ended, Flow, Simulation};

const LATER_MS: u32 = 60_000;
/// Between two of the times at which an application that holds is asked.
const LATE_MS: u64 = 15_000;
const LATER: Consent = Consent::Later { ms: LATER_MS, why: WhyLater::Application };

/// A simulation with a good job whose application gives these answers, and consents to everything after them.
fn answering(answers: &[Consent]) -> Simulation {
    let mut sim = sim();
    sim.device.consent.answers.borrow_mut().extend(answers);
    sim.create(&order("job", Kind::Good, 2));
    sim
}

fn asked(sim: &Simulation) -> Vec<Step> {
    sim.device.consent.asked.borrow().clone()
}

/// The values of a status detail, in order.
fn reported(sim: &Simulation, name: &str) -> Vec<String> {
    let details = sim.service.updates.iter().flat_map(|update| &update.details);
    details.filter(|(key, _)| key == name).map(|(_, value)| value.clone()).collect()
}

/// The notices of postponed steps, in order.
fn postponed(sim: &Simulation) -> Vec<(Step, WhyLater)> {
    let postponed = |notice: &Notice| match notice {
        Notice::Postponed(step, why) => Some((*step, *why)),
        _ => None,
    };
    sim.notices().iter().filter_map(postponed).collect()
}

#[test]
fn the_application_is_asked_before_the_download_and_before_the_reset() {
    let mut sim = answering(&[]);
    run(&mut sim);
    assert_eq!(asked(&sim), [Step::Download, Step::Reset]);
    assert_eq!((sim.verdict("job").0, reported(&sim, "waiting")), (Status::Succeeded, Vec::new()));
}

/// When the download started, and when the new image was booted.
fn run_timed(sim: &mut Simulation) -> (u64, u64) {
    let (mut started_ms, mut booted_ms) = (None, None);
    let ended = sim.run(WHILE_MS, |sim| {
        if sim.notices().iter().any(|notice| matches!(notice, Notice::DownloadStarted { .. })) {
            started_ms.get_or_insert(sim.now_ms);
        }
        if sim.boots > 1 {
            booted_ms.get_or_insert(sim.now_ms);
        }
        Flow::Go
    });
    assert_eq!((ended, &sim.checks.violations[..]), (Ended::Quiet, &[][..]));
    (started_ms.expect("a download"), booted_ms.expect("a reset"))
}

#[test]
fn a_postponed_step_waits_is_asked_again_in_time_and_reported_once() {
    let (download, reset) = (Step::Download, Step::Reset);
    for (answers, steps, report) in [
        (&[LATER, LATER][..], [download, download, download, reset], "download"),
        (&[Consent::Now, LATER, LATER], [download, reset, reset, reset], "reset"),
    ] {
        let mut sim = answering(answers);
        let (started_ms, booted_ms) = run_timed(&mut sim);
        let waited_ms = 2 * u64::from(LATER_MS);
        assert_eq!((started_ms >= waited_ms, booted_ms >= waited_ms), (report == "download", true), "{report}");
        assert!(booted_ms < waited_ms + u64::from(LATER_MS), "{report}: {booted_ms} ms");
        assert_eq!((asked(&sim), reported(&sim, "waiting")), (steps.to_vec(), vec![report.to_owned()]));
        assert_eq!(reported(&sim, "why"), ["application"]);
        assert_eq!(postponed(&sim), [(steps[1], WhyLater::Application)]);
        assert_eq!((sim.verdict("job").0, confirmed(&sim)), (Status::Succeeded, (SlotId::B, 2)), "{report}");
    }
}

#[test]
fn a_step_is_asked_for_once_a_second_at_most() {
    let mut sim = answering(&[Consent::Later { ms: 0, why: WhyLater::Application }; 5]);
    assert!(run_timed(&mut sim).0 >= 5_000);
}

#[test]
fn a_refused_step_ends_the_job_by_name_and_the_next_one_is_asked_for_anew() {
    for answers in [&[Consent::Refused][..], &[Consent::Now, Consent::Refused]] {
        let mut sim = answering(answers);
        let (slot, reason) = (sim.device.layout.slot(SlotId::B), Reason::RefusedByApplication);
        sim.checks.allowed_failures.push(reason);
        run(&mut sim);
        assert_eq!((sim.verdict("job"), sim.boots), ((reason.status(), Some(reason)), 1), "{answers:?}");
        assert_eq!(confirmed(&sim), (SlotId::A, 1), "{answers:?}");
        let erased = sim.device.nor.bytes(slot.offset_bytes(), slot.len_bytes()).iter().all(|byte| *byte == 0xFF);
        assert_eq!(erased, answers.len() == 1, "nothing is written before the consent");
        sim.create(&order("next", Kind::Good, 3));
        run(&mut sim);
        assert_eq!((sim.verdict("next").0, confirmed(&sim)), (Status::Succeeded, (SlotId::B, 3)), "{answers:?}");
    }
}

/// Runs, and calls `act` while the step waits.
fn run_with(sim: &mut Simulation, act: impl FnOnce(&mut Simulation)) {
    let (half_ms, mut act) = (u64::from(LATER_MS) / 2, Some(act));
    sim.alarm_ms = Some(half_ms);
    let ended = sim.run(WHILE_MS, |sim| {
        if sim.now_ms >= half_ms
            && let Some(act) = act.take()
        {
            sim.alarm_ms = None;
            act(sim);
        }
        Flow::Go
    });
    assert_eq!((ended, &sim.checks.violations[..]), (Ended::Quiet, &[][..]));
}

#[test]
fn a_cancellation_ends_a_job_that_waits_at_once() {
    for answers in [&[LATER][..], &[Consent::Now, LATER]] {
        let mut sim = answering(answers);
        run_with(&mut sim, |sim| sim.take_back("job", Status::Canceled));
        assert!(sim.notices().contains(&Notice::Cancelled) && sim.boots == 1, "{answers:?}");
        assert!(sim.now_ms < u64::from(LATER_MS), "{answers:?}: {} ms", sim.now_ms);
    }
}

#[test]
fn after_a_power_cut_while_a_step_waits_the_application_is_asked_again() {
    for answers in [&[LATER][..], &[Consent::Now, LATER]] {
        let mut sim = answering(answers);
        run_with(&mut sim, |sim| sim.act(Act::Reset));
        let mut steps = vec![Step::Download, Step::Reset];
        steps.truncate(answers.len());
        steps.extend([Step::Download, Step::Reset]);
        assert_eq!((asked(&sim), sim.verdict("job").0), (steps, Status::Succeeded), "{answers:?}");
    }
}

#[test]
fn every_cause_is_reported_once_and_noticed_once() {
    use WhyLater::{Battery, Held, Metered, Window};
    let later = |why| Consent::Later { ms: 2_000, why };
    let mut sim = answering(&[Window, Window, Battery, Battery, Metered, Held].map(later));
    run(&mut sim);
    assert_eq!(reported(&sim, "why"), ["window", "battery", "metered", "held"]);
    assert_eq!(postponed(&sim), [Window, Battery, Metered, Held].map(|why| (Step::Download, why)));
    assert_eq!(sim.verdict("job").0, Status::Succeeded);
}

#[test]
fn an_update_waits_for_a_hold_and_goes_on_when_it_is_dropped() {
    for (step, done_bytes) in [(Step::Download, 0), (Step::Reset, 50_000)] {
        let mut sim = sim();
        let consent = sim.device.consent.clone();
        let mut pump = None;
        sim.create(&order("job", Kind::Good, 2));
        sim.alarm_ms = Some(LATE_MS);
        let mut booted_ms = None;
        let ended = sim.run(WHILE_MS, |sim| {
            let done = sim.checks.progress.last().map_or(0, |progress| progress.done_bytes);
            if done >= done_bytes && sim.now_ms < LATE_MS {
                pump.get_or_insert_with(|| consent.holds.hold("pump"));
            }
            if sim.now_ms >= LATE_MS && pump.take().is_some() {
                assert_eq!((postponed(sim), sim.boots), (vec![(step, WhyLater::Held)], 1));
                sim.alarm_ms = None;
                sim.act(Act::Command(Command::Ask)); // as `Holds::released` returns it
            }
            if sim.boots > 1 {
                booted_ms.get_or_insert(sim.now_ms);
            }
            Flow::Go
        });
        assert_eq!((ended, &sim.checks.violations[..]), (Ended::Quiet, &[][..]));
        assert_eq!((sim.verdict("job").0, confirmed(&sim)), (Status::Succeeded, (SlotId::B, 2)), "{step:?}");
        assert!(booted_ms.is_some_and(|at_ms| at_ms < LATE_MS + 4_000), "{step:?}: {booted_ms:?}");
    }
}

#[test]
fn a_forced_job_passes_a_hold_only_where_the_application_allows_it() {
    for (forced, allowed) in [(false, true), (true, false), (true, true)] {
        let mut sim = sim();
        let consent = sim.device.consent.clone();
        consent.allows_forced.set(allowed);
        let pump = consent.holds.hold("pump");
        let mut job = sim.job(&order("job", Kind::Good, 2));
        job.document = job.document.replace(r#""afr_ota":{"#, &format!(r#""afr_ota":{{"forced":{forced},"#));
        sim.queue(job);
        let ended = sim.run(LATE_MS, |_| Flow::Go);
        let passes = forced && allowed;
        assert_eq!((ended, sim.boots), if passes { (Ended::Quiet, 2) } else { (Ended::Late, 1) });
        assert_eq!(reported(&sim, "why"), if passes { vec![] } else { vec!["held"] });
        drop(pump);
        run(&mut sim);
        assert_eq!((sim.verdict("job").0, confirmed(&sim)), (Status::Succeeded, (SlotId::B, 2)));
    }
}

/// Runs a job; returns how long after the download, and after each boot that lasted, the device was booted again.
fn boots_after_ms(sim: &mut Simulation) -> Vec<u64> {
    let (mut since_ms, mut boots, mut after_ms) = (None, 1, Vec::new());
    let ended = sim.run(WHILE_MS, |sim| {
        if since_ms.is_none() && sim.notices().contains(&Notice::DownloadSucceeded) {
            since_ms = Some(sim.now_ms);
        }
        if sim.boots > boots {
            boots = sim.boots;
            after_ms.push(sim.now_ms - since_ms.replace(sim.now_ms).expect("a download"));
        }
        Flow::Go
    });
    assert_eq!((ended, &sim.checks.violations[..]), (Ended::Quiet, &[][..]));
    after_ms
}

#[test]
fn the_device_is_reset_into_an_image_and_back_once_the_application_is_prepared_or_its_time_is_up() {
    for (kind, resets, status) in [(Kind::Good, 1, Status::Succeeded), (Kind::FailsItsTest, 2, Status::Failed)] {
        for unprepared in [0, 9, u32::MAX] {
            let mut sim = sim();
            let consent = sim.device.consent.clone();
            consent.unprepared.set(unprepared);
            sim.create(&order("job", kind, 2));
            let after_ms = boots_after_ms(&mut sim);
            let what = format!("{kind:?}, {unprepared} times: {after_ms:?} ms");
            assert_eq!((sim.boots, sim.verdict("job").0), (1 + resets, status), "{what}");
            let timed_out = sim.notices().iter().filter(|notice| **notice == Notice::PreparationTimedOut).count();
            if unprepared == u32::MAX {
                assert!(after_ms.iter().all(|after_ms| (10_000..11_000).contains(after_ms)), "{what}");
                assert_eq!((after_ms.len(), timed_out), (resets as usize, resets as usize), "{what}");
            } else {
                assert_eq!((consent.prepare_calls.get(), timed_out), (unprepared + resets, 0), "{what}");
            }
        }
    }
}
