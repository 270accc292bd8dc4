//! Images that run from one slot only: a job with a file for each slot, which of them is received, and what is refused.

use ota_agent::Command;
use ota_jobs::{Reason, Status};
use ota_pal::{Link, SlotId, Version};
use ota_tests::fixtures::{WHILE_MS, confirmed, order, run, sim};
use ota_tests::job::{Job, Kind, Order, Route};
use ota_tests::sim::{Act, Ended, Flow, Setup, Simulation};

const FOR_A: (u32, Link) = (10, Link::Only(SlotId::A));
const FOR_B: (u32, Link) = (11, Link::Only(SlotId::B));
const FOR_C: (u32, Link) = (12, Link::Only(SlotId::C));
const ROUTES: [Route; 3] = [Route::Mqtt, Route::Http, Route::Both];

fn assert_succeeded(sim: &Simulation, job: &str) {
    assert_eq!(sim.verdict(job), (Status::Succeeded, None), "{job}");
}

/// Whether the slot holds this file.
fn holds(sim: &Simulation, slot: SlotId, file: &[u8]) -> bool {
    sim.device.nor.bytes(sim.device.layout.slot(slot).offset_bytes(), file.len() as u32) == file
}

#[test]
fn each_update_receives_the_file_for_the_slot_that_does_not_run() {
    for route in ROUTES {
        for files in [[FOR_A, FOR_B], [FOR_B, FOR_A]] {
            let mut sim = sim();
            for (patch, slot) in [(2, SlotId::B), (3, SlotId::A), (4, SlotId::B)] {
                let id = format!("job-{patch}");
                let job = sim.create_release(&Order { route, ..order(&id, Kind::Good, patch) }, &files);
                run(&mut sim);
                assert_succeeded(&sim, &id);
                assert_eq!(confirmed(&sim), (slot, patch), "{route:?}");
                let is_first = files[0].1.allows(slot);
                assert!(holds(&sim, slot, if is_first { &job.file } else { &job.others[0].file }));
            }
        }
    }
}

#[test]
fn three_slots_are_used_in_turn() {
    let mut sim = Simulation::new(Setup { factory_slot: true, ..Setup::new(1) });
    for (patch, slot) in [(2, SlotId::A), (3, SlotId::B), (4, SlotId::C), (5, SlotId::A)] {
        let id = format!("job-{patch}");
        sim.create_release(&order(&id, Kind::Good, patch), &[FOR_C, FOR_A, FOR_B]);
        run(&mut sim);
        assert_succeeded(&sim, &id);
        assert_eq!(confirmed(&sim), (slot, patch));
    }
}

#[test]
fn an_erased_slot_is_the_next_one_at_once() {
    let mut sim = Simulation::new(Setup { factory_slot: true, ..Setup::new(1) });
    for patch in [2, 3, 4] {
        sim.create_release(&order(&format!("job-{patch}"), Kind::Good, patch), &[FOR_A, FOR_B, FOR_C]);
        run(&mut sim);
    }
    let boots = sim.boots;
    sim.act(Act::Command(Command::EraseImages(Version::new(1, 0, 3))));
    sim.create_release(&order("last", Kind::Good, 5), &[FOR_A, FOR_B, FOR_C]);
    run(&mut sim);
    assert_succeeded(&sim, "last");
    assert_eq!(confirmed(&sim), (SlotId::B, 5), "A holds the oldest image");
    assert_eq!(sim.boots, boots + 2, "one to erase and to receive, one for the new image");
}

#[test]
fn a_job_without_a_file_for_the_free_slot_is_refused_before_any_block_and_the_next_one_works() {
    for route in ROUTES {
        let mut sim = Simulation::new(Setup::new(1));
        sim.checks.allowed_failures = vec![Reason::WrongSlotLink];
        sim.create_release(&Order { route, ..order("wrong", Kind::Good, 2) }, &[FOR_A, FOR_C]);
        run(&mut sim);
        let reason = Reason::WrongSlotLink;
        assert_eq!(sim.verdict("wrong"), (reason.status(), Some(reason)), "{route:?}");
        assert_eq!((sim.service.largest_request_bytes, sim.bodies), (0, 0), "{route:?}");

        let mut sim = Simulation::new(Setup::new(1));
        sim.checks.allowed_failures = vec![Reason::WrongSlotLink];
        sim.create_release(&Order { route, ..order("wrong", Kind::Good, 2) }, &[FOR_A, FOR_C]);
        sim.create_release(&Order { route, ..order("right", Kind::Good, 2) }, &[FOR_A, FOR_B]);
        run(&mut sim);
        assert_succeeded(&sim, "right");
        assert_eq!((confirmed(&sim), sim.boots), ((SlotId::B, 2), 2), "{route:?}");
    }
}

#[test]
fn a_file_with_the_label_of_another_slot_is_refused_by_its_header() {
    for label in [0, 11] {
        let mut sim = sim();
        sim.checks.allowed_failures = vec![Reason::WrongSlotLink];
        sim.create_release(&order("mislabelled", Kind::Good, 2), &[(label, FOR_A.1)]);
        run(&mut sim);
        let reason = Reason::WrongSlotLink;
        assert_eq!(sim.verdict("mislabelled"), (reason.status(), Some(reason)), "{label}");
        assert!(sim.service.largest_request_bytes > 0, "the header has to arrive");
        assert_eq!(confirmed(&sim), (SlotId::A, 1), "{label}");
    }
}

#[test]
fn a_release_that_runs_already_succeeds_without_a_reset_whichever_slot_is_free() {
    let mut sim = sim();
    let first = sim.create_release(&order("first", Kind::Good, 2), &[FOR_A, FOR_B]);
    let again = |sim: &mut Simulation, id: &str| {
        let again = Job { id: id.into(), ..first.clone() };
        sim.checks.released(&again);
        sim.queue(again);
    };
    again(&mut sim, "second");
    run(&mut sim);
    assert_succeeded(&sim, "second");
    assert_eq!((confirmed(&sim), sim.boots), ((SlotId::B, 2), 2));
    again(&mut sim, "third");
    sim.service.largest_request_bytes = 0;
    run(&mut sim);
    assert_succeeded(&sim, "third");
    assert_eq!((confirmed(&sim), sim.boots), ((SlotId::B, 2), 3), "the run begins with a boot");
    assert_eq!(sim.service.largest_request_bytes, 0, "no block is requested");
}

#[test]
fn a_reset_at_any_step_keeps_the_file() {
    let steps = {
        let mut sim = sim();
        sim.create_release(&short("job"), &[FOR_A, FOR_B]);
        run(&mut sim);
        sim.steps
    };
    for at in 1..steps {
        let mut sim = sim();
        sim.create_release(&short("job"), &[FOR_A, FOR_B]);
        let mut reset = false;
        let ended = sim.run(WHILE_MS, |sim| {
            if sim.steps >= at && !std::mem::replace(&mut reset, true) {
                sim.act(Act::Reset);
            }
            Flow::Go
        });
        assert_eq!((&sim.checks.violations[..], ended), (&[][..], Ended::Quiet), "step {at}");
        assert_succeeded(&sim, "job");
        assert_eq!(confirmed(&sim), (SlotId::B, 2), "step {at}");
    }
}

/// A job of a dozen blocks.
fn short(id: &str) -> Order {
    Order { image_bytes: 12_000, ..order(id, Kind::Good, 2) }
}
