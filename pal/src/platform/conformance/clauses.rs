//! The clauses: each is a sentence and a check.

use std::format;
use std::vec::Vec;

use sha2::{Digest as _, Sha256};

use super::test_board::{BLOCK_BYTES, Seen, TestBoard, Violation, receive, update, verify};
use crate::device::{ImageManagement as _, Platform};
use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::platform::ImageState;
use crate::refusal::Refusal;
use crate::store::boot_record::Trial;
use crate::store::images::ImageStatus;

/// The clauses, in the order in which they are checked.
pub const CLAUSES: [&str; 12] = [
    "a new device runs a confirmed image, and its journal is empty",
    "an image goes to a slot that does not run, in blocks of any order",
    "what does not fit is refused by name, and nothing is written of it",
    "only what was signed is verified",
    "a repeated `begin` keeps whole sectors of the bytes to keep, and no more",
    "a journal payload is there after a reset, and so is what was written before it",
    "only what was verified is activated, and activating again changes nothing",
    "an activated image runs on trial after the reset, and nothing is received meanwhile",
    "confirming keeps the image, and confirming again changes nothing",
    "rolling back brings the confirmed image back and keeps the reason",
    "a trial without a verdict ends by itself",
    "the way back leads to the image that was confirmed before",
];

macro_rules! check_in_order {
    ($bench:ident, $($clause:ident),+) => {{
        let mut violations = Vec::new();
        let mut sentences = CLAUSES.into_iter();
        $(
            $bench.make().await;
            let clause = sentences.next().expect("every clause has a sentence");
            if let Err(Seen(seen)) = $clause($bench).await {
                violations.push(Violation { clause, seen });
            }
        )+
        violations
    }};
}

pub(super) async fn check_all<B: TestBoard>(bench: &mut B) -> Vec<Violation> {
    check_in_order!(
        bench,
        new_device,
        any_order,
        what_does_not_fit,
        only_signed,
        begun_again,
        journal,
        activate,
        on_trial,
        confirm,
        roll_back,
        silent_trial,
        way_back
    )
}

/// Fails the clause unless both values are equal.
fn same<T: PartialEq + core::fmt::Debug>(what: &str, is: T, must_be: T) -> Result<(), Seen> {
    match is == must_be {
        true => Ok(()),
        false => Err(Seen(format!("{what} is {is:?}, and must be {must_be:?}"))),
    }
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest(Sha256::digest(bytes).into())
}

async fn state<P: Platform>(platform: &mut P) -> Result<ImageState, Seen> {
    Ok(platform.boot_state().await?.image_state())
}

async fn running_digest<B: TestBoard>(bench: &B, platform: &mut B::Platform, number: u32) -> Result<(), Seen> {
    let image = bench.image(number);
    let found = platform.running_digest(image.len() as u32).await?;
    same("the digest of what runs", found, sha256(&image))
}

async fn new_device<B: TestBoard>(bench: &mut B) -> Result<(), Seen> {
    let mut platform = bench.boot().await;
    same("the image", state(&mut platform).await?, ImageState::Confirmed)?;
    same("the length of the journal", platform.load_journal(&mut [0; 8]).await?, 0)?;
    running_digest(bench, &mut platform, 1).await
}

async fn any_order<B: TestBoard>(bench: &mut B) -> Result<(), Seen> {
    let mut platform = bench.boot().await;
    let image = bench.image(2);
    let state = platform.boot_state().await?;
    let begun = platform.begin(image.len() as u32, 0).await?;
    same("the slot", begun.slot, state.free)?;
    same("that the slot runs", begun.slot == state.running, false)?;
    same("what is kept of nothing", begun.frontier_bytes, 0)?;
    // From both ends towards the middle.
    let mut blocks: Vec<_> = image.chunks(BLOCK_BYTES).enumerate().collect();
    while !blocks.is_empty() {
        let (index, block) = blocks.remove(0);
        platform.write((index * BLOCK_BYTES) as u32, block).await?;
        if let Some((index, block)) = blocks.pop() {
            platform.write((index * BLOCK_BYTES) as u32, block).await?;
        }
    }
    platform.check_header().await?;
    same("the digest", verify(bench, &mut platform, &image).await, Ok(sha256(&image)))?;
    running_digest(bench, &mut platform, 1).await
}

async fn what_does_not_fit<B: TestBoard>(bench: &mut B) -> Result<(), Seen> {
    let mut platform = bench.boot().await;
    let image = bench.image(2);
    let image_bytes = image.len() as u32;
    same("writing before anything is begun", platform.write(0, &[0; 32]).await, Err(Fault::NothingBegun))?;
    same("an image of no bytes", platform.begin(0, 0).await, Err(Refusal::ImageEmpty))?;
    let too_large = platform.begin(u32::MAX, 0).await;
    same("that 4 GiB are too much", matches!(too_large, Err(Refusal::ImageTooLarge { .. })), true)?;
    platform.begin(image_bytes, 0).await?;
    let beyond = platform.write(image_bytes / 1024 * 1024, &[0; 2048]).await;
    same("that a block beyond the end is out of range", matches!(beyond, Err(Fault::OutOfRange { .. })), true)?;
    let wrapped = platform.write(u32::MAX / 1024 * 1024, &[0; 2048]).await;
    same("that a block beyond 4 GiB is out of range", matches!(wrapped, Err(Fault::OutOfRange { .. })), true)?;
    receive(&mut platform, &image, 0).await?;
    same("the digest", verify(bench, &mut platform, &image).await, Ok(sha256(&image)))
}

async fn only_signed<B: TestBoard>(bench: &mut B) -> Result<(), Seen> {
    let mut platform = bench.boot().await;
    let genuine = bench.image(2);
    let mut tampered = genuine.clone();
    *tampered.last_mut().expect("an image has bytes") ^= 1;
    platform.begin(tampered.len() as u32, 0).await?;
    receive(&mut platform, &tampered, 0).await?;
    let verified = verify(bench, &mut platform, &genuine).await;
    same("that another file's signature is refused", matches!(verified, Err(Refusal::Signature(_))), true)
}

async fn begun_again<B: TestBoard>(bench: &mut B) -> Result<(), Seen> {
    let image = bench.image(2);
    let image_bytes = image.len() as u32;
    let keep_bytes = image_bytes / 2 / BLOCK_BYTES as u32 * BLOCK_BYTES as u32;
    let mut platform = bench.boot().await;
    let first = platform.begin(image_bytes, 0).await?;
    receive(&mut platform, &image[..keep_bytes as usize], 0).await?;
    platform.store_journal(b"half").await?;
    drop(platform);

    let mut platform = bench.boot().await;
    let begun = platform.begin(image_bytes, keep_bytes).await?;
    same("the slot", begun.slot, first.slot)?;
    same("that no more is kept", begun.frontier_bytes <= keep_bytes, true)?;
    receive(&mut platform, &image, begun.frontier_bytes).await?;
    same("the digest", verify(bench, &mut platform, &image).await, Ok(sha256(&image)))
}

async fn journal<B: TestBoard>(bench: &mut B) -> Result<(), Seen> {
    for payload in [&b"first"[..], b"the second is longer", &[7; 192], b""] {
        let mut platform = bench.boot().await;
        platform.store_journal(payload).await?;
        drop(platform);
        let mut platform = bench.boot().await;
        let mut out = [0; 192];
        let len = platform.load_journal(&mut out).await?;
        same("the payload", &out[..len], payload)?;
    }
    Ok(())
}

async fn activate<B: TestBoard>(bench: &mut B) -> Result<(), Seen> {
    let mut platform = bench.boot().await;
    let running = platform.boot_state().await?.running;
    let image = bench.image(2);
    let image_bytes = image.len() as u32;
    let refused = platform.activate(running, &sha256(&image), image_bytes).await;
    same("activating what runs", refused, Err(Refusal::SlotRuns { slot: running }))?;
    let begun = platform.begin(image_bytes, 0).await?;
    receive(&mut platform, &image, 0).await?;
    let digest = verify(bench, &mut platform, &image).await?;
    let other = platform.activate(begun.slot, &Digest([0; 32]), image_bytes).await;
    same("activating by another digest", other, Err(Refusal::DigestMismatch { slot: begun.slot }))?;
    let shorter = platform.activate(begun.slot, &digest, image_bytes - 1).await;
    same("activating a part of it", shorter, Err(Refusal::DigestMismatch { slot: begun.slot }))?;
    for _ in 0..2 {
        platform.activate(begun.slot, &digest, image_bytes).await?;
        let trial = platform.boot_state().await?.trial;
        same("that a trial waits", matches!(trial, Trial::Pending { slot, .. } if slot == begun.slot), true)?;
    }
    same("what runs until the reset", state(&mut platform).await?, ImageState::Confirmed)
}

async fn on_trial<B: TestBoard>(bench: &mut B) -> Result<(), Seen> {
    let mut platform = bench.boot().await;
    let slot = update(bench, &mut platform, 2).await?;
    drop(platform);
    let mut platform = bench.boot().await;
    same("the slot that runs", platform.boot_state().await?.running, slot)?;
    same("the image", state(&mut platform).await?, ImageState::OnTrial)?;
    running_digest(bench, &mut platform, 2).await?;
    same("another download", platform.begin(5000, 0).await, Err(Refusal::TrialRunning))
}

async fn confirm<B: TestBoard>(bench: &mut B) -> Result<(), Seen> {
    let mut platform = bench.boot().await;
    let slot = update(bench, &mut platform, 2).await?;
    drop(platform);
    let mut platform = bench.boot().await;
    for _ in 0..2 {
        platform.confirm().await?;
        same("the image", state(&mut platform).await?, ImageState::Confirmed)?;
    }
    same("a verdict after it", platform.roll_back(1).await, Err(Fault::NoTrialRuns))?;
    drop(platform);
    for _ in 0..bench.trial_boots() + 2 {
        let mut platform = bench.boot().await;
        same("the image", state(&mut platform).await?, ImageState::Confirmed)?;
        running_digest(bench, &mut platform, 2).await?;
        let images = platform.images().await?;
        same("its row", images.get(slot).map(|image| image.status), Some(ImageStatus::Confirmed))?;
    }
    Ok(())
}

async fn roll_back<B: TestBoard>(bench: &mut B) -> Result<(), Seen> {
    let mut platform = bench.boot().await;
    same("a verdict without a trial", platform.roll_back(1).await, Err(Fault::NoTrialRuns))?;
    let slot = update(bench, &mut platform, 2).await?;
    drop(platform);
    let mut platform = bench.boot().await;
    platform.roll_back(0x0601).await?;
    platform.roll_back(0x0602).await?;
    same("a verdict after it", platform.confirm().await, Err(Fault::NoTrialRuns))?;
    drop(platform);
    let mut platform = bench.boot().await;
    same("the image", state(&mut platform).await?, ImageState::Confirmed)?;
    running_digest(bench, &mut platform, 1).await?;
    let trial = platform.boot_state().await?.trial;
    let is_kept = matches!(trial, Trial::Ended { slot: tried, reason: 0x0601, started: true, .. } if tried == slot);
    same("that slot and first reason are kept", is_kept, true)
}

async fn silent_trial<B: TestBoard>(bench: &mut B) -> Result<(), Seen> {
    let mut platform = bench.boot().await;
    update(bench, &mut platform, 2).await?;
    drop(platform);
    for _ in 0..bench.trial_boots() {
        let mut platform = bench.boot().await;
        same("the image", state(&mut platform).await?, ImageState::OnTrial)?;
    }
    let mut platform = bench.boot().await;
    same("the image", state(&mut platform).await?, ImageState::Confirmed)?;
    running_digest(bench, &mut platform, 1).await?;
    let trial = platform.boot_state().await?.trial;
    same("that the trial ended", matches!(trial, Trial::Ended { started: true, .. }), true)
}

async fn way_back<B: TestBoard>(bench: &mut B) -> Result<(), Seen> {
    let mut platform = bench.boot().await;
    same("the way back of a new device", platform.restore_previous().await, Err(Refusal::NoPreviousImage))?;
    update(bench, &mut platform, 2).await?;
    drop(platform);
    let mut platform = bench.boot().await;
    platform.confirm().await?;
    platform.restore_previous().await?;
    drop(platform);
    let mut platform = bench.boot().await;
    running_digest(bench, &mut platform, 1).await?;
    same("the image", state(&mut platform).await?, ImageState::Confirmed)
}
