//! Firmware on an emulated board: the story of `cargo emulator`, and flash contents that no program wrote. The board keeps running or
//! boots the last good image, and its console has the reason.

#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use ota_emulator::flash::Flash;
use ota_emulator::machine::MPS2;
use ota_emulator::missing;
use ota_emulator::mps2::LAYOUT;
use ota_emulator::programs::{Programs, RELEASES};
use ota_emulator::world::World;
use ota_examples::device::Error;
use ota_examples::lines::Kind;
use ota_pal::{Region, SlotId};

/// The emulator's absence skips a test; with `CI` it fails.
fn can_run(name: &str) -> bool {
    let Some(tool) = missing() else { return true };
    assert!(std::env::var_os("CI").is_none(), "{tool} is not installed");
    eprintln!("skipped: needs {tool}: {name}");
    false
}

async fn world(name: &str) -> World {
    World::start(name, Programs::build(&MPS2, &RELEASES).unwrap(), &RELEASES[0]).await.unwrap()
}

/// A world whose board runs version 2.0.0 from slot A.
async fn updated(name: &str) -> World {
    let world = world(name).await;
    world.release("v2", &RELEASES[1], "mqtt").unwrap();
    let mut board = world.board().unwrap();
    board.until(Kind::Notice, "Settled").await.unwrap();
    board.kill().await.unwrap();
    world
}

/// Waits until the board has booted `slot` for this reason, and the agent on it has asked for jobs.
async fn boots(world: &World, slot: &str, reason: &str) -> Result<(), Error> {
    let mut board = world.board()?;
    let line = board.until(Kind::Boot, "boots slot").await?;
    assert!(line.text.starts_with(&format!("boots slot {slot},")) && line.text.contains(reason), "{}", line.text);
    board.until(Kind::Notice, "NoUpdate").await?;
    board.kill().await
}

#[test]
fn the_story_has_the_expected_results() {
    if !can_run("the story") {
        return;
    }
    let story = Command::new(env!("CARGO_BIN_EXE_emulator")).output().unwrap();
    let (output, errors) = (String::from_utf8_lossy(&story.stdout), String::from_utf8_lossy(&story.stderr));
    assert!(story.status.success(), "{output}\n{errors}");
    for line in [
        "v2: as expected, runs v2.0.0, job SUCCEEDED",
        "v3: as expected, runs v2.0.0, job FAILED",
        "forged: as expected, runs v2.0.0, job FAILED",
        "factory reset: as expected, runs v1.0.0",
    ] {
        assert_eq!(output.matches(line).count(), 2, "{line}, over MQTT and HTTP:\n{output}");
    }
    let measured = "from the reset to the next program's first line";
    assert_eq!(output.matches(measured).count(), 4, "for two updates over each:\n{output}");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_records_are_no_reason_not_to_boot() {
    if !can_run("records") {
        return;
    }
    let world = updated("records").await;
    let record = LAYOUT.boot_record();
    let whole = fs::read(world.flash.path()).unwrap();
    let range = record.offset_bytes() as usize..(record.offset_bytes() + record.len_bytes()) as usize;
    // The factory image runs if nothing describes the others; the bytes of a record decide, not the sector that they are in.
    for damage in [0x00, 0x5A, 0xFF] {
        world.flash.fill(record, damage).unwrap();
        world.flash.fill(LAYOUT.journal(), damage).unwrap();
        boots(&world, "factory", "confirmed").await.unwrap();
    }
    world.flash.write(record.offset_bytes(), &whole[range]).unwrap();
    boots(&world, "A", "confirmed").await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_is_zeros_or_half_erased_is_replaced_by_the_factory_image() {
    if !can_run("slots") {
        return;
    }
    let world = updated("slots").await;
    let slot = LAYOUT.slot(SlotId::A);
    let start = Region::new(slot.offset_bytes(), 0x1_8000);
    let end = Region::new(slot.offset_bytes() + 0x1_8000, 0x1_8000);
    let whole = fs::read(world.flash.path()).unwrap();
    for (region, byte) in [(slot, 0x00), (start, 0xFF), (end, 0xFF)] {
        fs::write(world.flash.path(), &whole).unwrap();
        world.flash.fill(region, byte).unwrap();
        boots(&world, "factory", "fell back").await.unwrap();
        boots(&world, "factory", "confirmed").await.unwrap();
    }
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trial_whose_image_was_damaged_ends_before_it_starts() {
    if !can_run("trial") {
        return;
    }
    let world = world("trial").await;
    world.release("v2", &RELEASES[1], "mqtt").unwrap();
    let mut board = world.board().unwrap();
    board.until(Kind::Notice, "Activated").await.unwrap();
    board.kill().await.unwrap();
    flip_a_bit(&world.flash);
    let mut board = world.board().unwrap();
    let line = board.until(Kind::Boot, "boots slot").await.unwrap();
    assert!(line.text.contains("slot factory") && line.text.contains("a trial ended"), "{}", line.text);
    board.until(Kind::Notice, "Settled").await.unwrap();
    let execution = world.execution("v2").await.unwrap();
    assert_eq!(execution.status, "FAILED");
    assert!(execution.details.unwrap().get().contains("TrialImageCorrupt"));
    board.kill().await.unwrap();
    world.stop().await;
}

fn flip_a_bit(flash: &Flash) {
    let at = LAYOUT.slot(SlotId::A).offset_bytes() + 100_000;
    let byte = fs::read(flash.path()).unwrap()[at as usize];
    flash.write(at, &[byte ^ 1]).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_board_without_any_image_says_so_at_every_watchdog_reset() {
    if !can_run("empty") {
        return;
    }
    let world = world("empty").await;
    world.flash.fill(LAYOUT.slot(SlotId::FACTORY), 0xFF).unwrap();
    let mut board = world.board().unwrap();
    for _ in 0..2 {
        board.until(Kind::Boot, "nothing to start: no bootable image").await.unwrap();
    }
    board.kill().await.unwrap();
    world.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_for_other_hardware_or_without_its_end_is_refused_and_the_board_goes_on() {
    if !can_run("images") {
        return;
    }
    let world = world("images").await;
    let (other, short) = (world.folder().join("other.img"), truncated(&world));
    let body = world.programs.body(&RELEASES[1], "a");
    world.programs.sign_for("mps2-an386", &RELEASES[1], "a", &body, &other).unwrap();
    let mut board = world.board().unwrap();
    // The service refuses it, because its header states another length.
    assert!(world.job("short", &[&short], "mqtt").unwrap_err().to_string().contains("is truncated"));
    world.job("other", &[&other], "mqtt").unwrap();
    board.until(Kind::Notice, "Settled").await.unwrap();
    let execution = world.execution("other").await.unwrap();
    let details = execution.details.unwrap();
    assert!(execution.terminal && details.get().contains("WrongHardware"), "{} {details}", execution.status);
    // The program is the same, and takes the next job.
    world.release("v2", &RELEASES[1], "mqtt").unwrap();
    board.until(Kind::Notice, "Confirmed").await.unwrap();
    board.kill().await.unwrap();
    world.stop().await;
}

/// An image without its second half, with the signature of the whole one.
fn truncated(world: &World) -> PathBuf {
    let (image, short) = (world.programs.image(&RELEASES[1], "a"), world.folder().join("short.img"));
    let bytes = fs::read(&image).unwrap();
    fs::write(&short, &bytes[..bytes.len() / 2]).unwrap();
    fs::copy(image.with_extension("img.sig"), short.with_extension("img.sig")).unwrap();
    short
}
