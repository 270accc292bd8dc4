//! Devices that a foreign boot loader starts: the flash, the loader's actions at a reset, and the platform of the program
//! that it started. The tests define what the program does and where the power is cut.
//!
//! * [`esp`]: ESP-IDF's bootloader, by its model. [`mcuboot`]: MCUboot that swaps or starts in place, by its model.
//! * [`embassy`]: embassy-boot, by its own crate.
//! * [`update_run`]: an update on any of them.

pub mod embassy;
pub mod esp;
pub mod mcuboot;
pub mod update_run;

use ota_pal::{
    BootControl, Component, DeviceConfig, Digest, Flash, HardwareId, ImageManagement, Layout, Native, NoWatchdog,
    Platform, Refusal, Region, Signature, SignatureKind, SlotId, VersionRule, poll_ready,
};

use crate::device::Button;
use crate::nor::{CHIPS, Chip, Nor};
use crate::verifier::{Signer, SimVerifier};

const BLOCK_BYTES: usize = 1_024;
/// The name of the jobs.
pub const SOURCE: &str = "job-7";

/// What the loader did at a reset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It started a program.
    Runs,
    /// The power was cut before it started one.
    Cut,
    /// It has nothing to start.
    Dead,
}

/// The platform of a program that is started so.
pub type Board<F, B> = Native<F, SimVerifier, Button, NoWatchdog, B>;

/// A device under a foreign boot loader.
pub trait Rig: Sized {
    /// The platform of its program.
    type Board: ImageManagement;

    /// A device with image 1 preinstalled that was never reset.
    fn new() -> Self;

    /// Its flash.
    fn nor(&self) -> &Nor;

    /// Resets the device with power restored and runs the loader.
    fn reset(&self) -> Turn;

    /// The platform of the program that the last [`reset`](Self::reset) started.
    fn board(&self) -> Self::Board;

    /// The image with this number, in the loader's own format: version 1.0.`number`, with a unique length.
    fn image(number: u32) -> Vec<u8>;

    /// The region of the boot record.
    fn boot_record(&self) -> Region;

    /// Confirms the running image at the loader, without a boot record.
    fn keep(&self);

    /// The first bytes of the region that the running program was started from.
    fn running(&self, len_bytes: usize) -> Vec<u8>;

    /// Corrupts a copy of an image that does not run, so that the loader does not start it.
    fn corrupt(&self, image: &[u8]) {
        let flash = self.nor().bytes(0, self.nor().capacity() as u32);
        let middle = &image[image.len() / 2..image.len() / 2 + 64];
        let at = flash.windows(middle.len()).position(|window| window == middle).expect("it lies there");
        self.nor().burn(at as u32, &[!middle[0]]);
    }

    /// A device that runs image 2 on trial, which was installed by firmware without a boot record.
    fn on_trial_without_a_record() -> Self {
        let rig = Self::new();
        poll_ready(update(&mut booted(&rig), &Self::image(2))).expect("nothing is cut").expect("a good image");
        assert_eq!(rig.reset(), Turn::Runs);
        assert!(rig.runs(2));
        let records = rig.boot_record();
        rig.nor().burn(records.offset_bytes(), &vec![0xFF; records.len_bytes() as usize]);
        rig
    }

    /// Whether this image runs.
    fn runs(&self, number: u32) -> bool {
        let image = Self::image(number);
        self.running(image.len()) == image
    }
}

/// The signer of these devices' images.
pub fn signer() -> Signer {
    Signer::new("release", false)
}

/// Receives, verifies and activates an image.
///
/// # Errors
/// The first refusal.
pub async fn update<P: Platform>(board: &mut P, image: &[u8]) -> Result<(), Refusal> {
    let (slot, digest) = receive(board, image).await?;
    board.activate(slot, &digest, image.len() as u32).await
}

/// Receives and verifies an image; returns its slot and its digest.
///
/// # Errors
/// The first refusal.
pub async fn receive<P: Platform>(board: &mut P, image: &[u8]) -> Result<(SlotId, Digest), Refusal> {
    let begun = board.begin(image.len() as u32, 0).await?;
    for (index, block) in image.chunks(BLOCK_BYTES).enumerate() {
        board.write((index * BLOCK_BYTES) as u32, block).await?;
        if index == 0 {
            board.check_header().await?;
        }
    }
    let der = signer().sign(image);
    let digest = board.verify(Some(&signature(&der)), SOURCE).await?;
    Ok((begun.slot, digest))
}

/// A signature of [`signer`]'s as a job carries it.
pub fn signature(der: &[u8]) -> Signature<'_> {
    Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: der }
}

/// Boots a device without faults. Panics if it does not start.
pub fn booted<R: Rig>(rig: &R) -> R::Board {
    assert_eq!(rig.reset(), Turn::Runs);
    rig.board()
}

/// Updates a device without faults to this image, and confirms it.
///
/// # Errors
/// The refusal as text: a later update must never be refused.
pub fn update_and_keep<R: Rig>(rig: &R, number: u32) -> Result<(), String> {
    let refused = |refusal: Refusal| format!("image {number} is refused: {refusal}");
    poll_ready(update(&mut booted(rig), &R::image(number))).expect("nothing is cut").map_err(refused)?;
    let mut board = booted(rig);
    if !rig.runs(number) {
        return Err(format!("image {number} is not started: {:?}", poll_ready(board.boot_state())));
    }
    let kept = poll_ready(board.confirm()).expect("nothing is cut");
    kept.map_err(|fault| format!("image {number} cannot be confirmed: {fault}"))?;
    assert_eq!(rig.reset(), Turn::Runs);
    if rig.runs(number) { Ok(()) } else { Err(format!("image {number} was confirmed and does not run")) }
}

fn board<F: Flash, B: BootControl>(flash: F, layout: Layout, hardware: HardwareId, loader: B) -> Board<F, B> {
    let config = DeviceConfig {
        layout,
        hardware,
        component: Component::App,
        version_rule: VersionRule::Any, // version rules are not tested here
        security_counter_min: 0,
        key_epoch: 0,
        system_version: ota_pal::Version::default(),
        trial_attempts: ota_pal::TRIAL_ATTEMPTS_DEFAULT,
    };
    Native::from_parts(flash, signer().verifier(), Button, NoWatchdog, config, loader).expect("the layout fits")
}

/// An erased flash of these units.
fn nor(word_bytes: usize, sector_bytes: usize, sectors: usize) -> Nor {
    let fits = |chip: &Chip| (chip.word_bytes, chip.sector_bytes) == (word_bytes, sector_bytes);
    Nor::new(CHIPS.into_iter().find(fits).expect("a chip of these units"), sectors)
}
