//! The app of a release: it is started by the system of its release, and by no other.
#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{Device, EXECUTING, booted, image};
use ota_boot::BootReason;
use ota_pal::{BootRecord, BootRecords, Digest, SlotId, Trial, poll_ready};
use sha2::{Digest as _, Sha256};

/// The release id of version 1.0.2.
const RELEASE: u64 = 2;
const OLD: (SlotId, u32, BootReason) = (SlotId::A, 1, BootReason::Confirmed);

/// A device on which version 1.0.2 waits in slot B for its system.
fn waiting(name: &str, staged: bool) -> Device {
    let device = if staged { Device::staged(name, false) } else { Device::new(name) };
    device.boot().unwrap();
    let image = image(2);
    device.burn(SlotId::B, &image);
    let digest = Digest(Sha256::digest(&image).into());
    let trial = Trial::WithSystem { slot: SlotId::B, digest, image_bytes: image.len() as u32 };
    let record = BootRecord { trial, ..device.record() };
    poll_ready(BootRecords::new(&device.layout()).store(&mut device.flash(), &record)).unwrap().unwrap();
    device
}

#[test]
fn the_app_of_a_release_runs_exactly_with_the_system_of_its_release() {
    for staged in [false, true] {
        let device = waiting(&format!("with-system-{staged}"), staged);
        let record = device.record();
        for _ in 0..20 {
            assert_eq!(device.boot_from_system(RELEASE), (SlotId::B, 2, BootReason::WithSystem));
            let runs = if staged { EXECUTING } else { device.layout().slot(SlotId::B) };
            assert_eq!(device.held(runs, image(2).len()), image(2));
            assert_eq!(device.boot_from_system(RELEASE + 1), OLD);
            if staged {
                assert_eq!(device.held(EXECUTING, image(1).len()), image(1));
            }
        }
        assert_eq!(booted(&device), OLD, "the selector of a device with one component");
        assert_eq!(device.record(), record, "no boot is counted");
    }
}

#[test]
fn an_app_without_a_release_id_runs_with_no_system() {
    let device = waiting("release-0", false);
    assert_eq!(device.boot_from_system(0), OLD);
    let mut image = image(2);
    let header = ota_pal::Header { release_id: 0, ..ota_pal::Header::parse(&image).unwrap() };
    image[..64].copy_from_slice(&header.emit());
    let device = Device::new("release-none");
    device.burn(SlotId::B, &image);
    let digest = Digest(Sha256::digest(&image).into());
    let trial = Trial::WithSystem { slot: SlotId::B, digest, image_bytes: image.len() as u32 };
    let record = BootRecord { trial, ..device.record() };
    poll_ready(BootRecords::new(&device.layout()).store(&mut device.flash(), &record)).unwrap().unwrap();
    assert_eq!(device.boot_from_system(0), OLD);
}

#[test]
fn a_damaged_app_of_a_release_is_not_started() {
    for staged in [false, true] {
        let device = waiting(&format!("damaged-with-system-{staged}"), staged);
        device.damage(SlotId::B, 1_000);
        assert_eq!(device.boot_from_system(RELEASE), OLD);
    }
}
