//! A soak run from a seed, the life of a device: jobs at random times amid faults, then a phase without faults in which the last
//! job is a good one. What must hold in every run is checked at the end of [`run`], and in `checks`. What happens in a run is
//! drawn from the seed in `scenario`.

mod allowed;
mod profiles;
mod scenario;

use std::collections::BTreeSet;

use embassy_sync::blocking_mutex::raw::NoopRawMutex;
use ota_agent::{AgentState, Command, Hold, Holds};
use ota_jobs::Status;
use ota_pal::{Component, poll_ready};

use crate::conditions::NetworkConditions;
use crate::job::{BOTH_COMPONENTS, Kind, Order};
use crate::nor::PlannedFault;
use crate::rng::Rng;
use crate::service::FailureRates;
use crate::sim::{Act, Ended, Flow, Simulation};

/// The last job of every run, a good one.
pub const LAST_JOB: &str = "last";
/// Time within which every job ends once faults stop: the agent's longest wait is a trial, with a minute between retries.
const RECOVERY_MS_MAX: u64 = 900_000;
/// Interval at which the run checks whether all jobs have ended.
const CHECK_EVERY_MS: u64 = 20_000;

/// A scheduled action of a run.
#[derive(Clone, Debug)]
enum Action {
    Create(Offer),
    /// The service cancels the jobs that are open, and offers this one in their place.
    Supersede(Offer),
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
    /// Nothing arrives for a while, then everything.
    Stall {
        ms: u64,
    },
    /// The service loses the requests that arrive for a while.
    Restart {
        ms: u64,
    },
    /// The service refuses the requests that arrive for a while, as too many.
    Throttle {
        ms: u64,
    },
    /// The application does what no update may disturb.
    Hold {
        ms: u64,
    },
    /// The action happens when the agent is next in this state.
    In(AgentState, Box<Action>),
    StopFaults(Offer),
}

/// A job of a run.
#[derive(Clone, Debug)]
struct Offer {
    order: Order,
    /// Whether it updates app and system.
    is_release: bool,
}

impl Offer {
    fn create(&self, sim: &mut Simulation) {
        match self.is_release {
            true => _ = sim.create_release(&self.order, &BOTH_COMPONENTS),
            false => sim.create(&self.order),
        }
    }

    /// What it updates.
    fn name(&self) -> &'static str {
        match self.order.component {
            _ if self.is_release => "create release",
            Component::System => "create system",
            _ => "create",
        }
    }
}

impl Action {
    fn name(&self) -> &'static str {
        match self {
            Self::Create(offer) => offer.name(),
            Self::Supersede(_) => "supersede",
            Self::TakeBack(_) => "take back",
            Self::ExecuteAgain { created: false } => "retry",
            Self::ExecuteAgain { created: true } => "create again",
            Self::Device(Act::Disconnect { .. }) => "disconnect",
            Self::Device(Act::HalfOpen { .. }) => "half-open",
            Self::Device(Act::ClockJump { .. }) => "clock jump",
            Self::Device(Act::Reset) => "reset",
            Self::Device(_) => "command",
            Self::Flash(_) => "flash",
            Self::Silence { .. } => "silence",
            Self::Stall { .. } => "stall",
            Self::Restart { .. } => "restart",
            Self::Throttle { .. } => "throttle",
            Self::Hold { .. } => "hold",
            Self::In(..) => "wait for a state",
            Self::StopFaults(_) => "stop faults",
        }
    }
}

/// What happened when an action waited for this state.
fn in_state(state: AgentState) -> &'static str {
    match state {
        AgentState::Downloading => "in downloading",
        AgentState::Activating => "in activating",
        AgentState::Resetting => "in resetting",
        AgentState::Testing => "in testing",
        AgentState::Reporting => "in reporting",
        _ => "in another state",
    }
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
    /// Kinds of actions that were performed.
    pub actions: BTreeSet<&'static str>,
    /// Milliseconds from the end of the faults to that of the last job.
    pub recovery_ms: u64,
}

/// What is left of a scenario.
struct Scene<'h> {
    /// Actions and their times, the latest first.
    script: Vec<(u64, Action)>,
    /// An action that waits for a state of the agent.
    armed: Option<(AgentState, Action)>,
    holds: &'h Holds<NoopRawMutex>,
    /// A hold, and when it ends.
    hold: Option<(u64, Hold<'h, NoopRawMutex>)>,
    /// Good jobs that no fault has reached.
    fair: Vec<String>,
    /// Jobs that were executed again: meanwhile the device may have got a newer version.
    again: BTreeSet<String>,
    actions: BTreeSet<&'static str>,
    rng: Rng,
}

/// Runs the scenario of `seed`.
pub fn run(seed: u64) -> RunSummary {
    let mut rng = Rng::new(seed);
    let (mut sim, mut script) = scenario::draw(seed, &mut rng);
    sim.checks.allowed_failures = allowed::failures(&script, &sim);
    script.reverse();
    let fair_from_ms = script.first().map_or(0, |(at_ms, _)| *at_ms);
    sim.alarm_ms = script.last().map(|(at_ms, _)| *at_ms);
    let consent = sim.device.consent.clone();
    let (holds, again, actions) = (&consent.holds, BTreeSet::new(), BTreeSet::new());
    let mut scene = Scene { script, armed: None, holds, hold: None, fair: Vec::new(), again, actions, rng };
    let ended = sim.run(fair_from_ms + RECOVERY_MS_MAX, |sim| scene.turn(sim));
    every_job_ends(&mut sim, ended);
    every_good_job_succeeds_in_fair_conditions(&mut sim, &scene.fair);
    let jobs = sim.service.entries.iter().map(|entry| (entry.job.kind, entry.status)).collect();
    let last_ms = sim.service.updates.last().map_or(0, |update| update.at_ms);
    RunSummary {
        violations: sim.checks.violations,
        boots: sim.boots,
        messages: sim.messages,
        steps: sim.steps,
        jobs,
        actions: scene.actions,
        recovery_ms: last_ms.saturating_sub(fair_from_ms),
    }
}

impl Scene<'_> {
    /// Performs the actions that are due and schedules the next call.
    fn turn(&mut self, sim: &mut Simulation) -> Flow {
        let state = sim.checks.states.last().copied();
        if let Some((state, action)) = self.armed.take_if(|(wanted, _)| Some(*wanted) == state) {
            self.actions.insert(in_state(state));
            self.perform(sim, action);
        }
        while let Some((_, action)) = self.script.pop_if(|(at_ms, _)| *at_ms <= sim.now_ms) {
            self.perform(sim, action);
        }
        if self.hold.as_ref().is_some_and(|(until_ms, _)| *until_ms <= sim.now_ms) {
            self.release(sim);
        }
        if sim.alarm_ms.is_none_or(|at_ms| at_ms <= sim.now_ms) {
            let next = self.script.last().map(|(at_ms, _)| *at_ms);
            let released = self.hold.as_ref().map(|(until_ms, _)| *until_ms);
            let next_or_released = next.into_iter().chain(released).min();
            sim.alarm_ms = Some(next_or_released.unwrap_or(sim.now_ms + CHECK_EVERY_MS));
            if next.is_none() && sim.service.is_settled() {
                return Flow::Stop;
            }
        }
        Flow::Go
    }

    fn perform(&mut self, sim: &mut Simulation, action: Action) {
        self.actions.insert(action.name());
        match action {
            Action::Create(offer) => offer.create(sim),
            Action::Supersede(offer) => {
                open_jobs(sim).iter().for_each(|id| sim.take_back(id, Status::Canceled));
                offer.create(sim);
            }
            Action::TakeBack(status) => {
                if let Some(id) = self.one_of(&open_jobs(sim)) {
                    sim.take_back(id, status);
                }
            }
            Action::ExecuteAgain { created } => {
                let ids: Vec<String> = sim.service.entries.iter().map(|entry| entry.job.id.clone()).collect();
                if let Some(id) = self.one_of(&ids) {
                    self.again.insert(id.clone());
                    if created { sim.create_again(id) } else { sim.retry(id) }
                }
            }
            Action::Device(act) => sim.act(act),
            Action::Flash(planned) => sim.device.nor.plan([planned]),
            Action::Silence { ms } => sim.network.silent_until_ms = sim.now_ms + ms,
            Action::Stall { ms } => sim.network.stall(sim.now_ms + ms),
            Action::Restart { ms } => sim.service.restarts_until_ms = sim.now_ms + ms,
            Action::Throttle { ms } => sim.service.throttles_until_ms = sim.now_ms + ms,
            Action::Hold { ms } => {
                self.hold = Some((sim.now_ms + ms, self.holds.hold("soak")));
                sim.alarm_ms = sim.alarm_ms.min(Some(sim.now_ms + ms));
            }
            Action::In(state, action) => self.armed = Some((state, *action)),
            Action::StopFaults(offer) => self.stop_faults(sim, &offer),
        }
    }

    fn one_of<'i>(&mut self, ids: &'i [String]) -> Option<&'i String> {
        ids.get(self.rng.below(ids.len() as u64) as usize)
    }

    /// Ends the hold; the application passes on that it did.
    fn release(&mut self, sim: &mut Simulation) {
        self.hold = None;
        if let Some(command) = poll_ready(self.holds.released()) {
            sim.act(Act::Command(command));
        }
    }

    /// From now on conditions are fair; of a connection that is half-open or stalled, as soon as the device notices.
    fn stop_faults(&mut self, sim: &mut Simulation, offer: &Offer) {
        self.armed = None;
        self.release(sim);
        sim.network.conditions = NetworkConditions::IDEAL;
        sim.network.silent_until_ms = 0;
        sim.service.failure_rates = FailureRates::default();
        (sim.service.restarts_until_ms, sim.service.throttles_until_ms) = (0, 0);
        sim.web.failures = 0;
        sim.device.nor.plan([]);
        sim.act(Act::Command(Command::Resume));
        let untouched = sim.service.entries.iter().filter(|entry| {
            !entry.status.is_terminal()
                && entry.job.kind == Kind::Good
                && !entry.offered.get()
                && !self.again.contains(&entry.job.id)
        });
        self.fair = untouched.map(|entry| entry.job.id.clone()).collect();
        self.fair.push(LAST_JOB.into());
        offer.create(sim);
    }
}

fn open_jobs(sim: &Simulation) -> Vec<String> {
    let open = sim.service.entries.iter().filter(|entry| !entry.status.is_terminal());
    open.map(|entry| entry.job.id.clone()).collect()
}

fn every_job_ends(sim: &mut Simulation, ended: Ended) {
    let open = sim.service.entries.iter().filter(|entry| !entry.status.is_terminal());
    let open: Vec<String> =
        open.map(|entry| format!("{} {:?} {}", entry.job.id, entry.job.kind, entry.status)).collect();
    if ended == Ended::Late || !open.is_empty() {
        sim.checks.violations.push(format!("every job ends once faults stop: {ended:?}, {open:?}"));
    }
}

/// That its image is confirmed where it is reported so is another check, of every final update.
fn every_good_job_succeeds_in_fair_conditions(sim: &mut Simulation, ids: &[String]) {
    for id in ids {
        let (status, reason) = sim.verdict(id);
        if status != Status::Succeeded {
            sim.checks.violations.push(format!("a good job succeeds in fair conditions: {id} {status} {reason:?}"));
        }
    }
}
