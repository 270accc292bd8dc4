//! What AWS's OTA library in C was measured to do wrong, on the agent: `docs/c-library.md` lists all of it, with the tests that
//! are elsewhere.

use std::cell::Cell;

use ota_agent::{AgentConfig, Command, Notice, Statistics};
use ota_jobs::{Reason, Status};
use ota_pal::SlotId;
use ota_tests::fixtures::{IMAGE_BYTES, WHILE_MS, confirmed, order, run, sim};
use ota_tests::job::{Kind, Order};
use ota_tests::service::Reply;
use ota_tests::sim::{Act, Ended, Flow, Setup, Simulation};

/// Blocks of the image of [`order`].
const BLOCKS: u32 = IMAGE_BYTES.div_ceil(1_024);

/// Updates a device of `sim`; returns the counters at the end of the download, and when it was.
fn downloaded(mut sim: Simulation, mut disturb: impl FnMut(&mut Simulation)) -> (Statistics, u64) {
    sim.create(&order("job", Kind::Good, 2));
    let mut download = None;
    let ended = sim.run(WHILE_MS, |sim| {
        if sim.notices().contains(&Notice::DownloadSucceeded) {
            download.get_or_insert((sim.checks.statistics, sim.now_ms));
        } else {
            disturb(sim);
        }
        Flow::Go
    });
    assert_eq!((ended, &sim.checks.violations[..]), (Ended::Quiet, &[][..]));
    assert_eq!((sim.verdict("job").0, confirmed(&sim)), (Status::Succeeded, (SlotId::B, 2)));
    download.expect("a download")
}

#[test]
fn blocks_in_any_order_complete_the_image() {
    let mut sim = sim();
    sim.network.conditions.reorder = 60;
    assert!(downloaded(sim, |_| {}).0.blocks_accepted > 90);
}

#[test]
fn with_every_block_twice_the_duplicates_are_counted_and_cost_their_own_time_only() {
    let (_, plain_ms) = downloaded(sim(), |_| {});
    let mut sim = sim();
    let own_ms = u64::from(IMAGE_BYTES) * 1_000 / sim.network.conditions.bytes_per_s + u64::from(BLOCKS);
    sim.network.conditions.duplicates = 100;
    let (statistics, at_ms) = downloaded(sim, |_| {});
    assert!(statistics.blocks_duplicate > statistics.blocks_accepted / 2, "{statistics:?}");
    assert_eq!(statistics.blocks_requested, statistics.blocks_accepted);
    assert!(at_ms <= plain_ms + own_ms, "{at_ms} ms instead of {plain_ms} ms and {own_ms} ms");
}

#[test]
fn a_notification_during_the_download_starts_nothing_again() {
    let notified = Cell::new(0);
    let (statistics, _) = downloaded(sim(), |sim| {
        if sim.checks.statistics.blocks_accepted.is_multiple_of(10) {
            let reply = Reply {
                topic: "$aws/things/thing/jobs/notify".into(),
                payload: br#"{"timestamp":1,"jobs":{}}"#.to_vec(),
                assured: true,
            };
            if sim.checks.statistics.messages_received < 300 {
                notified.set(notified.get() + 1);
                sim.act(Act::Inject(reply));
            }
        }
    });
    assert!(notified.get() > 5, "{} notifications", notified.get());
    assert_eq!((statistics.blocks_duplicate, statistics.blocks_requested), (0, statistics.blocks_accepted));
}

#[test]
fn without_a_job_a_check_sends_a_request() {
    let mut sim = sim();
    let asked = Cell::new(false);
    sim.alarm_ms = Some(10_000);
    sim.run(WHILE_MS, |sim| {
        if sim.now_ms >= 10_000 && !asked.replace(true) {
            sim.alarm_ms = None;
            sim.act(Act::Command(Command::Check));
        }
        Flow::Go
    });
    let checks = sim.notices().iter().filter(|notice| **notice == Notice::CheckStarted).count();
    assert_eq!((checks, asked.get()), (2, true), "after the connection, and on command");
}

#[test]
fn a_size_that_is_no_number_is_refused_by_name_and_is_no_custom_job() {
    let mut sim = sim();
    let mut job = sim.job(&order("job", Kind::Good, 2));
    job.document = job.document.replace("\"filesize\":100002", "\"filesize\":\"abc\"");
    sim.checks.allowed_failures.push(Reason::DocumentFieldInvalid);
    sim.queue(job);
    sim.create(&order("next", Kind::Good, 3));
    run(&mut sim);
    assert_eq!(sim.verdict("job"), (Reason::DocumentFieldInvalid.status(), Some(Reason::DocumentFieldInvalid)));
    assert_eq!(sim.verdict("next").0, Status::Succeeded);
}

#[test]
fn blocks_of_32_kib_and_images_of_more_than_1024_blocks_work() {
    for (block_bytes, image_bytes) in [(32_768, 200_000), (256, 400_000)] {
        let config = AgentConfig::new("thing").and_then(|config| config.with_block_bytes(block_bytes));
        let config = config.expect("a plain name and a size in range");
        let mut sim = Simulation::new(Setup { config, slot_sectors: 400, ..Setup::new(1) });
        sim.create(&Order { image_bytes, ..order("job", Kind::Good, 2) });
        run(&mut sim);
        assert_eq!((sim.verdict("job").0, confirmed(&sim)), (Status::Succeeded, (SlotId::B, 2)), "{block_bytes}");
    }
}
