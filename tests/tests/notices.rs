//! The exact notices and status updates of an update without faults.

use std::rc::Rc;

use ota_agent::machine::Outcome;
use ota_agent::{Agent, Application, Instant, Notice, Progress, SelfTest, Start};
use ota_jobs::{Reason, Status};
use ota_pal::{BootRecords, Image, ImageStatus, SlotId, Source, Version, poll_ready};
use ota_tests::device::Device;
use ota_tests::fixtures::{IMAGE_BYTES, WHILE_MS, http_order, notices_of, order, run, sim, sim_after};
use ota_tests::job::{Kind, Order};
use ota_tests::nor::{FlashFault, PlainView, PlannedFault, View};
use ota_tests::rng::Rng;
use ota_tests::service::StatusUpdate;
use ota_tests::sim::{Ended, Flow, Setup, Simulation};
use ota_tests::verifier::Signer;

const SIZE: u32 = IMAGE_BYTES + 2;

/// After a job: the agent asks for the next one, and the service reports twice that there is none, unsolicited and as a
/// response.
const NOTHING_MORE: [Notice; 3] = [Notice::Settled, Notice::CheckStarted, Notice::NoUpdate];

const DOWNLOAD: [Notice; 5] = [
    Notice::CheckStarted,
    Notice::UpdateAvailable { image_bytes: SIZE },
    Notice::DownloadStarted { resumed_bytes: 0 },
    Notice::DownloadSucceeded,
    Notice::VerifyStarted,
];

fn verified() -> Vec<Notice> {
    [&DOWNLOAD[..], &[Notice::VerifySucceeded { digest: [0; 32] }, Notice::Activated, Notice::SelfTestStarted]].concat()
}

/// Status and details of all updates of the job, as `STATUS key=value ..`.
fn trace(sim: &Simulation) -> Vec<String> {
    let line = |update: &StatusUpdate| {
        let details: Vec<String> = update.details.iter().map(|(key, value)| format!(" {key}={value}")).collect();
        format!("{}{}", update.status, details.concat())
    };
    sim.service.updates.iter().map(line).collect()
}

#[test]
fn the_application_receives_the_notices_of_a_good_update_in_this_order() {
    let end = [Notice::Confirmed, Notice::Concluded(Outcome::Succeeded)];
    assert_eq!(notices_of(&sim_after(Kind::Good)), [&verified()[..], &end, &NOTHING_MORE].concat());
}

#[test]
fn the_application_receives_the_notices_of_a_failed_self_test_in_this_order() {
    let reason = Reason::SelfTestFailed;
    let end = [Notice::RollingBack(reason), Notice::Concluded(Outcome::Failed(reason))];
    assert_eq!(notices_of(&sim_after(Kind::FailsItsTest)), [&verified()[..], &end, &NOTHING_MORE].concat());
}

#[test]
fn one_flipped_bit_is_a_failed_verification() {
    let reason = Reason::SignatureInvalid;
    let end = [Notice::VerifyFailed(reason), Notice::Concluded(Outcome::Failed(reason))];
    assert_eq!(notices_of(&sim_after(Kind::Tampered)), [&DOWNLOAD[..], &end, &NOTHING_MORE].concat());
}

#[test]
fn a_server_cut_off_half_way_is_a_failed_download_with_bytes_and_cause() {
    let mut sim = sim();
    sim.web.cut_at_percent = Some((50, Reason::HttpNotFound));
    sim.checks.allowed_failures.push(Reason::HttpNotFound);
    sim.create(&http_order("job", Kind::Good, 2));
    run(&mut sim);
    let failed = Notice::DownloadFailed { done_bytes: 49 * 1_024, reason: Reason::HttpNotFound };
    assert!(sim.notices().contains(&failed), "half of 98 blocks: {:?}", sim.notices());
    assert_eq!(sim.verdict("job"), (Status::Failed, Some(Reason::HttpNotFound)));
}

#[test]
fn an_empty_queue_is_no_update() {
    let mut sim = sim();
    run(&mut sim);
    assert_eq!(sim.notices(), [Notice::CheckStarted, Notice::NoUpdate]);
}

#[test]
fn a_service_that_refuses_is_a_failed_check_and_is_asked_again_after_growing_waits() {
    let mut sim = sim();
    sim.service.failure_rates.refuses = 100;
    assert_eq!(sim.run(30_000, |_| Flow::Go), Ended::Late);
    for pair in sim.notices().chunks(2) {
        assert!(matches!(pair, [Notice::CheckStarted, Notice::CheckFailed(_)]), "{pair:?}");
    }
    assert!((5..=6).contains(&(sim.notices().len() / 2)), "at 0, 1, 3, 7 and 15 seconds, less what chance takes off");
}

#[test]
fn the_service_receives_exactly_these_updates_of_a_good_job() {
    let trace = trace(&sim_after(Kind::Good));
    let (progress, end) = trace.split_at(trace.len() - 2);
    assert_eq!(end, ["IN_PROGRESS self_test=ready", "SUCCEEDED self_test=accepted reason=accepted"]);
    assert!(
        progress.iter().all(|update| update.starts_with("IN_PROGRESS self_test=receiving receive=")),
        "{progress:#?}"
    );
}

#[test]
fn the_service_receives_exactly_these_updates_of_a_failed_self_test() {
    let trace = trace(&sim_after(Kind::FailsItsTest));
    assert_eq!(trace.last().map(String::as_str), Some("FAILED self_test=rejected reason=SelfTestFailed code=0x0601"));
}

#[test]
fn a_long_trial_is_reported_to_the_service() {
    let trace = trace(&sim_after(Kind::HangsInItsTest));
    let end = [
        "IN_PROGRESS self_test=ready",
        "IN_PROGRESS self_test=active",
        "FAILED self_test=rejected reason=SelfTestTimedOut code=0x0602",
    ];
    assert_eq!(trace[trace.len() - 3..], end);
}

#[test]
fn progress_is_reported_at_the_start_then_every_five_per_cent_and_once_a_second_at_most() {
    for (bytes_per_s, reports_min) in [(256_000, 2), (10_240, 5)] {
        let mut sim = Simulation::new(Setup { slot_sectors: 160, ..Setup::new(1) });
        sim.network.conditions.bytes_per_s = bytes_per_s;
        sim.create(&Order { image_bytes: 600 * 1_024, ..order("job", Kind::Good, 2) });
        run(&mut sim);
        let reported = sim.service.updates.iter().filter_map(|update| {
            let (_, receive) = update.details.iter().find(|(key, _)| key == "receive")?;
            Some((receive.strip_suffix("/600")?.parse::<u32>().ok()?, update.at_ms))
        });
        let reported: Vec<(u32, u64)> = reported.collect();
        assert!(reported.len() > reports_min && reported[0].0 == 0, "{reported:?}");
        for pair in reported.windows(2) {
            let ((before, before_ms), (after, after_ms)) = (pair[0], pair[1]);
            let jitter_ms = sim.network.conditions.jitter_ms;
            assert!((after - before) * 100 >= 5 * 600 && after_ms - before_ms + jitter_ms >= 1_000, "{reported:?}");
        }
    }
}

#[test]
fn progress_rises_to_the_size_of_the_file() {
    let mut sim = sim();
    sim.create(&order("job", Kind::Good, 2));
    let mut seen: Vec<Progress> = Vec::new();
    sim.run(WHILE_MS, |sim| {
        seen.append(&mut sim.checks.progress);
        Flow::Go
    });
    assert!(seen.is_sorted_by_key(|progress| progress.done_bytes));
    assert!(seen.iter().all(|progress| progress.total_bytes == SIZE));
    assert_eq!(seen.last().map(|last| (last.done_bytes, last.blocks)), Some((SIZE, 98)));
}

/// An application that only stores notices.
struct Listener(Vec<Notice>);

impl Application for Listener {
    fn self_test(&mut self, _connected: bool) -> SelfTest {
        SelfTest::Running
    }

    fn on_notice(&mut self, notice: Notice) {
        self.0.push(notice);
    }
}

/// The notices of an application whose agent starts on `device`, with a program that revokes all keys before `key_epoch`.
fn notices_at_start(device: &Device, running: SlotId, key_epoch: u32) -> Vec<Notice> {
    let platform = device.platform(View(device.nor.clone()) as PlainView, running, key_epoch);
    let start = Start { seed: 1, now: Instant::from_ms(0) };
    let agent = poll_ready(Agent::start(platform, Listener(Vec::new()), device.config.clone(), &mut [], start));
    agent.expect("memory never waits").expect("the device reads its own flash").into_parts().1.0
}

fn device() -> Device {
    Device::new(&Setup::new(1), Rc::new(Signer::new("ours", true)), &mut Rng::new(1))
}

#[test]
fn a_monotonic_record_that_cannot_be_raised_is_reported_at_every_boot_until_it_can() {
    let device = device();
    let boots = [Some(FlashFault::Deny), Some(FlashFault::Deny), None].map(|fault| {
        let boot = device.boot().expect("the power stays").expect("there is an image");
        device.nor.plan(fault.map(|fault| PlannedFault { at: 0, fault }));
        (notices_at_start(&device, boot.slot, 1), device.floor().key_epoch)
    });
    let not_raised = vec![Notice::FloorNotRaised(Reason::FlashEraseFailed)];
    assert_eq!(boots, [(not_raised.clone(), 0), (not_raised, 0), (Vec::new(), 1)]);
}

/// As in every record: of IEEE 802.3.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ 0xEDB8_8320 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[test]
fn a_broken_row_of_the_image_database_is_reported_at_every_boot_and_the_device_runs() {
    let device = device();
    let digest = device.image_digest(SlotId::A).expect("there is an image");
    let mut record = device.record();
    let (status, version) = (ImageStatus::Preinstalled, Version::new(1, 0, 1));
    let row = Image { status, version, security_counter: 0, image_bytes: 9_000, digest, source: Source::new("") };
    record.images.set(SlotId::A, Some(row));
    let mut flash: PlainView = View(device.nor.clone());
    poll_ready(BootRecords::new(&device.layout).store(&mut flash, &record))
        .expect("memory never waits")
        .expect("stored");

    let at = device.layout.boot_record().offset_bytes();
    let mut bytes = device.nor.bytes(at, 12 + 44 + 84);
    bytes[12 + 44 + 1] = 9; // an offset without an image
    let crc = crc32(&bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    device.nor.burn(at, &bytes);
    for _ in 0..2 {
        let boot = device.boot().expect("the power stays").expect("there is an image");
        assert_eq!(notices_at_start(&device, boot.slot, 0), [Notice::ImageRowsBroken(1)]);
    }
}
