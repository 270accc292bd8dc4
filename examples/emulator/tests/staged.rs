//! Firmware on the emulated board whose images are stored in external flash, and copied to RAM by the boot selector: updates over
//! MQTT and HTTP, and a plug that is pulled while an image is downloaded, copied or tried.

#![allow(clippy::unwrap_used)]

use ota_emulator::board::Board;
use ota_emulator::flash::digest;
use ota_emulator::machine::EMCRAFT_SF2;
use ota_emulator::missing;
use ota_emulator::programs::{Programs, Release};
use ota_emulator::world::World;
use ota_examples::lines::Kind;
use ota_pal::{SlotId, TRIAL_ATTEMPTS_DEFAULT};

/// One link serves all slots.
const ANY: &str = "any";
const FIRST: Release = Release { version: "1.0.0", self_test: "pass", slots: &[ANY] };
const GOOD: Release = Release { version: "2.0.0", self_test: "pass", slots: &[ANY] };
const FAILING: Release = Release { version: "3.0.0", self_test: "fail", slots: &[ANY] };
const HANGING: Release = Release { version: "4.0.0", self_test: "hang", slots: &[ANY] };

/// The emulator's absence skips a test; with `CI` it fails.
fn can_run(name: &str) -> bool {
    let Some(tool) = missing() else { return true };
    assert!(std::env::var_os("CI").is_none(), "{tool} is not installed");
    eprintln!("skipped: needs {tool}: {name}");
    false
}

async fn world(name: &str) -> World {
    World::start(name, Programs::build(&EMCRAFT_SF2, &[FIRST, GOOD, FAILING, HANGING]).unwrap(), &FIRST).await.unwrap()
}

/// Waits until the job is settled, and compares its status and the image that the boot selector would start.
async fn settles(world: &World, board: &mut Board, job: &str, expected: (&str, &str), image: (SlotId, &Release)) {
    board.until(Kind::Notice, "Settled").await.unwrap();
    let execution = world.execution(job).await.unwrap();
    let details = execution.details.map(|details| details.get().to_owned()).unwrap_or_default();
    assert!(execution.status == expected.0 && details.contains(expected.1), "{job}: {} {details}", execution.status);
    runs(world, image);
}

/// The boot selector would start this image, and it is intact.
fn runs(world: &World, (slot, release): (SlotId, &Release)) {
    let running = world.flash.running().unwrap();
    assert_eq!((running.slot, running.digest), (slot, digest(&world.programs.image(release, ANY)).unwrap()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_image_is_confirmed_and_a_bad_one_is_refused_or_rolled_back() {
    if !can_run("images") {
        return;
    }
    let world = world("staged").await;
    let mut board = world.board().unwrap();
    board.until(Kind::Boot, "copies an image to DDR").await.unwrap();
    board.until(Kind::Boot, "boots slot factory, version 1.0.0 (confirmed)").await.unwrap();

    world.release("v2", &GOOD, "mqtt").unwrap();
    board.until(Kind::Boot, "boots slot A, version 2.0.0 (on trial)").await.unwrap();
    settles(&world, &mut board, "v2", ("SUCCEEDED", "accepted"), (SlotId::A, &GOOD)).await;

    world.release("v3", &FAILING, "http").unwrap();
    board.until(Kind::Boot, "boots slot B, version 3.0.0 (on trial)").await.unwrap();
    board.until(Kind::Boot, "boots slot A, version 2.0.0 (confirmed)").await.unwrap();
    settles(&world, &mut board, "v3", ("FAILED", "SelfTestFailed"), (SlotId::A, &GOOD)).await;

    let forged = world.folder().join("forged.img");
    world.programs.forge(&FAILING, ANY, &forged).unwrap();
    world.job("forged", &[&forged], "mqtt").unwrap();
    settles(&world, &mut board, "forged", ("FAILED", "SignatureInvalid"), (SlotId::A, &GOOD)).await;
    board.kill().await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_hangs_is_rolled_back_after_its_last_power_on() {
    if !can_run("hang") {
        return;
    }
    let world = world("hang").await;
    world.release("v4", &HANGING, "mqtt").unwrap();
    // Nothing but the power ends a hang: the board has no watchdog.
    for _ in 0..TRIAL_ATTEMPTS_DEFAULT {
        let mut board = world.board().unwrap();
        board.until(Kind::Boot, "boots slot A, version 4.0.0 (on trial)").await.unwrap();
        board.until(Kind::Notice, "SelfTestStarted").await.unwrap();
        board.kill().await.unwrap();
    }
    let mut board = world.board().unwrap();
    board.until(Kind::Boot, "boots slot factory, version 1.0.0 (confirmed; a trial ended)").await.unwrap();
    settles(&world, &mut board, "v4", ("FAILED", "TrialAttemptsExhausted"), (SlotId::FACTORY, &FIRST)).await;
    board.kill().await.unwrap();
    world.stop().await;
}

/// Lines of the console after which the plug is pulled, each after the one before.
const MOMENTS: [&[(Kind, &str)]; 8] = [
    &[(Kind::Notice, "DownloadStarted")],
    &[(Kind::Progress, ""), (Kind::Progress, ""), (Kind::Progress, "")],
    &[(Kind::Notice, "DownloadSucceeded")],
    &[(Kind::Notice, "Activated")],
    &[(Kind::Boot, "reset")],
    &[(Kind::Boot, "reset"), (Kind::Boot, "copies an image to DDR")],
    &[(Kind::Boot, "boots slot A")],
    &[(Kind::Notice, "SelfTestStarted")],
];

#[tokio::test(flavor = "multi_thread")]
async fn the_plug_is_pulled_in_the_download_the_copy_and_the_trial_and_the_update_is_complete() {
    if !can_run("plug") {
        return;
    }
    let mut world = world("staged-plug").await;
    for (index, moment) in MOMENTS.iter().enumerate() {
        let job = format!("update-{index}");
        world.replace_board(&FIRST).unwrap();
        world.release(&job, &GOOD, "mqtt").unwrap();
        let mut board = world.board().unwrap();
        for (kind, text) in *moment {
            board.until(*kind, text).await.unwrap();
        }
        board.kill().await.unwrap();
        let mut board = world.board().unwrap();
        // DDR is empty after a power cut, so that every boot copies.
        board.until(Kind::Boot, "copies an image to DDR").await.unwrap();
        settles(&world, &mut board, &job, ("SUCCEEDED", "accepted"), (SlotId::A, &GOOD)).await;
        assert_eq!(world.count(&job, "SUCCEEDED").await.unwrap(), 1, "{moment:?}");
        board.kill().await.unwrap();
    }
    world.stop().await;
}
