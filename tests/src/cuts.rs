//! Stories of an update that are told again with the power cut, or the flash failing: at every flash operation, in every
//! way, on every chip. A case is written `good/4x4096/3:Head,7:Fail`: story, chip, and the blows, each counted from the
//! one before.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;

use ota_boot::REASON_ATTEMPTS_EXHAUSTED;
use ota_jobs::{Reason, Status};
use ota_pal::Trial;
use ota_pal::native::TRIAL_ATTEMPTS_DEFAULT;

use crate::calm::{WHILE_MS, confirmed};
use crate::job::{Kind, Order, Route};
use crate::nor::{CHIPS, Chip, Mishap, Tear};
use crate::world::{Act, Ended, Flow, Setup, World};

/// Twelve blocks of 1 KiB, the last one short.
const IMAGE_BYTES: u32 = 12_000;
/// A small window: what happens in the middle is heard before the end.
const WINDOW_BYTES: u32 = 2_048;
/// More than the journal may be behind: a download of it goes on where a reset found it.
const LONG_IMAGE_BYTES: u32 = 70_000;
/// The job of the story, and the good one after it.
const JOB: &str = "job";
const NEXT: &str = "next";
/// The job that supersedes the story's.
const NEWER: &str = "newer";

/// Something that happens to the world.
type Deed = fn(&mut World);

/// A story.
#[derive(Debug)]
pub struct Story {
    /// Its name in a case.
    pub name: &'static str,
    kind: Kind,
    route: Route,
    image_bytes: u32,
    /// What happens during the download, once, when so many bytes are in.
    middle: Option<(u32, Deed)>,
    /// How it may end when the power is cut: what the job says, and the patch of the version that runs.
    ends: &'static [(Status, Option<Reason>, u32)],
}

/// What the service may hear of a flash that fails.
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

impl Story {
    /// Whether it is told in a few dozen operations.
    pub fn is_short(&self) -> bool {
        self.image_bytes == IMAGE_BYTES
    }
}

const NEW: u32 = 2;
const OLD: u32 = 1;
const SUCCEEDED: (Status, Option<Reason>, u32) = (Status::Succeeded, None, NEW);

const fn failed(reason: Reason) -> (Status, Option<Reason>, u32) {
    (Status::Failed, Some(reason), OLD)
}

const GOOD: Story = Story {
    name: "good",
    kind: Kind::Good,
    route: Route::Mqtt,
    image_bytes: IMAGE_BYTES,
    middle: None,
    ends: &[SUCCEEDED],
};

/// All stories.
pub const STORIES: [Story; 8] = [
    GOOD,
    Story { name: "http", route: Route::Http, ..GOOD },
    Story { name: "bad", kind: Kind::FailsItsTest, ends: &[failed(Reason::SelfTestFailed)], ..GOOD },
    Story { name: "hangs", kind: Kind::HangsInItsTest, ends: &[failed(Reason::SelfTestTimedOut)], ..GOOD },
    // Whether the wish of the user is remembered is a matter of the moment: it is not in flash before the job is over.
    Story {
        name: "abort",
        middle: Some((4_096, |world| world.act(Act::Abort))),
        ends: &[failed(Reason::AbortedByUser), SUCCEEDED],
        ..GOOD
    },
    Story {
        name: "cancel",
        middle: Some((4_096, |world| world.take_back(JOB, Status::Canceled))),
        ends: &[(Status::Canceled, None, OLD)],
        ..GOOD
    },
    Story {
        name: "supersede",
        middle: Some((4_096, |world| {
            world.take_back(JOB, Status::Canceled);
            world.create(&order(NEWER, &GOOD, 3));
        })),
        ends: &[(Status::Canceled, None, 3)],
        ..GOOD
    },
    Story {
        name: "resume",
        image_bytes: LONG_IMAGE_BYTES,
        middle: Some((68_000, |world| world.act(Act::Reset))),
        ..GOOD
    },
];

/// A story, a chip, and where the power goes.
#[derive(Clone, Debug)]
pub struct Case {
    /// The story.
    pub story: &'static Story,
    /// The device's flash.
    pub chip: Chip,
    /// What comes over it, and at which operation, counted from the one before.
    pub blows: Vec<(u32, Blow)>,
}

/// What comes over a flash operation, or a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// The power goes.
    Cut(Tear),
    /// It is refused.
    Fail,
    /// It is done, and called refused.
    Deny,
    /// It is called done, and nothing happens.
    Ignore,
    /// A read flips a bit. The number counts reads.
    Misread,
}

impl Blow {
    const FAULTS: [(&str, Blow); 4] =
        [("Fail", Blow::Fail), ("Deny", Blow::Deny), ("Ignore", Blow::Ignore), ("Misread", Blow::Misread)];

    fn mishap(self, at: u32) -> Mishap {
        match self {
            Blow::Cut(tear) => Mishap::Cut { at, tear },
            Blow::Fail => Mishap::Fail { at },
            Blow::Deny => Mishap::Deny { at },
            Blow::Ignore => Mishap::Ignore { at },
            Blow::Misread => Mishap::Misread { at },
        }
    }

    fn named(name: &str) -> Option<Self> {
        let tear = Tear::ALL.into_iter().find(|tear| format!("{tear:?}") == name).map(Blow::Cut);
        tear.or(Self::FAULTS.into_iter().find(|(known, _)| *known == name).map(|(_, blow)| blow))
    }
}

impl fmt::Display for Blow {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Blow::Cut(tear) => write!(out, "{tear:?}"),
            fault => write!(out, "{fault:?}"),
        }
    }
}

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Told {
    /// Writes and erases from the beginning of the story to its end, the torn ones included.
    pub operations: u32,
    /// What must not be, in sentences.
    pub complaints: Vec<String>,
}

fn order(id: &str, story: &Story, patch: u32) -> Order {
    Order { id: id.into(), kind: story.kind, route: story.route, patch, image_bytes: story.image_bytes + patch }
}

/// Tells a case, and after it the story of one more good job: no cut may have spoiled the device for it.
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
    let mut setup = Setup { chip: case.chip, slot_sectors, ..Setup::new(1) };
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
    world.device.nor.plan(case.blows.iter().map(|(at, blow)| blow.mishap(*at)));
    let mut middle = case.story.middle;
    let ended = world.run(WHILE_MS, |world| {
        let done_bytes = world.checks.progress.last().map_or(0, |progress| progress.done_bytes);
        if let Some((_, act)) = middle.take_if(|(at_bytes, _)| done_bytes >= *at_bytes) {
            act(world);
        }
        Flow::Go
    });
    let operations = world.device.nor.operations();
    let mut complaints = the_story_ends_as_it_must(case, &world, ended);
    complaints.extend(no_sector_is_erased_more_than_its_share(&world));
    complaints.extend(the_next_job_works(&mut world));
    complaints.append(&mut world.checks.violations);
    Told { operations, complaints }
}

fn the_story_ends_as_it_must(case: &Case, world: &World, ended: Ended) -> Vec<String> {
    let (status, reason) = world.verdict(JOB);
    let (_, patch) = confirmed(world);
    let record = world.device.record();
    let mut complaints = Vec::new();
    if ended != Ended::Quiet {
        complaints.push(format!("a story ends: {ended:?}"));
    }
    let reason = reason.filter(|_| status == Status::Failed);
    let gave_up = [Status::Failed, Status::Canceled].contains(&status) && patch == OLD;
    let ends = match record.trial {
        // As many cuts as a trial has boots, each in one of them, end it without a verdict.
        Trial::Ended { reason: REASON_ATTEMPTS_EXHAUSTED, .. } => {
            gave_up && case.blows.len() >= TRIAL_ATTEMPTS_DEFAULT.into()
        }
        _ if case.has_faults() && [JOB, NEWER].iter().any(|id| failed_for_a_fault(world, id)) => gave_up,
        _ => case.story.ends.contains(&(status, reason, patch)),
    };
    if !ends {
        complaints.push(format!("the job and the device tell one truth: {status} {reason:?}, 1.0.{patch} runs"));
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

/// Each life of a device starts one fresh sector of the journal and one of the boot record at most, and erases a sector
/// of the slot once: a sector is erased once in each life, and once more where the records of a life fill one.
fn no_sector_is_erased_more_than_its_share(world: &World) -> Option<String> {
    let (erases, lives) = (world.device.nor.erases_max(), world.boots);
    (erases > 2 * lives + 2)
        .then(|| format!("no sector is erased more than its share: {erases} times in {lives} lives"))
}

fn the_next_job_works(world: &mut World) -> Option<String> {
    world.device.nor.plan([]);
    world.create(&order(NEXT, &GOOD, 4));
    let ended = world.run(WHILE_MS, |_| Flow::Go);
    let (verdict, (_, patch)) = (world.verdict(NEXT), confirmed(world));
    let works = (ended, verdict, patch) == (Ended::Quiet, (Status::Succeeded, None), 4);
    (!works).then(|| format!("the next job works: {ended:?} {verdict:?}, 1.0.{patch} runs"))
}

impl Case {
    /// Whether the device is told what is not so, or refused what it asks for.
    fn has_faults(&self) -> bool {
        self.blows.iter().any(|(_, blow)| !matches!(blow, Blow::Cut(_)))
    }
}

impl fmt::Display for Case {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}x{}/", self.story.name, self.chip.word_bytes, self.chip.sector_bytes)?;
        let blows: Vec<String> = self.blows.iter().map(|(at, blow)| format!("{at}:{blow}")).collect();
        out.write_str(&blows.join(","))
    }
}

/// Why a text is no case.
#[derive(Debug)]
pub struct NoCase;

impl FromStr for Case {
    type Err = NoCase;

    fn from_str(text: &str) -> Result<Self, NoCase> {
        let [story, chip, blows] = text.split('/').collect::<Vec<_>>()[..] else { return Err(NoCase) };
        let story = STORIES.iter().find(|known| known.name == story).ok_or(NoCase)?;
        let units = |chip: &Chip| format!("{}x{}", chip.word_bytes, chip.sector_bytes);
        let chip = CHIPS.into_iter().find(|known| units(known) == chip).ok_or(NoCase)?;
        let blow = |text: &str| {
            let (at, blow) = text.split_once(':').ok_or(NoCase)?;
            Ok((at.parse().map_err(|_| NoCase)?, Blow::named(blow).ok_or(NoCase)?))
        };
        let blows = blows.split(',').filter(|blow| !blow.is_empty()).map(blow).collect::<Result<_, _>>()?;
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
