//! The checks of `ota_pal::platform::conformance` under foreign boot loaders; if a format cannot fulfil a clause, exactly
//! that clause is violated.

use ota_pal::platform::conformance::{CLAUSES, TestBoard, check};
use ota_pal::{SignatureKind, poll_ready};
use ota_tests::rig::embassy::Embassy;
use ota_tests::rig::esp::Esp;
use ota_tests::rig::mcuboot::{McubootInPlace, McubootSwap};
use ota_tests::rig::{Rig, booted, signer};

/// A device under test, recreated for each clause, and the configured number of trial boots.
struct OnBoard<R>(R, u32);

impl<R: Rig> TestBoard for OnBoard<R> {
    type Platform = R::Board;

    async fn make(&mut self) {
        self.0 = R::new();
    }

    async fn boot(&mut self) -> R::Board {
        booted(&self.0)
    }

    fn image(&self, number: u32) -> Vec<u8> {
        R::image(number)
    }

    fn sign(&self, image: &[u8]) -> (SignatureKind, Vec<u8>) {
        (SignatureKind::Sha256Ecdsa, signer().sign(image))
    }

    fn trial_boots(&self) -> u32 {
        self.1
    }
}

/// The clauses that a device with so many trial boots violates, and the observations.
fn violated<R: Rig>(trial_boots: u32) -> Vec<(&'static str, String)> {
    let violations = poll_ready(check(&mut OnBoard(R::new(), trial_boots))).expect("nothing is cut");
    violations.into_iter().map(|violation| (violation.clause, violation.seen)).collect()
}

/// All of these loaders revert an image that was started once and not confirmed; their formats cannot store the count of
/// `Config::trial_attempts`.
const ONE_BOOT: u32 = 1;

#[test]
fn under_esp_idfs_bootloader_the_contract_is_kept() {
    assert_eq!(violated::<Esp>(ONE_BOOT), []);
}

#[test]
fn under_mcuboot_that_swaps_the_contract_is_kept() {
    assert_eq!(violated::<McubootSwap>(ONE_BOOT), []);
}

#[test]
fn under_mcuboot_in_place_the_contract_is_kept() {
    assert_eq!(violated::<McubootInPlace>(ONE_BOOT), []);
}

#[test]
fn under_embassy_boot_the_contract_is_kept_except_for_the_rollback() {
    // A swap leaves the earlier image one page behind the start of the partition from which embassy-boot takes images.
    let way_back = ("the way back leads to the image that was confirmed before", "NoPreviousImage".into());
    assert_eq!(violated::<Embassy>(ONE_BOOT), [way_back]);
}

#[test]
fn none_of_them_gives_a_trial_a_second_boot() {
    let silent_trial = CLAUSES[10];
    assert_eq!(silent_trial, "a trial without a verdict ends by itself");
    let went_back = || (silent_trial, String::from("the image is Confirmed, and must be OnTrial"));
    assert_eq!(violated::<Esp>(2), [went_back()]);
    assert_eq!(violated::<McubootSwap>(2), [went_back()]);
    assert_eq!(violated::<McubootInPlace>(2), [went_back()]);
    assert_eq!(violated::<Embassy>(2).first(), Some(&went_back()));
}
