//! What a device does by itself and what on command: every combination of the options for checks, downloads and resets.

use ota_agent::{AgentState, Command, Consent, Discovery, Notice, Step, WhyLater};
use ota_jobs::Status;
use ota_pal::SlotId;
use ota_tests::fixtures::{confirmed, order};
use ota_tests::job::Kind;
use ota_tests::sim::{Act, Flow, Setup, Simulation};

const HOUR_MS: u64 = 3_600_000;
/// The job is created once the device is connected.
const CREATED_MS: u64 = 60_000;
/// Longer than three commands, each after an hour.
const WHILE_MS: u64 = 6 * HOUR_MS;
const POLLED: Discovery = Discovery::Polled { every_ms: HOUR_MS / 4, jitter_ms: 0, polls_max: None };
/// Longer than any run.
const LATER: Consent = Consent::Later { ms: u32::MAX, why: WhyLater::Application };

/// What a device does by itself.
#[derive(Clone, Copy, Debug)]
struct Options {
    checks: bool,
    downloads: bool,
    resets: bool,
}

impl Options {
    fn all() -> impl Iterator<Item = Self> {
        (0..8).map(|bits| Self { checks: bits & 1 != 0, downloads: bits & 2 != 0, resets: bits & 4 != 0 })
    }

    fn simulation(self) -> Simulation {
        let mut setup = Setup::new(1);
        setup.config.discovery = if self.checks { POLLED } else { Discovery::OnDemand };
        let sim = Simulation::new(setup);
        let answers = [self.downloads, self.resets].map(|by_itself| if by_itself { Consent::Now } else { LATER });
        sim.device.consent.answers.borrow_mut().extend(answers);
        sim
    }

    /// The commands that are left to the application, each with the step that waits for it.
    fn commands(self) -> Vec<(Option<Step>, Command)> {
        let steps = [
            (self.checks, None, Command::Check),
            (self.downloads, Some(Step::Download), Command::Download),
            (self.resets, Some(Step::Reset), Command::Activate),
        ];
        steps.into_iter().filter(|(by_itself, ..)| !by_itself).map(|(_, waits, command)| (waits, command)).collect()
    }
}

/// The step that waits for the application's consent.
fn waiting(sim: &Simulation) -> Option<Step> {
    match sim.checks.states.last() {
        Some(AgentState::Waiting(pending)) => Some(pending.step),
        _ => None,
    }
}

/// Creates the job: a device that polls is not notified of it, and one that does not is.
fn create(sim: &mut Simulation, options: Options) {
    let job = sim.job(&order("job", Kind::Good, 2));
    match options.checks {
        true => drop(sim.service.create(job, sim.now_ms)),
        false => sim.queue(job),
    }
}

#[test]
fn every_combination_of_the_options_takes_its_own_steps_by_itself_and_no_other() {
    for options in Options::all() {
        let (mut sim, commands) = (options.simulation(), options.commands());
        let (mut created, mut given) = (false, 0);
        sim.alarm_ms = Some(CREATED_MS);
        sim.run(WHILE_MS, |sim| {
            if sim.alarm_ms.is_none_or(|at_ms| sim.now_ms < at_ms) {
                return Flow::Go;
            }
            if !created {
                create(sim, options);
                created = true;
            } else {
                let (waits, command) = commands[given];
                let checked = sim.notices().contains(&Notice::CheckStarted);
                assert_eq!((waiting(sim), checked, sim.boots), (waits, command != Command::Check, 1), "{options:?}");
                sim.act(Act::Command(command));
                given += 1;
            }
            sim.alarm_ms = commands.get(given).map(|_| sim.now_ms + HOUR_MS);
            Flow::Go
        });
        let executed: Vec<_> = sim.checks.commands.iter().map(|(command, result)| (*command, *result)).collect();
        let expected: Vec<_> = commands.iter().map(|(_, command)| (*command, Ok(()))).collect();
        assert_eq!((executed, &sim.checks.violations[..]), (expected, &[][..]), "{options:?}");
        assert_eq!((sim.verdict("job").0, confirmed(&sim)), (Status::Succeeded, (SlotId::B, 2)), "{options:?}");
    }
}
