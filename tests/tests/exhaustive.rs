//! Properties of boot selection, checked for every element of a bounded domain. The number of cases is printed
//! (`--nocapture`) and asserted. The exhaustive tests of the window are in agent/src/machine/window, those of records in
//! pal/src/records: their subjects are private there.

use std::collections::HashSet;

use ota_boot::{
    Boot, BootError, BootReason, Decision, REASON_ATTEMPTS_EXHAUSTED, REASON_TRIAL_IMAGE_CORRUPT, ResetCause,
    VerifyLevel, boot, select,
};
use ota_pal::{
    BootRecord, BootRecords, Digest, Geometry, Layout, NoWatchdog, POWER_LOSSES_MAX, RollbackCounters, SlotId,
    TRIAL_ATTEMPTS_MAX, Trial, poll_ready,
};
use ota_tests::image::{Behaviour, header, image};
use ota_tests::nor::{CutEffect, FlashFault, Nor, PLAIN, PlainView, PlannedFault, View};
use ota_tests::rng::Rng;
use sha2::{Digest as _, Sha256};

const IMAGE_BYTES: u32 = 600;

/// The record of a confirmed slot and a trial.
fn record(confirmed: SlotId, trial: Trial) -> BootRecord {
    BootRecord { trial, ..BootRecord::new_device(confirmed) }
}

/// A trial that is still open; `losses`: the power losses, if it was booted.
fn open(slot: SlotId, digest: Digest, losses: Option<u8>, attempts_left: u8) -> Trial {
    let image_bytes = IMAGE_BYTES;
    match losses {
        None => Trial::Pending { slot, digest, image_bytes, attempts_left },
        Some(power_losses) => Trial::Started { slot, digest, image_bytes, attempts_left, power_losses },
    }
}

/// All boot records over these digests, of a device whose slots are A and B.
fn records(digests: [Digest; 2]) -> Vec<BootRecord> {
    let mut all = Vec::new();
    for (confirmed, slot) in [(SlotId::A, SlotId::B), (SlotId::B, SlotId::A)] {
        all.push(record(confirmed, Trial::None));
        let losses = [None, Some(0), Some(POWER_LOSSES_MAX - 1), Some(POWER_LOSSES_MAX)];
        for (digest, losses) in digests.into_iter().flat_map(|digest| losses.map(|losses| (digest, losses))) {
            all.extend((0..=TRIAL_ATTEMPTS_MAX).map(|left| record(confirmed, open(slot, digest, losses, left))));
        }
        for (digest, started) in digests.into_iter().flat_map(|digest| [false, true].map(|started| (digest, started))) {
            for reason in [0, REASON_ATTEMPTS_EXHAUSTED, REASON_TRIAL_IMAGE_CORRUPT, u16::MAX] {
                all.push(record(confirmed, Trial::Ended { slot, digest, reason, started }));
            }
        }
    }
    all
}

/// The open trial of a record: slot, digest, power losses if it was booted, boots left.
fn trial_of(record: &BootRecord) -> Option<(SlotId, Digest, Option<u8>, u8)> {
    match record.trial {
        Trial::None | Trial::WithSystem { .. } | Trial::Ended { .. } => None,
        Trial::Pending { slot, digest, attempts_left, .. } => Some((slot, digest, None, attempts_left)),
        Trial::Started { slot, digest, attempts_left, power_losses, .. } => {
            Some((slot, digest, Some(power_losses), attempts_left))
        }
    }
}

/// The state of an open trial after it has ended for `reason`.
fn ended(was: &BootRecord, reason: u16) -> BootRecord {
    let (slot, digest, losses, _) = trial_of(was).expect("it is open");
    record(was.confirmed, Trial::Ended { slot, digest, reason, started: losses.is_some() })
}

/// For all boot records: the confirmed slot is chosen exactly when no trial is open; a trial is tried, of what it names,
/// exactly while it has boots left, and then has one less, or after a power loss, which is counted instead; its end preserves
/// the confirmed slot and whether the image ever ran.
#[test]
fn a_record_asks_for_the_confirmed_slot_exactly_when_no_trial_is_open() {
    let all = records([Digest([1; 32]), Digest([2; 32])]);
    for (was, cause) in all.iter().flat_map(|was| [ResetCause::PowerLoss, ResetCause::Other].map(|cause| (was, cause)))
    {
        let tries = |counted| Decision::Try { counted, corrupt: ended(was, REASON_TRIAL_IMAGE_CORRUPT).trial };
        let expected = match (trial_of(was), cause) {
            (None, _) => Decision::Confirmed,
            (Some((slot, digest, Some(losses @ ..POWER_LOSSES_MAX), left)), ResetCause::PowerLoss) => {
                tries(open(slot, digest, Some(losses + 1), left))
            }
            (Some((.., 0)), _) => Decision::EndTrial(ended(was, REASON_ATTEMPTS_EXHAUSTED).trial),
            (Some((slot, digest, losses, left)), _) => tries(open(slot, digest, losses.or(Some(0)), left - 1)),
        };
        assert_eq!(select(was, cause), expected, "{was:?} {cause:?}");
    }
    println!("{} boot records", all.len());
    assert!(all.len() >= 290);
}

/// The outcome of one boot that tries an image.
const OUTCOMES: [BootOutcome; 6] = [
    BootOutcome::Runs,
    BootOutcome::Corrupt,
    BootOutcome::NotStored,
    BootOutcome::StoredButFailed,
    BootOutcome::Confirms,
    BootOutcome::RollsBack,
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum BootOutcome {
    /// It runs and gives no verdict.
    Runs,
    /// The slot does not contain it.
    Corrupt,
    /// The count cannot be stored: the confirmed image runs.
    NotStored,
    /// The count is stored but reported as failed, or the power is cut after it.
    StoredButFailed,
    /// It runs and is confirmed.
    Confirms,
    /// It runs and fails its self-test.
    RollsBack,
}

/// For every number of boots of a trial, and every sequence of that many boots plus two with six outcomes: an image runs on
/// trial at most that often, exactly that often without a verdict or a fault, and never again once its trial has ended; and
/// the confirmed slot changes only by a verdict.
#[test]
fn a_trial_is_given_its_boots_and_not_one_more() {
    let (mut sequences, mut states) = (0_u128, HashSet::new());
    for attempts in 0..=TRIAL_ATTEMPTS_MAX {
        let start = record(SlotId::A, open(SlotId::B, Digest([1; 32]), None, attempts));
        // Sequences that lead to the same record after as many starts continue alike: each such state is expanded once.
        let mut points = vec![(start, 0, true, 1_u128)];
        for _ in 0..attempts + 2 {
            let mut next: Vec<(BootRecord, u8, bool, u128)> = Vec::new();
            for (was, starts, only_runs, ways) in points {
                for outcome in OUTCOMES {
                    let (is, started) = boot_once(&was, ResetCause::Other, outcome);
                    let starts = starts + u8::from(started);
                    assert!(starts <= attempts, "{outcome:?} from {was:?}");
                    assert!(!started || trial_of(&was).is_some(), "an ended trial runs again: {was:?}");
                    let is_verdict = started && outcome == BootOutcome::Confirms;
                    assert!(is.confirmed == was.confirmed || is_verdict, "{outcome:?} from {was:?}");
                    states.insert(format!("{attempts} {starts} {is:?}"));
                    let only_runs = only_runs && outcome == BootOutcome::Runs;
                    match next.iter_mut().find(|point| (point.0, point.1, point.2) == (is, starts, only_runs)) {
                        Some(point) => point.3 += ways,
                        None => next.push((is, starts, only_runs, ways)),
                    }
                }
            }
            points = next;
        }
        for (is, starts, only_runs, ways) in points {
            assert!(!only_runs || (starts == attempts && is == ended_silent(&start)), "{is:?} after {starts}");
            sequences += ways;
        }
    }
    println!("{sequences} sequences of boots through {} states", states.len());
    assert!(states.len() >= 600);
}

/// For every number of boots of a trial, and every sequence of power losses and other resets: an image without a verdict is
/// started at most fifteen times more than its boots, and after other resets not more often than they are.
#[test]
fn power_losses_give_a_trial_fifteen_boots_more_at_most() {
    for attempts in 1..=TRIAL_ATTEMPTS_MAX {
        let start = record(SlotId::A, open(SlotId::B, Digest([1; 32]), None, attempts));
        let mut points = vec![(start, 0, 0)];
        let mut expanded = 0;
        while let Some(&(was, starts, others)) = points.get(expanded) {
            expanded += 1;
            for cause in [ResetCause::PowerLoss, ResetCause::Other] {
                let (is, started) = boot_once(&was, cause, BootOutcome::Runs);
                let other = started && (cause == ResetCause::Other || starts == 0);
                let point = (is, starts + u8::from(started), others + u8::from(other));
                assert!(point.1 <= attempts + POWER_LOSSES_MAX && point.2 <= attempts, "{cause:?} from {was:?}");
                if started && !points.contains(&point) {
                    points.push(point);
                }
            }
        }
        assert_eq!(points.iter().map(|(_, starts, _)| *starts).max(), Some(attempts + POWER_LOSSES_MAX));
    }
}

/// The record of a trial that used up its boots without a verdict.
fn ended_silent(start: &BootRecord) -> BootRecord {
    let (slot, digest, _, attempts) = trial_of(start).expect("it begins open");
    record(start.confirmed, Trial::Ended { slot, digest, reason: REASON_ATTEMPTS_EXHAUSTED, started: attempts > 0 })
}

/// The record after a boot with this outcome, and whether the image on trial ran.
fn boot_once(was: &BootRecord, cause: ResetCause, outcome: BootOutcome) -> (BootRecord, bool) {
    let with = |trial| record(was.confirmed, trial);
    match (select(was, cause), outcome) {
        (Decision::Confirmed, _) | (_, BootOutcome::NotStored) => (*was, false),
        (Decision::EndTrial(ended), _) => (with(ended), false),
        (Decision::Try { corrupt, .. }, BootOutcome::Corrupt) => (with(corrupt), false),
        (Decision::Try { counted, .. }, BootOutcome::StoredButFailed) => (with(counted), false),
        (Decision::Try { counted, .. }, BootOutcome::Runs) => (with(counted), true),
        (Decision::Try { counted, .. }, BootOutcome::RollsBack) => (ended(&with(counted), 1), true),
        (Decision::Try { .. }, BootOutcome::Confirms) => {
            let (slot, ..) = trial_of(was).expect("it is tried");
            (record(slot, Trial::None), true)
        }
        (Decision::FactoryReset | Decision::WithSystem { .. }, _) => unreachable!("no record here orders it"),
    }
}

/// The contents of a slot.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Holds {
    /// The image that the trial may name.
    Image,
    /// The same with a byte changed in its body.
    Changed,
    /// The same with a byte changed in its header.
    Headless,
    Nothing,
}

struct Device {
    flash: PlainView,
    layout: Layout,
}

impl Device {
    fn new(was: &BootRecord, trial: Holds, confirmed: Holds, file: &[u8]) -> Self {
        let mut flash: PlainView = View(Nor::new(PLAIN, 10));
        let layout = Layout::split(Geometry::of(&flash)).expect("ten sectors are enough");
        for (slot, holds) in [(other(was.confirmed), trial), (was.confirmed, confirmed)] {
            let mut file = file.to_vec();
            match holds {
                Holds::Image => {}
                Holds::Changed => file[IMAGE_BYTES as usize - 1] ^= 1,
                Holds::Headless => file[0] ^= 1,
                Holds::Nothing => continue,
            }
            flash.0.burn(layout.slot(slot).offset_bytes(), &file);
        }
        poll_ready(BootRecords::new(&layout).store(&mut flash, was))
            .expect("memory never waits")
            .expect("nothing is planned");
        Self { flash, layout }
    }

    /// `None` if the power was cut.
    fn boot(&mut self) -> Option<Result<Boot, BootError>> {
        let booted =
            poll_ready(boot(&mut self.flash, &self.layout, &mut NoWatchdog, VerifyLevel::Header, ResetCause::Other));
        self.flash.0.plan([]);
        self.flash.0.power_on();
        booted
    }

    fn record(&mut self) -> BootRecord {
        poll_ready(BootRecords::new(&self.layout).load(&mut self.flash)).expect("memory never waits").expect("it reads")
    }
}

fn other(slot: SlotId) -> SlotId {
    if slot == SlotId::A { SlotId::B } else { SlotId::A }
}

/// For all boot records, of which half name the image in the slot on trial, and every pair of contents of the two slots, on
/// a flash: the image on trial is started exactly if it is what the trial names and has boots left, and that is recorded;
/// the confirmed one otherwise, if it is an image; and never another. Unchanged records are not written.
#[test]
fn the_slot_that_starts_is_what_record_and_flash_say_and_it_is_written_down_before() {
    let file = image(&header(1, IMAGE_BYTES, Behaviour::Passes, RollbackCounters::default()), &mut Rng::new(1));
    let digest = Digest(Sha256::digest(&file).into());
    let all = records([digest, Digest([2; 32])]);
    let contents = [Holds::Image, Holds::Changed, Holds::Headless, Holds::Nothing];
    let mut boots = 0;
    for (was, case) in all.iter().flat_map(|was| (0..contents.len().pow(2)).map(move |case| (was, case))) {
        let (trial, confirmed) = (contents[case / contents.len()], contents[case % contents.len()]);
        let mut device = Device::new(was, trial, confirmed, &file);
        let operations = device.flash.0.operations();
        let booted = device.boot().expect("the power stays");
        let context = format!("{was:?}, on trial {trial:?}, confirmed {confirmed:?}: {booted:?}");
        let runs = matches!(confirmed, Holds::Image | Holds::Changed).then_some(was.confirmed);
        let (slot, cause, is) = match trial_of(was) {
            None => (runs, BootReason::Confirmed, *was),
            Some((.., 0)) => (runs, BootReason::TrialEnded, ended(was, REASON_ATTEMPTS_EXHAUSTED)),
            Some((slot, named, losses, left)) if trial == Holds::Image && named == digest => {
                (Some(slot), BootReason::Trial, record(was.confirmed, open(slot, named, losses.or(Some(0)), left - 1)))
            }
            Some(_) => (runs, BootReason::TrialEnded, ended(was, REASON_TRIAL_IMAGE_CORRUPT)),
        };
        match slot {
            Some(slot) => assert_eq!(booted.map(|boot| (boot.slot, boot.cause)), Ok((slot, cause)), "{context}"),
            None => assert_eq!(booted, Err(BootError::NoBootableImage), "{context}"),
        }
        assert_eq!(device.record(), is, "{context}");
        assert!(is != *was || device.flash.0.operations() == operations, "{context}");
        boots += 1;
    }
    println!("{boots} boots");
    assert!(boots >= 2_500);
}

/// For every open trial with boots left whose image is there, and every fault at every operation of a boot (refused, done
/// and reported as failed, reported as done and not done, and cut with eight effects): the image is started only if its
/// count is recorded, and in no sequence of boots after it more often than allowed.
#[test]
fn an_image_on_trial_is_started_only_when_its_count_is_written_down() {
    let file = image(&header(1, IMAGE_BYTES, Behaviour::Passes, RollbackCounters::default()), &mut Rng::new(1));
    let digest = Digest(Sha256::digest(&file).into());
    let faults =
        [FlashFault::Fail, FlashFault::Deny, FlashFault::Ignore].into_iter().chain(CutEffect::ALL.map(FlashFault::Cut));
    let mut courses = 0;
    for (was, at, fault) in records([digest; 2])
        .iter()
        .flat_map(|was| (0..4).map(move |at| (was, at)))
        .flat_map(|(was, at)| faults.clone().map(move |fault| (was, at, fault)))
    {
        let Some((slot, _, _, left @ 1..)) = trial_of(was) else { continue };
        let mut device = Device::new(was, Holds::Image, Holds::Image, &file);
        device.flash.0.plan([PlannedFault { at, fault }]);
        let mut starts = 0;
        for _ in 0..left + 2 {
            let before = trial_of(&device.record()).map(|(.., left)| left);
            if device.boot().is_some_and(|booted| booted.expect("one of them runs").slot == slot) {
                starts += 1;
                let after = trial_of(&device.record()).map(|(.., left)| left);
                assert_eq!(after, before.map(|left| left - 1), "{was:?} {at} {fault:?}");
            }
        }
        assert!(starts <= left && starts + 1 >= left, "{was:?} {at} {fault:?}: {starts} starts");
        assert_eq!(trial_of(&device.record()), None, "{was:?} {at} {fault:?}");
        courses += 1;
    }
    println!("{courses} courses of boots");
    assert!(courses >= 2_600);
}
