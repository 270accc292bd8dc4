//! Whole updates through the platform with embassy-boot's own boot loader behind it. Power cuts are in `reconcile` for
//! updates, and in `embassy_boot` for marks and swaps.

use ota_pal::REASON_ATTEMPTS_EXHAUSTED;
use ota_pal::poll_ready;
use ota_tests::rig::embassy::Embassy;
use ota_tests::rig::update_run::{Behaviour, REASON, Report, UpdateRun};
use ota_tests::rig::{Rig, SOURCE, booted, signature, signer};

const BLOCK_BYTES: usize = 512;

#[test]
fn an_update_of_embassy_boot_is_kept_rolled_back_or_given_up() {
    for (behaviour, expected) in [
        (Behaviour::Passes, Report::Succeeded),
        (Behaviour::Fails, Report::Failed { reason: REASON }),
        (Behaviour::Hangs, Report::Failed { reason: REASON_ATTEMPTS_EXHAUSTED }),
    ] {
        let run = UpdateRun::<Embassy>::new(behaviour, Embassy::image(2));
        let report = run.run();
        assert_eq!(report, expected, "{behaviour:?}");
        assert!(run.is_true(report), "{behaviour:?}");
    }
}

/// embassy-boot's own writer could not do that.
#[test]
fn blocks_come_in_any_order() {
    let (device, image) = (Embassy::new(), Embassy::image(2));
    let mut board = booted(&device);
    let updated = poll_ready(async {
        let begun = board.begin(image.len() as u32, 0).await?;
        for (index, block) in image.chunks(BLOCK_BYTES).enumerate().rev() {
            board.write((index * BLOCK_BYTES) as u32, block).await?;
        }
        let der = signer().sign(&image);
        let digest = board.verify(Some(&signature(&der)), SOURCE).await?;
        board.activate(begun.slot, &digest, image.len() as u32).await
    });
    assert_eq!(updated, Some(Ok(())));
    booted(&device);
    assert!(device.runs(2));
}
