//! Update scenarios, each repeated with a power cut or a flash fault at every flash operation, in every variant and on every
//! chip. A case is written `good/4x4096/3:Head,7:Fail`: scenario, chip, and faults, each position counted from the previous
//! fault.

mod story;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use ota_boot::REASON_ATTEMPTS_EXHAUSTED;
use ota_jobs::{Reason, Status};
use ota_pal::TRIAL_ATTEMPTS_DEFAULT;
use ota_pal::{Floor, Trial};

use crate::calm::{WHILE_MS, confirmed};
use crate::job::Order;
use crate::nor::{Blow, CHIPS, Chip, Mishap, Tear};
use crate::world::{Ended, Flow, Setup, World};

use story::{GOOD, IMAGE_BYTES, JOB, NEW, NEWER, NEXT, OLD, REVOKED, order};

pub use story::{SMALL_STORIES, STORIES, Story};

/// A small window, so that progress is reported before the download ends.
const WINDOW_BYTES: u32 = 2_048;
/// Reasons that may be reported when the flash fails.
const FAULTS: [Reason; 9] = [
    Reason::ReadBackMismatch,
    Reason::FlashWriteFailed,
    Reason::FlashEraseFailed,
    Reason::FlashReadFailed,
    Reason::JournalFailed,
    Reason::BootRecordFailed,
    Reason::SignatureInvalid,
    Reason::DigestMismatch,
    Reason::TrialImageCorrupt,
];

/// A scenario, a chip, and the faults to inject.
#[derive(Clone, Debug)]
pub struct Case {
    /// The story.
    pub story: &'static Story,
    /// The device's flash.
    pub chip: Chip,
    /// The faults, each at an operation counted from the previous one.
    pub blows: Vec<Mishap>,
}

/// The result of a case.
#[derive(Clone, Debug)]
pub struct Told {
    /// Writes and erases during the scenario, interrupted ones included.
    pub operations: u32,
    /// Violated expectations, as sentences.
    pub complaints: Vec<String>,
}

/// Runs a case and then one more good job, which checks that no fault has left the device unable to update.
pub fn tell(case: &Case) -> Told {
    match catch_unwind(AssertUnwindSafe(|| told(case))) {
        Ok(told) => told,
        Err(cause) => {
            let text = cause.downcast_ref::<String>().map(String::as_str);
            let text = text.or(cause.downcast_ref::<&str>().copied()).unwrap_or("no text");
            Told { operations: 0, complaints: vec![format!("nothing panics: {text}")] }
        }
    }
}

fn told(case: &Case) -> Told {
    let slot_sectors = (4 * IMAGE_BYTES).max(case.story.image_bytes + 1_024) as usize / case.chip.sector_bytes + 1;
    let Story { factory_slot, staged, .. } = *case.story;
    let mut setup = Setup { chip: case.chip, slot_sectors, factory_slot, staged, ..Setup::new(1) };
    setup.config.window_bytes_start = WINDOW_BYTES;
    let mut world = World::new(setup);
    world.checks.excuses.push(Reason::AbortedByUser);
    if case.blows.len() >= TRIAL_ATTEMPTS_DEFAULT.into() {
        world.checks.excuses.push(Reason::TrialAttemptsExhausted);
    }
    if case.has_faults() {
        world.checks.excuses.extend(FAULTS);
    }
    world.create(&order(JOB, case.story, NEW));
    world.device.nor.plan(case.blows.iter().copied());
    let mut middle = case.story.middle;
    let ended = world.run(WHILE_MS, |world| {
        let done_bytes = world.checks.progress.last().map_or(0, |progress| progress.done_bytes);
        if let Some((_, act)) = middle.take_if(|(at_bytes, _)| done_bytes >= *at_bytes) {
            act(world);
        }
        Flow::Go
    });
    let ended = match case.story.after {
        Some(act) if ended == Ended::Quiet => {
            act(&mut world);
            world.run(WHILE_MS, |_| Flow::Go)
        }
        _ => ended,
    };
    let operations = world.device.nor.operations();
    let mut complaints = the_story_ends_as_it_must(case, &world, ended);
    complaints.extend(no_sector_is_erased_more_than_its_share(&world));
    complaints.extend(the_next_job_works(&mut world, case.story.asks));
    complaints.extend(a_revoked_key_is_believed_no_more(&mut world, case.story.asks));
    complaints.extend(the_monotonic_record_is_what_was_committed(&world, case.story.asks));
    complaints.append(&mut world.checks.violations);
    Told { operations, complaints }
}

fn the_story_ends_as_it_must(case: &Case, world: &World, ended: Ended) -> Vec<String> {
    let (status, reason) = world.verdict(JOB);
    let (_, patch) = confirmed(world);
    let record = world.device.record();
    let mut complaints = Vec::new();
    if ended != Ended::Quiet {
        complaints.push(format!("the scenario ends: {ended:?}"));
    }
    let reason = reason.filter(|_| status == Status::Failed);
    let gave_up = [Status::Failed, Status::Canceled].contains(&status) && patch == OLD;
    // As many cuts as a trial has boots, one in each, end it without a verdict; a factory reset discards that result.
    let exhausted = reason == Some(Reason::TrialAttemptsExhausted)
        || matches!(record.trial, Trial::Ended { reason: REASON_ATTEMPTS_EXHAUSTED, .. });
    let ends = match () {
        _ if exhausted => gave_up && case.blows.len() >= TRIAL_ATTEMPTS_DEFAULT.into(),
        _ if case.has_faults() && [JOB, NEWER].iter().any(|id| failed_for_a_fault(world, id)) => gave_up,
        _ => case.story.ends.contains(&(status, reason, patch)),
    };
    if !ends {
        complaints.push(format!("the status of the job matches the device: {status} {reason:?}, 1.0.{patch} runs"));
    }
    if matches!(record.trial, Trial::Pending { .. } | Trial::Started { .. }) {
        complaints.push(format!("no trial is left over: {record:?}"));
    }
    complaints
}

fn failed_for_a_fault(world: &World, id: &str) -> bool {
    let ended = world.service.entry(id).map(|_| world.verdict(id));
    matches!(ended, Some((Status::Failed, Some(reason))) if FAULTS.contains(&reason))
}

/// Each boot starts at most one fresh sector of the journal and one of the boot record, and erases a sector of the slot
/// once: a sector is erased once per boot, and once more where the records of a boot fill one.
fn no_sector_is_erased_more_than_its_share(world: &World) -> Option<String> {
    let (erases, lives) = (world.device.nor.erases_max(), world.boots);
    (erases > 2 * lives + 2).then(|| format!("no sector is erased too often: {erases} times in {lives} boots"))
}

/// The next job's image requires the same floor as the scenario's; if that was not committed, it is raised now.
fn the_monotonic_record_is_what_was_committed(world: &World, asks: Floor) -> Option<String> {
    let floor = world.device.floor();
    (floor != asks).then(|| format!("the monotonic record is what was committed: {floor:?} instead of {asks:?}"))
}

fn the_next_job_works(world: &mut World, asks: Floor) -> Option<String> {
    world.device.nor.plan([]);
    world.create(&Order { asks, by_next_key: asks.key_epoch > 0, ..order(NEXT, &GOOD, 4) });
    let ended = world.run(WHILE_MS, |_| Flow::Go);
    let (verdict, (_, patch)) = (world.verdict(NEXT), confirmed(world));
    let works = (ended, verdict, patch) == (Ended::Quiet, (Status::Succeeded, None), 4);
    (!works).then(|| format!("the next job works: {ended:?} {verdict:?}, 1.0.{patch} runs"))
}

fn a_revoked_key_is_believed_no_more(world: &mut World, asks: Floor) -> Option<String> {
    if asks.key_epoch == 0 {
        return None;
    }
    world.checks.excuses.push(Reason::KeyRevoked);
    world.create(&Order { asks, ..order(REVOKED, &GOOD, 5) });
    let ended = world.run(WHILE_MS, |_| Flow::Go);
    let verdict = world.verdict(REVOKED);
    let is_refused = (ended, verdict) == (Ended::Quiet, (Status::Failed, Some(Reason::KeyRevoked)));
    (!is_refused).then(|| format!("a revoked key is refused: {ended:?} {verdict:?}"))
}

impl Case {
    /// Whether any fault is more than a power cut: the flash refuses an operation or reports a wrong result.
    fn has_faults(&self) -> bool {
        self.blows.iter().any(|mishap| !matches!(mishap.blow, Blow::Cut(_)))
    }
}

/// Every fault that a case can name.
fn blows() -> impl Iterator<Item = Blow> {
    [Blow::Fail, Blow::Deny, Blow::Ignore, Blow::Misread].into_iter().chain(Tear::ALL.map(Blow::Cut))
}

fn name(blow: Blow) -> String {
    match blow {
        Blow::Cut(tear) => format!("{tear:?}"),
        fault => format!("{fault:?}"),
    }
}

impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}x{}/", self.story.name, self.chip.word_bytes, self.chip.sector_bytes)?;
        let blows: Vec<String> = self.blows.iter().map(|Mishap { at, blow }| format!("{at}:{}", name(*blow))).collect();
        out.write_str(&blows.join(","))
    }
}

/// The text is not a valid case.
#[derive(Debug)]
pub struct NoCase;

impl FromStr for Case {
    type Err = NoCase;

    fn from_str(text: &str) -> Result<Self, NoCase> {
        let [story, chip, mishaps] = text.split('/').collect::<Vec<_>>()[..] else { return Err(NoCase) };
        let story = STORIES.iter().chain(SMALL_STORIES.iter()).find(|known| known.name == story).ok_or(NoCase)?;
        let units = |chip: &Chip| format!("{}x{}", chip.word_bytes, chip.sector_bytes);
        let chip = CHIPS.into_iter().find(|known| units(known) == chip).ok_or(NoCase)?;
        let mishap = |text: &str| {
            let (at, blow) = text.split_once(':').ok_or(NoCase)?;
            let blow = blows().find(|known| name(*known) == blow).ok_or(NoCase)?;
            Ok(Mishap { at: at.parse().map_err(|_| NoCase)?, blow })
        };
        let blows = mishaps.split(',').filter(|text| !text.is_empty()).map(mishap).collect::<Result<_, _>>()?;
        Ok(Self { story, chip, blows })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_reads_back_as_it_is_written() {
        for text in ["good/4x4096/3:Head,7:Bits", "resume/32x131072/", "bad/1x4096/0:Unstable,2:Misread"] {
            let case: Case = text.parse().expect("a case");
            assert_eq!(case.to_string(), text);
        }
        for text in [
            "",
            "good/4x4096",
            "none/4x4096/",
            "good/3x4096/",
            "good/4x4096/3",
            "good/4x4096/x:Head",
            "good/4x4096/3:Neck",
        ] {
            assert!(text.parse::<Case>().is_err(), "{text}");
        }
    }
}
