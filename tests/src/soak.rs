//! A soak run from a seed: jobs at random times amid faults, then a phase without faults in which the last job is a good
//! one. What must hold in every run is checked at the end of [`run`], and in `checks`.

use ota_agent::{AgentConfig, Command, Consent, Discovery, WhyLater};
use ota_jobs::{Reason, Status};
use ota_pal::RollbackCounters;

use crate::conditions::NetworkConditions;
use crate::job::{Kind, Order, Route};
use crate::nor::{CutEffect, FlashFault, PLAIN, PlannedFault};
use crate::rng::Rng;
use crate::service::FailureRates;
use crate::sim::{Act, Ended, Flow, Setup, Simulation};

/// The last job of every run, a good one.
pub const LAST_JOB: &str = "last";
/// Time within which every job ends once faults stop: the agent's longest wait is a trial, with a minute between retries.
const RECOVERY_MS_MAX: u64 = 900_000;
/// Interval at which the run checks whether all jobs have ended.
const CHECK_EVERY_MS: u64 = 20_000;
/// Commands after which every job ends as it would without them, once the agent is resumed.
const HARMLESS: [Command; 6] =
    [Command::Suspend, Command::Suspend, Command::Resume, Command::Check, Command::Download, Command::Activate];
const SLOT_SECTORS: usize = 40;
const SLOT_BYTES: u64 = (SLOT_SECTORS * PLAIN.sector_bytes) as u64;

/// A scheduled action of a run.
#[derive(Clone, Debug)]
enum Action {
    Create(Order),
    /// The service ends a job that is open.
    TakeBack(Status),
    /// The service has a job executed again, whether it ended or not: retried, or deleted and created again.
    ExecuteAgain {
        created: bool,
    },
    Device(Act),
    Flash(PlannedFault),
    /// No block is delivered for a while.
    Silence {
        ms: u64,
    },
    StopFaults(Order),
}

/// The result of a run.
#[derive(Clone, Debug)]
pub struct RunSummary {
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
pub fn run(seed: u64) -> RunSummary {
    let mut rng = Rng::new(seed);
    let mut sim = Simulation::new(setup(seed, &mut rng));
    sim.network.conditions = conditions(&mut rng);
    sim.service.failure_rates = failure_rates(&mut rng);
    sim.web.failures = rng.pick(&[0, 0, 10, 50]);
    let later = (0..rng.below(4)).map(|_| Consent::Later { ms: rng.below(20_000) as u32, why: WhyLater::Application });
    sim.device.consent.answers.borrow_mut().extend(later);
    let mut script = script(&mut rng);
    sim.checks.allowed_failures = allowed_failures(&script, &sim);
    script.reverse();
    let recovery_ms = script.first().map_or(0, |(at_ms, _)| *at_ms);
    let limit_ms = recovery_ms + RECOVERY_MS_MAX;
    sim.alarm_ms = script.last().map(|(at_ms, _)| *at_ms);
    let ended = sim.run(limit_ms, |sim| turn(sim, &mut script, &mut rng));
    every_job_ends(&mut sim, ended);
    summary(sim)
}

fn summary(sim: Simulation) -> RunSummary {
    let jobs = sim.service.entries.iter().map(|entry| (entry.job.kind, entry.status)).collect();
    RunSummary { violations: sim.checks.violations, boots: sim.boots, messages: sim.messages, steps: sim.steps, jobs }
}

/// Performs the actions that are due and schedules the next call.
fn turn(sim: &mut Simulation, script: &mut Vec<(u64, Action)>, rng: &mut Rng) -> Flow {
    while let Some((_, action)) = script.pop_if(|(at_ms, _)| *at_ms <= sim.now_ms) {
        perform(sim, action, rng);
    }
    if sim.alarm_ms.is_none_or(|at_ms| at_ms <= sim.now_ms) {
        let next = script.last().map(|(at_ms, _)| *at_ms);
        sim.alarm_ms = Some(next.unwrap_or(sim.now_ms + CHECK_EVERY_MS));
        if next.is_none() && sim.service.is_settled() {
            return Flow::Stop;
        }
    }
    Flow::Go
}

fn perform(sim: &mut Simulation, action: Action, rng: &mut Rng) {
    match action {
        Action::Create(order) => sim.create(&order),
        Action::TakeBack(status) => {
            let open = sim.service.entries.iter().filter(|entry| !entry.status.is_terminal());
            let open: Vec<String> = open.map(|entry| entry.job.id.clone()).collect();
            if !open.is_empty() {
                let at = rng.below(open.len() as u64) as usize;
                sim.take_back(&open[at], status);
            }
        }
        Action::ExecuteAgain { created } => {
            let ids: Vec<String> = sim.service.entries.iter().map(|entry| entry.job.id.clone()).collect();
            if !ids.is_empty() {
                let id = &ids[rng.below(ids.len() as u64) as usize];
                if created { sim.create_again(id) } else { sim.retry(id) }
            }
        }
        Action::Device(act) => sim.act(act),
        Action::Flash(planned) => sim.device.nor.plan([planned]),
        Action::Silence { ms } => sim.network.silent_until_ms = sim.now_ms + ms,
        Action::StopFaults(order) => {
            sim.network.conditions = NetworkConditions::IDEAL;
            sim.network.silent_until_ms = 0;
            sim.service.failure_rates = FailureRates::default();
            sim.web.failures = 0;
            sim.device.nor.plan([]);
            sim.act(Act::Command(Command::Resume));
            sim.create(&order);
        }
    }
}

fn every_job_ends(sim: &mut Simulation, ended: Ended) {
    let open = sim.service.entries.iter().filter(|entry| !entry.status.is_terminal());
    let open: Vec<String> =
        open.map(|entry| format!("{} {:?} {}", entry.job.id, entry.job.kind, entry.status)).collect();
    if ended == Ended::Late || !open.is_empty() {
        sim.checks.violations.push(format!("every job ends once faults stop: {ended:?}, {open:?}"));
    }
    let (status, reason) = sim.verdict(LAST_JOB);
    if status != Status::Succeeded {
        sim.checks.violations.push(format!("the last, good job succeeds: {status} {reason:?}"));
    }
}

// Parameters drawn from the seed.

fn setup(seed: u64, rng: &mut Rng) -> Setup {
    let mut config = AgentConfig::new("thing")
        .and_then(|config| config.with_block_bytes(rng.pick(&[256, 1_024, 1_024, 4_096])))
        .expect("valid");
    config.trial_ms_max = 60_000;
    config.prefer_http = rng.percent(50);
    config.window_bytes_start = rng.pick(&[8_192, 131_072, 524_288]);
    if rng.percent(30) {
        config.discovery = Discovery::Polled {
            every_ms: rng.between(1_000, 60_000),
            jitter_ms: rng.below(1_000) as u32,
            polls_max: None,
        };
    }
    let thing = if rng.percent(20) { "t".repeat(128) } else { String::from("thing") };
    Setup {
        thing,
        config,
        chip: PLAIN,
        slot_sectors: SLOT_SECTORS,
        factory_slot: false,
        staged: false,
        real_signatures: rng.percent(3),
        seed,
    }
}

fn conditions(rng: &mut Rng) -> NetworkConditions {
    if rng.percent(20) {
        return NetworkConditions::IDEAL;
    }
    let jitter_ms = rng.pick(&[0, 20, 400]);
    let delay_ms = rng.between(1, 300);
    let (loss, duplicates, reorder) = (rng.below(31), rng.pick(&[0, 0, 5, 20]), rng.pick(&[0, 0, 5, 30]));
    let (garbage, bytes_per_s) = (rng.pick(&[0, 0, 2, 10]), rng.pick(&[0, 500_000, 128_000, 50_000]));
    NetworkConditions { delay_ms, jitter_ms, bytes_per_s, loss, duplicates, reorder, garbage }
}

fn failure_rates(rng: &mut Rng) -> FailureRates {
    let mut share = |max| if rng.percent(50) { 0 } else { rng.below(max) };
    FailureRates { refuses: share(20), mismatches: share(20), forgets: share(10), ignores: share(10) }
}

/// Actions and their times, the earliest first: jobs at intervals, each with faults around it.
fn script(rng: &mut Rng) -> Vec<(u64, Action)> {
    let mut script = Vec::new();
    let mut at_ms = rng.below(2_000);
    let jobs = rng.between(1, 4) as u32;
    for number in 0..jobs {
        script.push((at_ms, Action::Create(order(number, rng))));
        for _ in 0..rng.below(4) {
            let scale_ms = rng.pick(&[300, 2_000, 10_000, 40_000]);
            script.push((at_ms + rng.below(scale_ms), action(rng)));
        }
        let scale_ms = rng.pick(&[1_000, 20_000, 90_000]);
        at_ms += rng.below(scale_ms);
    }
    script.sort_by_key(|(at_ms, _)| *at_ms);
    let end_ms = script.last().map_or(0, |(at_ms, _)| *at_ms) + rng.below(60_000);
    let last = Order { id: LAST_JOB.into(), patch: 2 + jobs, kind: Kind::Good, ..order(jobs, rng) };
    script.push((end_ms, Action::StopFaults(last)));
    script
}

fn order(number: u32, rng: &mut Rng) -> Order {
    let kind = match rng.below(10) {
        0..5 => Kind::Good,
        5 => rng.pick(&[Kind::FailsItsTest, Kind::HangsInItsTest, Kind::Custom]),
        _ => rng.pick(&Kind::ALL),
    };
    let stem = if rng.percent(20) { "j".repeat(60) } else { String::from("job") };
    let max_bytes = rng.pick(&[2_000, 20_000, 100_000, SLOT_BYTES]);
    // No two images of a run have the same length, so that lengths identify them.
    let image_bytes = rng.between(600, max_bytes) as u32 / 8 * 8 + number;
    Order {
        id: format!("{stem}-{number}"),
        kind,
        route: rng.pick(&[Route::Mqtt, Route::Mqtt, Route::Http, Route::Both]),
        patch: if kind == Kind::NotNewer { 1 } else { 2 + number },
        image_bytes: image_bytes.min(SLOT_BYTES as u32),
        asks: RollbackCounters::default(),
        by_next_key: false,
    }
}

fn action(rng: &mut Rng) -> Action {
    match rng.below(10) {
        0..2 => Action::Device(Act::Disconnect { ms: rng.pick(&[50, 1_000, 20_000]) }),
        2..4 => Action::Device(Act::Reset),
        4..6 => {
            Action::Flash(PlannedFault { at: rng.below(30) as u32, fault: FlashFault::Cut(rng.pick(&CutEffect::ALL)) })
        }
        6 => Action::Flash(PlannedFault { at: rng.below(30) as u32, fault: FlashFault::Fail }),
        7 => Action::TakeBack(rng.pick(&[Status::Canceled, Status::TimedOut, Status::Removed])),
        8 => Action::Silence { ms: rng.between(500, 30_000) },
        _ if rng.percent(20) => Action::Device(Act::Command(Command::Abort)),
        _ if rng.percent(30) => Action::Device(Act::Command(rng.pick(&HARMLESS))),
        _ if rng.percent(50) => Action::ExecuteAgain { created: rng.percent(50) },
        _ => Action::TakeBack(Status::Canceled),
    }
}

/// The failure reasons that the scheduled faults allow for a job that is otherwise good.
fn allowed_failures(script: &[(u64, Action)], sim: &Simulation) -> Vec<Reason> {
    let resets = script.iter().filter(|(_, action)| {
        matches!(action, Action::Device(Act::Reset) | Action::Flash(PlannedFault { fault: FlashFault::Cut(_), .. }))
    });
    let mut allowed_failures = Vec::new();
    if resets.count() >= 2 {
        allowed_failures.push(Reason::TrialAttemptsExhausted);
    }
    if script.iter().any(|(_, action)| matches!(action, Action::ExecuteAgain { .. })) {
        allowed_failures.push(Reason::VersionNotNewer); // a newer image may have been confirmed meanwhile
    }
    if script.iter().any(|(_, action)| matches!(action, Action::Device(Act::Command(Command::Abort)))) {
        allowed_failures.push(Reason::AbortedByUser);
    }
    if script.iter().any(|(_, action)| matches!(action, Action::Flash(PlannedFault { fault: FlashFault::Fail, .. }))) {
        allowed_failures.extend([Reason::FlashWriteFailed, Reason::FlashEraseFailed, Reason::JournalFailed]);
        allowed_failures.extend([Reason::BootRecordFailed, Reason::TrialAttemptsExhausted]);
    }
    if sim.network.conditions.garbage > 0 {
        allowed_failures.push(Reason::ImageTooShort); // three short blocks in a row are taken for the end of the file
    }
    if sim.service.failure_rates.forgets + sim.service.failure_rates.ignores > 0 {
        allowed_failures.push(Reason::DocumentTooLarge); // three lost responses in a row are taken for one that does not fit
    }
    if sim.web.failures > 0 {
        allowed_failures.extend([
            Reason::HttpUnreachable,
            Reason::HttpBodyTooShort,
            Reason::HttpServerBusy,
            Reason::HttpProtocol,
        ]);
    }
    allowed_failures
}
