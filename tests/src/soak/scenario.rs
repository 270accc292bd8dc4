//! What happens in a run, drawn from its seed: the device, the services, and the actions with their times.

use ota_agent::{AgentConfig, AgentState, Command, Consent, Discovery, WhyLater};
use ota_jobs::Status;
use ota_pal::{Component, RollbackCounters};

use super::profiles::conditions;
use super::{Action, LAST_JOB, Offer};
use crate::job::{Kind, Order, Route};
use crate::nor::{CutEffect, FlashFault, PLAIN, PlannedFault};
use crate::rng::Rng;
use crate::service::FailureRates;
use crate::setup::Setup;
use crate::sim::{Act, Simulation};

/// Commands after which every job ends as it would without them, once the agent is resumed.
const HARMLESS: [Command; 6] =
    [Command::Suspend, Command::Suspend, Command::Resume, Command::Check, Command::Download, Command::Activate];
const SLOT_SECTORS: usize = 40;
const SLOT_BYTES: u64 = (SLOT_SECTORS * PLAIN.sector_bytes) as u64;
/// States in which the agent waits for something.
const STATES: [AgentState; 5] = [
    AgentState::Downloading,
    AgentState::Activating,
    AgentState::Resetting,
    AgentState::Testing,
    AgentState::Reporting,
];

/// A device before its first boot, and what happens to it, the earliest first.
pub(super) fn draw(seed: u64, rng: &mut Rng) -> (Simulation, Vec<(u64, Action)>) {
    let mut sim = Simulation::new(setup(seed, rng));
    let has_system = sim.device.system.is_some();
    sim.network.conditions = conditions(rng);
    if rng.percent(50) {
        sim.network.begin_session();
    }
    sim.service.failure_rates = failure_rates(rng);
    sim.web.failures = rng.pick(&[0, 0, 10, 50]);
    let later = (0..rng.below(4)).map(|_| Consent::Later { ms: rng.below(20_000) as u32, why: WhyLater::Application });
    sim.device.consent.answers.borrow_mut().extend(later);
    sim.device.consent.unprepared.set(rng.pick(&[0, 0, 5, u32::MAX]));
    (sim, script(has_system, rng))
}

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
        system: rng.percent(25),
        real_signatures: rng.percent(3),
        seed,
    }
}

fn failure_rates(rng: &mut Rng) -> FailureRates {
    let mut share = |max| if rng.percent(50) { 0 } else { rng.below(max) };
    FailureRates { refuses: share(20), mismatches: share(20), forgets: share(10), ignores: share(10) }
}

/// Actions and their times, the earliest first: jobs at intervals, each with faults around it.
fn script(has_system: bool, rng: &mut Rng) -> Vec<(u64, Action)> {
    let mut script = Vec::new();
    let mut at_ms = rng.below(2_000);
    let jobs = rng.between(1, 4) as u32;
    for number in 0..jobs {
        let order = order(number, rng);
        script.push((at_ms, create(offer(order, has_system, rng), rng)));
        for _ in 0..rng.below(5) {
            let scale_ms = rng.pick(&[300, 2_000, 10_000, 40_000]);
            script.push((at_ms + rng.below(scale_ms), action(rng)));
        }
        let scale_ms = rng.pick(&[1_000, 20_000, 90_000]);
        at_ms += rng.below(scale_ms);
    }
    script.sort_by_key(|(at_ms, _)| *at_ms);
    let end_ms = script.last().map_or(0, |(at_ms, _)| *at_ms) + rng.below(60_000);
    let last = Order { id: LAST_JOB.into(), patch: 2 + jobs, kind: Kind::Good, ..order(jobs, rng) };
    script.push((end_ms, Action::StopFaults(offer(last, has_system, rng))));
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
        component: Component::App,
        by_next_key: false,
    }
}

/// The job for a device: one of three updates its system, if that is a component of its own, and one of three both.
fn offer(order: Order, has_system: bool, rng: &mut Rng) -> Offer {
    let may_run = matches!(order.kind, Kind::Good | Kind::FailsItsTest | Kind::HangsInItsTest);
    match rng.below(3) {
        0 if has_system => Offer { order: Order { component: Component::System, ..order }, is_release: false },
        // The second file is eight bytes longer.
        1 if has_system && may_run && u64::from(order.image_bytes) + 8 <= SLOT_BYTES => {
            Offer { order, is_release: true }
        }
        _ => Offer { order, is_release: false },
    }
}

/// One job of five supersedes those before it, half of these when the agent is in a certain state.
fn create(offer: Offer, rng: &mut Rng) -> Action {
    match rng.below(10) {
        0 => Action::Supersede(offer),
        1 => Action::In(rng.pick(&STATES), Box::new(Action::Supersede(offer))),
        _ => Action::Create(offer),
    }
}

/// One action of three waits until the agent is in a certain state: some states are short.
fn action(rng: &mut Rng) -> Action {
    if rng.percent(33) { Action::In(rng.pick(&STATES), Box::new(disturbance(rng))) } else { disturbance(rng) }
}

fn disturbance(rng: &mut Rng) -> Action {
    match rng.below(16) {
        0..2 => Action::Device(Act::Disconnect { ms: rng.pick(&[50, 1_000, 20_000]) }),
        2 => Action::Device(Act::HalfOpen { noticed_ms: rng.between(500, 60_000), ms: rng.pick(&[50, 1_000, 20_000]) }),
        3..5 => Action::Device(Act::Reset),
        5 => Action::Device(Act::ClockJump { ms: rng.pick(&[1_000, 60_000, 86_400_000]) }),
        6..8 => {
            Action::Flash(PlannedFault { at: rng.below(30) as u32, fault: FlashFault::Cut(rng.pick(&CutEffect::ALL)) })
        }
        8 => Action::Flash(PlannedFault { at: rng.below(30) as u32, fault: FlashFault::Fail }),
        9 => Action::TakeBack(rng.pick(&[Status::Canceled, Status::TimedOut, Status::Removed])),
        10 => Action::Silence { ms: rng.between(500, 30_000) },
        11 => Action::Stall { ms: rng.between(500, 30_000) },
        12 => Action::Restart { ms: rng.between(500, 30_000) },
        13 => Action::Throttle { ms: rng.between(500, 30_000) },
        14 => Action::Hold { ms: rng.between(100, 30_000) },
        _ if rng.percent(20) => Action::Device(Act::Command(Command::Abort)),
        _ if rng.percent(30) => Action::Device(Act::Command(rng.pick(&HARMLESS))),
        _ => Action::ExecuteAgain { created: rng.percent(50) },
    }
}
