//! Commands of the application other than updates, over several boots: each is executed or refused with a named reason, and
//! reported.

use std::cell::Cell;

use ota_agent::{AgentConfig, AgentState, Command, Consent, Discovery, Notice, Statistics, Step, WhyLater};
use ota_jobs::{Reason, Status};
use ota_pal::{SlotId, Version};
use ota_tests::fixtures::{confirmed, http_order, order, run, sim};
use ota_tests::job::{Kind, Order};
use ota_tests::sim::{Act, Ended, Flow, Setup, Simulation};

const DAY_MS: u64 = 86_400_000;
const OLD: Version = Version::new(1, 0, 1);
const NEW: Version = Version::new(1, 0, 2);

fn updated(sim: &mut Simulation, patch: u32) {
    let id = format!("job-{patch}");
    sim.create(&order(&id, Kind::Good, patch));
    run(sim);
    assert_eq!(sim.verdict(&id), (Status::Succeeded, None));
}

/// The application's notices after `act`.
fn notice_after(sim: &mut Simulation, act: Act) -> Notice {
    let before = sim.notices().len();
    sim.act(act);
    run(sim);
    let of_a_check = |notice: &Notice| matches!(notice, Notice::CheckStarted | Notice::NoUpdate);
    let mut notices: Vec<_> = sim.notices()[before..].iter().filter(|notice| !of_a_check(notice)).copied().collect();
    assert_eq!(notices.len(), 1, "{notices:?}");
    notices.remove(0)
}

#[test]
fn a_rollback_on_command_restores_the_earlier_image_and_is_reported() {
    let mut sim = sim();
    updated(&mut sim, 2);
    assert_eq!(notice_after(&mut sim, Act::Command(Command::RollBack)), Notice::RolledBack { to: SlotId::A.number() });
    assert_eq!(confirmed(&sim), (SlotId::A, 1));
    updated(&mut sim, 3);
}

/// An image may pass its test and then reach no broker: neither a rollback nor a factory reset must need one.
#[test]
fn an_image_that_is_left_before_its_success_is_reported_is_reported_as_rolled_back() {
    for (factory_slot, act) in [(false, Act::Command(Command::RollBack)), (true, Act::FactoryReset)] {
        let mut sim = Simulation::new(Setup { factory_slot, ..Setup::new(1) });
        sim.create(&order("job", Kind::Good, 2));
        let (mut act, mut offline) = (Some(act), false);
        let ended = sim.run(DAY_MS, |sim| {
            if !offline && sim.boots > 1 {
                offline = true;
                sim.act(Act::Disconnect { ms: 60_000 });
            }
            if sim.checks.states.last() == Some(&AgentState::Reporting)
                && let Some(act) = act.take()
            {
                sim.act(act);
            }
            Flow::Go
        });
        assert_eq!((ended, &sim.checks.violations[..]), (Ended::Quiet, &[][..]));
        let first = if factory_slot { SlotId::FACTORY } else { SlotId::A };
        assert_eq!((confirmed(&sim), sim.verdict("job")), ((first, 1), (Status::Failed, Some(Reason::RolledBack))));
    }
}

#[test]
fn without_an_older_image_a_rollback_fails_by_name_and_the_device_still_runs() {
    let mut sim = sim();
    let boots = sim.boots;
    assert_eq!(
        notice_after(&mut sim, Act::Command(Command::RollBack)),
        Notice::RollbackFailed(Reason::NoPreviousImage)
    );
    assert_eq!((confirmed(&sim), sim.boots), ((SlotId::A, 1), boots + 1), "the one boot of the run, no reset");
    updated(&mut sim, 2);
}

#[test]
fn a_factory_reset_leaves_the_factory_image_unchanged_and_is_reported() {
    let mut sim = Simulation::new(Setup { factory_slot: true, ..Setup::new(1) });
    updated(&mut sim, 2);
    updated(&mut sim, 3);
    assert_eq!(notice_after(&mut sim, Act::FactoryReset), Notice::FactoryReset);
    assert_eq!(confirmed(&sim), (SlotId::FACTORY, 1));
    let rows: Vec<_> = sim.device.record().images.iter().map(|(slot, image)| (slot, image.version)).collect();
    assert_eq!(rows, [(SlotId::FACTORY, OLD)]);
    updated(&mut sim, 4);
}

#[test]
fn without_a_factory_slot_a_factory_reset_fails_by_name() {
    let mut sim = sim();
    updated(&mut sim, 2);
    assert_eq!(notice_after(&mut sim, Act::FactoryReset), Notice::FactoryResetFailed(Reason::NoFactorySlot));
    assert_eq!(confirmed(&sim), (SlotId::B, 2));
}

#[test]
fn a_stored_image_is_erased_by_its_version_and_the_running_one_is_not() {
    let mut sim = sim();
    updated(&mut sim, 2);
    assert_eq!(notice_after(&mut sim, Act::Command(Command::EraseImages(NEW))), Notice::EraseFailed(Reason::SlotRuns));
    assert_eq!(notice_after(&mut sim, Act::Command(Command::EraseImages(OLD))), Notice::ImageErased((1, 0, 1)));
    assert_eq!(
        notice_after(&mut sim, Act::Command(Command::EraseImages(OLD))),
        Notice::EraseFailed(Reason::NoSuchImage)
    );
    assert_eq!(
        notice_after(&mut sim, Act::Command(Command::RollBack)),
        Notice::RollbackFailed(Reason::NoPreviousImage)
    );
    assert_eq!(confirmed(&sim), (SlotId::B, 2));
}

#[test]
fn when_all_slots_hold_good_images_the_oldest_leaves_and_is_named() {
    let mut sim = Simulation::new(Setup { factory_slot: true, ..Setup::new(1) });
    for patch in 2..5 {
        updated(&mut sim, patch);
    }
    let full = |sim: &Simulation| {
        let evicted = |notice: &Notice| match notice {
            Notice::StoreFull { evicted } => Some(*evicted),
            _ => None,
        };
        sim.notices().iter().filter_map(evicted).collect::<Vec<_>>()
    };
    assert_eq!(full(&sim), [], "three slots take three images");
    updated(&mut sim, 5);
    updated(&mut sim, 6);
    assert_eq!(full(&sim), [(1, 0, 2), (1, 0, 3)]);
}

#[test]
fn while_a_job_is_at_hand_commands_wait_for_its_end() {
    let mut sim = sim();
    updated(&mut sim, 2);
    sim.create(&order("job-3", Kind::Good, 3));
    let mut asked = false;
    sim.run(900_000, |sim| {
        if !asked && sim.checks.progress.last().is_some_and(|progress| progress.done_bytes > 20_000) {
            asked = true;
            sim.act(Act::Command(Command::RollBack));
            sim.act(Act::Command(Command::EraseImages(OLD)));
        }
        Flow::Go
    });
    let busy =
        |notice: &&Notice| matches!(notice, Notice::RollbackFailed(Reason::Busy) | Notice::EraseFailed(Reason::Busy));
    assert_eq!(sim.notices().iter().filter(busy).count(), 2);
}

/// A step of a run: returns whether it is done.
type RunStep<'a> = &'a mut dyn FnMut(&mut Simulation) -> bool;

/// Runs to the end, and takes the steps one after another.
fn run_through(sim: &mut Simulation, steps: &mut [RunStep<'_>]) {
    let mut next = 0;
    let ended = sim.run(10 * DAY_MS, |sim| {
        if steps.get_mut(next).is_some_and(|step| step(sim)) {
            next += 1;
        }
        Flow::Go
    });
    assert_eq!((ended, &sim.checks.violations[..]), (Ended::Quiet, &[][..]));
    assert_eq!(next, steps.len(), "every step was taken");
}

/// A step: once `done_bytes` are in flash, `command`; the next step is due `pause_ms` later.
fn after_bytes(done_bytes: u32, command: Command, pause_ms: u64) -> impl FnMut(&mut Simulation) -> bool {
    move |sim| {
        let due = sim.checks.progress.last().is_some_and(|progress| progress.done_bytes >= done_bytes);
        if due {
            sim.act(Act::Command(command));
            sim.alarm_ms = Some(sim.now_ms + pause_ms);
        }
        due
    }
}

/// A step: at the alarm of the step before, `act`.
fn at_alarm(mut act: impl FnMut(&mut Simulation)) -> impl FnMut(&mut Simulation) -> bool {
    move |sim| {
        let due = sim.alarm_ms.is_some_and(|at_ms| at_ms <= sim.now_ms);
        if due {
            sim.alarm_ms = None;
            act(sim);
        }
        due
    }
}

/// The commands of a run, with whether they were executed.
fn executed(sim: &Simulation) -> Vec<(Command, bool)> {
    sim.checks.commands.iter().map(|(command, result)| (*command, result.is_ok())).collect()
}

const LARGE_BYTES: u32 = 500_000;

#[test]
fn a_suspended_download_requests_nothing_for_a_minute_and_goes_on_with_no_block_twice() {
    for order in [order("job", Kind::Good, 2), http_order("job", Kind::Good, 2)] {
        let mut sim = Simulation::new(Setup { slot_sectors: 160, ..Setup::new(1) });
        sim.network.conditions.bytes_per_s = 25_000;
        sim.create(&Order { image_bytes: LARGE_BYTES, ..order.clone() });
        let blocks = LARGE_BYTES.div_ceil(sim.device.config.block_bytes());
        let (suspended, complete) = (Cell::new(Statistics::default()), Cell::new(Statistics::default()));
        run_through(
            &mut sim,
            &mut [
                &mut after_bytes(LARGE_BYTES * 4 / 10, Command::Suspend, 10_000),
                &mut at_alarm(|sim| {
                    suspended.set(sim.checks.statistics); // what was on its way has arrived
                    sim.alarm_ms = Some(sim.now_ms + 60_000);
                }),
                &mut at_alarm(|sim| {
                    assert_eq!(sim.checks.statistics, suspended.get(), "silence");
                    sim.act(Act::Command(Command::Resume));
                }),
                &mut |sim: &mut Simulation| {
                    complete.set(sim.checks.statistics);
                    sim.notices().contains(&Notice::DownloadSucceeded)
                },
            ],
        );
        let (suspended, complete) = (suspended.get(), complete.get());
        assert!(suspended.blocks_accepted < blocks, "{suspended:?}");
        assert_eq!((complete.blocks_received, complete.blocks_accepted), (blocks, blocks), "{complete:?}");
        assert_eq!((sim.verdict("job").0, confirmed(&sim)), (Status::Succeeded, (SlotId::B, 2)), "{order:?}");
        assert_eq!(executed(&sim), [(Command::Suspend, true), (Command::Resume, true)]);
    }
}

#[test]
fn blocks_on_their_way_during_a_suspension_are_not_requested_again() {
    let mut sim = sim();
    sim.network.conditions.delay_ms = 400;
    sim.create(&order("job", Kind::Good, 2));
    let complete = Cell::new(Statistics::default());
    run_through(
        &mut sim,
        &mut [
            &mut after_bytes(10_000, Command::Suspend, 100),
            &mut at_alarm(|sim| sim.act(Act::Command(Command::Resume))),
            &mut |sim: &mut Simulation| {
                complete.set(sim.checks.statistics);
                sim.notices().contains(&Notice::DownloadSucceeded)
            },
        ],
    );
    let Statistics { blocks_requested, blocks_accepted, blocks_duplicate, .. } = complete.get();
    assert_eq!((blocks_requested, blocks_duplicate), (blocks_accepted, 0));
}

#[test]
fn a_suspended_device_takes_no_step_that_needs_consent() {
    for offered_before in [true, false] {
        let mut sim = sim();
        sim.act(Act::Command(Command::Suspend));
        if offered_before {
            sim.create(&order("job", Kind::Good, 2));
        }
        sim.alarm_ms = Some(5_000);
        run_through(
            &mut sim,
            &mut [
                &mut at_alarm(|sim| {
                    if !offered_before {
                        sim.create(&order("job", Kind::Good, 2)); // the service notifies the device
                    }
                    sim.alarm_ms = Some(60_000);
                }),
                &mut at_alarm(|sim| {
                    assert!(sim.device.consent.asked.borrow().is_empty() && sim.service.updates.is_empty());
                    sim.act(Act::Command(Command::Ask));
                    sim.act(Act::Command(Command::Resume));
                }),
            ],
        );
        assert_eq!(executed(&sim)[1..], [(Command::Ask, false), (Command::Resume, true)]);
        assert_eq!((sim.verdict("job").0, confirmed(&sim)), (Status::Succeeded, (SlotId::B, 2)));
    }
}

#[test]
fn a_step_that_waits_is_asked_about_at_once_when_the_agent_is_resumed() {
    let mut sim = sim();
    let week = Consent::Later { ms: 7 * DAY_MS as u32, why: WhyLater::Application };
    sim.device.consent.answers.borrow_mut().push_back(week);
    sim.create(&order("job", Kind::Good, 2));
    sim.alarm_ms = Some(10_000);
    run_through(
        &mut sim,
        &mut [&mut at_alarm(|sim| {
            for command in [Command::Suspend, Command::Ask, Command::Resume] {
                sim.act(Act::Command(command));
            }
        })],
    );
    assert_eq!(executed(&sim), [(Command::Suspend, true), (Command::Ask, false), (Command::Resume, true)]);
    assert!(sim.now_ms < DAY_MS, "{} ms", sim.now_ms);
    assert_eq!((sim.verdict("job").0, confirmed(&sim)), (Status::Succeeded, (SlotId::B, 2)));
}

#[test]
fn without_a_suspension_a_resumption_is_refused_and_the_application_is_not_asked() {
    let mut sim = sim();
    let week = Consent::Later { ms: 7 * DAY_MS as u32, why: WhyLater::Application };
    sim.device.consent.answers.borrow_mut().push_back(week);
    sim.create(&order("job", Kind::Good, 2));
    sim.alarm_ms = Some(10_000);
    run_through(&mut sim, &mut [&mut at_alarm(|sim| sim.act(Act::Command(Command::Resume)))]);
    assert_eq!(executed(&sim), [(Command::Resume, false)]);
    assert!(sim.now_ms >= 7 * DAY_MS, "{} ms", sim.now_ms);
}

#[test]
fn a_step_that_waits_is_taken_on_command_and_only_that_one() {
    let week = Consent::Later { ms: 7 * DAY_MS as u32, why: WhyLater::Application };
    let mut sim = sim();
    sim.device.consent.answers.borrow_mut().extend([week, week]);
    sim.create(&order("job", Kind::Good, 2));
    let download_or_reset = |sim: &mut Simulation| {
        sim.act(Act::Command(Command::Activate));
        sim.act(Act::Command(Command::Download));
        sim.act(Act::Command(Command::Download));
    };
    sim.alarm_ms = Some(60_000);
    run_through(
        &mut sim,
        &mut [
            &mut at_alarm(|sim| {
                download_or_reset(sim);
                sim.alarm_ms = Some(3 * DAY_MS); // a verified image waits for days
            }),
            &mut at_alarm(|sim| {
                assert_eq!(sim.boots, 1);
                sim.act(Act::Command(Command::Download));
                sim.act(Act::Command(Command::Activate));
            }),
        ],
    );
    let (activate, download) = (Command::Activate, Command::Download);
    let first = [(activate, false), (download, true), (download, false)];
    assert_eq!(executed(&sim), [&first[..], &[(download, false), (activate, true)]].concat());
    assert_eq!((sim.verdict("job").0, confirmed(&sim), sim.boots), (Status::Succeeded, (SlotId::B, 2), 2));
}

#[test]
fn the_state_of_the_agent_is_that_of_the_step_it_takes() {
    use AgentState::{Activating, Downloading, Idle, Reporting, Resetting, Testing};
    let later = Consent::Later { ms: 5_000, why: WhyLater::Battery };
    let mut sim = sim();
    sim.device.consent.answers.borrow_mut().extend([later, Consent::Now, later]);
    sim.create(&order("job", Kind::HangsInItsTest, 2));
    sim.checks.allowed_failures.push(Reason::SelfTestTimedOut);
    sim.run(10 * DAY_MS, |_| Flow::Go);
    let waits: Vec<_> = sim
        .checks
        .states
        .iter()
        .filter_map(|state| match state {
            AgentState::Waiting(pending) => Some((pending.step, pending.why)),
            _ => None,
        })
        .collect();
    assert_eq!(waits, [Step::Download, Step::Reset].map(|step| (step, Some(WhyLater::Battery))));
    let others = sim.checks.states.iter().filter(|state| !matches!(state, AgentState::Waiting(_)));
    let others: Vec<_> = others.copied().collect();
    let steps = [Idle, Downloading, Activating, Resetting, Testing, Resetting, Reporting, Idle];
    assert_eq!(others, steps, "between two messages");
}

#[test]
fn the_image_on_trial_is_accepted_or_rejected_on_command_and_no_other_image_is() {
    for (command, ended) in [
        (Command::Accept, (Status::Succeeded, None)),
        (Command::Reject, (Status::Failed, Some(Reason::SelfTestFailed))),
    ] {
        let mut sim = sim();
        sim.act(Act::Command(command));
        sim.create(&order("job", Kind::HangsInItsTest, 2));
        sim.checks.allowed_failures.push(Reason::SelfTestFailed);
        run_through(
            &mut sim,
            &mut [&mut |sim: &mut Simulation| {
                let testing = sim.notices().contains(&Notice::SelfTestStarted);
                if testing {
                    sim.act(Act::Command(command));
                }
                testing
            }],
        );
        assert_eq!((sim.verdict("job"), executed(&sim)), (ended, vec![(command, false), (command, true)]));
    }
}

#[test]
fn a_device_on_demand_makes_one_request_for_each_check() {
    let mut config = AgentConfig::new("thing").expect("a plain name");
    config.discovery = Discovery::OnDemand;
    let mut sim = Simulation::new(Setup { config, ..Setup::new(1) });
    sim.create(&order("job", Kind::Good, 2));
    sim.alarm_ms = Some(DAY_MS);
    run_through(
        &mut sim,
        &mut [&mut at_alarm(|sim| {
            assert_eq!((sim.notices(), sim.service.updates.len()), (&[][..], 0));
            sim.act(Act::Command(Command::Check));
        })],
    );
    assert_eq!((sim.verdict("job").0, confirmed(&sim)), (Status::Succeeded, (SlotId::B, 2)));
    assert_eq!(sim.notices().iter().filter(|notice| **notice == Notice::CheckStarted).count(), 1);
}
