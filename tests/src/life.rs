//! A soak run from a seed: jobs at random times amid faults, then a phase without faults in which the last job is a good
//! one. What must hold in every run is checked at the end of [`live`], and in `checks`.

use ota_agent::{AgentConfig, Command, Discovery};
use ota_jobs::{Reason, Status};
use ota_pal::Floor;

use crate::dice::Dice;
use crate::job::{Kind, Order, Route};
use crate::network::Weather;
use crate::nor::{Blow, Mishap, PLAIN, Tear};
use crate::service::Mood;
use crate::world::{Act, Ended, Flow, Setup, World};

/// The last job of every run, a good one.
pub const LAST_JOB: &str = "last";
/// Time within which every job ends once faults stop: the agent's longest wait is a trial, with a minute between retries.
const CALM_MS_MAX: u64 = 900_000;
/// Interval at which the run checks whether all jobs have ended.
const LOOK_EVERY_MS: u64 = 20_000;
const SLOT_SECTORS: usize = 40;
const SLOT_BYTES: u64 = (SLOT_SECTORS * PLAIN.sector_bytes) as u64;

/// A scheduled action of a run.
#[derive(Clone, Debug)]
enum Deed {
    Create(Order),
    /// The service ends a job that is open.
    TakeBack(Status),
    Device(Act),
    Flash(Mishap),
    /// No block is delivered for a while.
    Silence {
        ms: u64,
    },
    Calm(Order),
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct Account {
    /// Violated checks.
    pub violations: Vec<String>,
    /// Number of boots.
    pub boots: u32,
    /// Messages that arrived.
    pub messages: u64,
    /// Steps of the run loop.
    pub steps: u64,
    /// Jobs and how they ended.
    pub jobs: Vec<(Kind, Status)>,
}

/// Runs the scenario of `seed`.
pub fn live(seed: u64) -> Account {
    let mut dice = Dice::new(seed);
    let mut world = World::new(setup(seed, &mut dice));
    world.network.weather = weather(&mut dice);
    world.service.mood = mood(&mut dice);
    world.web.failures = dice.pick(&[0, 0, 10, 50]);
    let mut script = script(&mut dice);
    world.checks.excuses = excuses(&script, &world);
    script.reverse();
    let calm_ms = script.first().map_or(0, |(at_ms, _)| *at_ms);
    let limit_ms = calm_ms + CALM_MS_MAX;
    world.alarm_ms = script.last().map(|(at_ms, _)| *at_ms);
    let ended = world.run(limit_ms, |world| turn(world, &mut script, &mut dice));
    the_calm_ends_every_job(&mut world, ended);
    account(world)
}

fn account(world: World) -> Account {
    let jobs = world.service.entries.iter().map(|entry| (entry.job.kind, entry.status)).collect();
    Account {
        violations: world.checks.violations,
        boots: world.boots,
        messages: world.messages,
        steps: world.steps,
        jobs,
    }
}

/// Performs the actions that are due and schedules the next call.
fn turn(world: &mut World, script: &mut Vec<(u64, Deed)>, dice: &mut Dice) -> Flow {
    while let Some((_, deed)) = script.pop_if(|(at_ms, _)| *at_ms <= world.now_ms) {
        perform(world, deed, dice);
    }
    if world.alarm_ms.is_none_or(|at_ms| at_ms <= world.now_ms) {
        let next = script.last().map(|(at_ms, _)| *at_ms);
        world.alarm_ms = Some(next.unwrap_or(world.now_ms + LOOK_EVERY_MS));
        if next.is_none() && world.service.is_settled() {
            return Flow::Stop;
        }
    }
    Flow::Go
}

fn perform(world: &mut World, deed: Deed, dice: &mut Dice) {
    match deed {
        Deed::Create(order) => world.create(&order),
        Deed::TakeBack(status) => {
            let open = world.service.entries.iter().filter(|entry| !entry.status.is_terminal());
            let open: Vec<String> = open.map(|entry| entry.job.id.clone()).collect();
            if !open.is_empty() {
                let at = dice.below(open.len() as u64) as usize;
                world.take_back(&open[at], status);
            }
        }
        Deed::Device(act) => world.act(act),
        Deed::Flash(mishap) => world.device.nor.plan([mishap]),
        Deed::Silence { ms } => world.network.silent_until_ms = world.now_ms + ms,
        Deed::Calm(order) => {
            world.network.weather = Weather::CALM;
            world.network.silent_until_ms = 0;
            world.service.mood = Mood::default();
            world.web.failures = 0;
            world.device.nor.plan([]);
            world.create(&order);
        }
    }
}

fn the_calm_ends_every_job(world: &mut World, ended: Ended) {
    let open = world.service.entries.iter().filter(|entry| !entry.status.is_terminal());
    let open: Vec<String> =
        open.map(|entry| format!("{} {:?} {}", entry.job.id, entry.job.kind, entry.status)).collect();
    if ended == Ended::Late || !open.is_empty() {
        world.checks.violations.push(format!("every job ends once faults stop: {ended:?}, {open:?}"));
    }
    let (status, reason) = world.verdict(LAST_JOB);
    if status != Status::Succeeded {
        world.checks.violations.push(format!("the last, good job succeeds: {status} {reason:?}"));
    }
}

// Parameters drawn from the seed.

fn setup(seed: u64, dice: &mut Dice) -> Setup {
    let mut config = AgentConfig::new("thing")
        .and_then(|config| config.with_block_bytes(dice.pick(&[256, 1_024, 1_024, 4_096])))
        .expect("valid");
    config.trial_ms_max = 60_000;
    config.prefer_http = dice.percent(50);
    config.window_bytes_start = dice.pick(&[8_192, 131_072, 524_288]);
    if dice.percent(30) {
        config.discovery = Discovery::Polled { every_ms: dice.between(1_000, 60_000) };
    }
    let thing = if dice.percent(20) { "t".repeat(128) } else { String::from("thing") };
    Setup {
        thing,
        config,
        chip: PLAIN,
        slot_sectors: SLOT_SECTORS,
        factory_slot: false,
        staged: false,
        real_signatures: dice.percent(3),
        seed,
    }
}

fn weather(dice: &mut Dice) -> Weather {
    if dice.percent(20) {
        return Weather::CALM;
    }
    let jitter_ms = dice.pick(&[0, 20, 400]);
    let delay_ms = dice.between(1, 300);
    let (loss, duplicates, reorder) = (dice.below(31), dice.pick(&[0, 0, 5, 20]), dice.pick(&[0, 0, 5, 30]));
    let (garbage, block_ms) = (dice.pick(&[0, 0, 2, 10]), dice.pick(&[0, 2, 8, 20]));
    Weather { delay_ms, jitter_ms, block_ms, loss, duplicates, reorder, garbage }
}

fn mood(dice: &mut Dice) -> Mood {
    let mut share = |max| if dice.percent(50) { 0 } else { dice.below(max) };
    Mood { refuses: share(20), mismatches: share(20), forgets: share(10), ignores: share(10) }
}

/// Actions and their times, the earliest first: jobs at intervals, each with faults around it.
fn script(dice: &mut Dice) -> Vec<(u64, Deed)> {
    let mut script = Vec::new();
    let mut at_ms = dice.below(2_000);
    let jobs = dice.between(1, 4) as u32;
    for number in 0..jobs {
        script.push((at_ms, Deed::Create(order(number, dice))));
        for _ in 0..dice.below(4) {
            let scale_ms = dice.pick(&[300, 2_000, 10_000, 40_000]);
            script.push((at_ms + dice.below(scale_ms), deed(dice)));
        }
        let scale_ms = dice.pick(&[1_000, 20_000, 90_000]);
        at_ms += dice.below(scale_ms);
    }
    script.sort_by_key(|(at_ms, _)| *at_ms);
    let end_ms = script.last().map_or(0, |(at_ms, _)| *at_ms) + dice.below(60_000);
    let last = Order { id: LAST_JOB.into(), patch: 2 + jobs, kind: Kind::Good, ..order(jobs, dice) };
    script.push((end_ms, Deed::Calm(last)));
    script
}

fn order(number: u32, dice: &mut Dice) -> Order {
    let kind = match dice.below(10) {
        0..5 => Kind::Good,
        5 => dice.pick(&[Kind::FailsItsTest, Kind::HangsInItsTest, Kind::Custom]),
        _ => dice.pick(&Kind::ALL),
    };
    let stem = if dice.percent(20) { "j".repeat(60) } else { String::from("job") };
    let max_bytes = dice.pick(&[2_000, 20_000, 100_000, SLOT_BYTES]);
    // No two images of a run have the same length, so that lengths identify them.
    let image_bytes = dice.between(600, max_bytes) as u32 / 8 * 8 + number;
    Order {
        id: format!("{stem}-{number}"),
        kind,
        route: dice.pick(&[Route::Mqtt, Route::Mqtt, Route::Http, Route::Both]),
        patch: if kind == Kind::NotNewer { 1 } else { 2 + number },
        image_bytes: image_bytes.min(SLOT_BYTES as u32),
        asks: Floor::default(),
        by_next_key: false,
    }
}

fn deed(dice: &mut Dice) -> Deed {
    match dice.below(10) {
        0..2 => Deed::Device(Act::Disconnect { ms: dice.pick(&[50, 1_000, 20_000]) }),
        2..4 => Deed::Device(Act::Reset),
        4..6 => Deed::Flash(Mishap { at: dice.below(30) as u32, blow: Blow::Cut(dice.pick(&Tear::ALL)) }),
        6 => Deed::Flash(Mishap { at: dice.below(30) as u32, blow: Blow::Fail }),
        7 => Deed::TakeBack(dice.pick(&[Status::Canceled, Status::TimedOut, Status::Removed])),
        8 => Deed::Silence { ms: dice.between(500, 30_000) },
        _ if dice.percent(20) => Deed::Device(Act::Command(Command::Abort)),
        _ => Deed::TakeBack(Status::Canceled),
    }
}

/// The failure reasons that the scheduled faults allow for a job that is otherwise good.
fn excuses(script: &[(u64, Deed)], world: &World) -> Vec<Reason> {
    let resets = script
        .iter()
        .filter(|(_, deed)| matches!(deed, Deed::Device(Act::Reset) | Deed::Flash(Mishap { blow: Blow::Cut(_), .. })));
    let mut excuses = Vec::new();
    if resets.count() >= 2 {
        excuses.push(Reason::TrialAttemptsExhausted);
    }
    if script.iter().any(|(_, deed)| matches!(deed, Deed::Device(Act::Command(Command::Abort)))) {
        excuses.push(Reason::AbortedByUser);
    }
    if script.iter().any(|(_, deed)| matches!(deed, Deed::Flash(Mishap { blow: Blow::Fail, .. }))) {
        excuses.extend([Reason::FlashWriteFailed, Reason::FlashEraseFailed, Reason::JournalFailed]);
        excuses.extend([Reason::BootRecordFailed, Reason::TrialAttemptsExhausted]);
    }
    if world.network.weather.garbage > 0 {
        excuses.push(Reason::ImageTooShort); // three short blocks in a row are taken for the end of the file
    }
    if world.service.mood.forgets + world.service.mood.ignores > 0 {
        excuses.push(Reason::DocumentTooLarge); // three answers lost in a row look like one that does not fit
    }
    if world.web.failures > 0 {
        excuses.extend([Reason::HttpUnreachable, Reason::HttpBodyTooShort, Reason::HttpStatus, Reason::HttpProtocol]);
    }
    excuses
}
