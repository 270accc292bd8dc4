//! A device under test, and the steps that the clauses share.

use core::fmt;
use std::string::String;
use std::vec::Vec;

use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::image::slot::SlotId;
use crate::platform::Platform;
use crate::platform::management::ImageManagement;
use crate::refusal::Refusal;
use crate::verify::signature::{Signature, SignatureKind};

/// A device on the bench of its porter.
#[allow(async_fn_in_trait)]
pub trait Bench {
    /// The platform under test.
    type Platform: ImageManagement;

    /// Makes the device new: it runs image 1 of [`image`](Self::image), confirmed, and nothing else is in its flash.
    async fn make(&mut self);

    /// Lets the boot loader run, as after every reset, and starts the platform of the program that it chose.
    async fn boot(&mut self) -> Self::Platform;

    /// The image of this number, as it comes over the network: image 2 is a newer version than image 1. At least 5,000 bytes,
    /// all different; no length is the same.
    fn image(&self, number: u32) -> Vec<u8>;

    /// The signature of the device's maker over these bytes, its kind, and the bytes as a job carries them after base64.
    fn sign(&self, image: &[u8]) -> (SignatureKind, Vec<u8>);

    /// Boots that a trial is given before the boot loader goes back by itself.
    fn trial_boots(&self) -> u32;
}

/// A clause that a platform does not keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The clause, a sentence.
    pub clause: &'static str,
    /// What was seen instead.
    pub seen: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.clause, self.seen)
    }
}

/// What ends a clause early.
pub(super) struct Seen(pub(super) String);

impl From<Fault> for Seen {
    fn from(fault: Fault) -> Self {
        Self(std::format!("{fault}"))
    }
}

impl From<Refusal> for Seen {
    fn from(refusal: Refusal) -> Self {
        Self(std::format!("{refusal}"))
    }
}

/// A whole update up to the reset: the slot it went to.
pub(super) async fn update<B: Bench>(bench: &B, platform: &mut B::Platform, number: u32) -> Result<SlotId, Seen> {
    let image = bench.image(number);
    let image_bytes = image.len() as u32;
    let begun = platform.begin(image_bytes, 0).await?;
    receive(platform, &image, 0).await?;
    let digest = seal(bench, platform, &image).await?;
    platform.activate(begun.slot, &digest, image_bytes).await?;
    Ok(begun.slot)
}

pub(super) const BLOCK_BYTES: usize = 1024;

/// Writes the blocks from `from_bytes` on.
pub(super) async fn receive<P: Platform>(platform: &mut P, image: &[u8], from_bytes: u32) -> Result<(), Seen> {
    for (index, block) in image.chunks(BLOCK_BYTES).enumerate().skip(from_bytes as usize / BLOCK_BYTES) {
        platform.write((index * BLOCK_BYTES) as u32, block).await?;
    }
    Ok(())
}

/// Seals what was received as if it were `signed`.
pub(super) async fn seal<B: Bench>(bench: &B, platform: &mut B::Platform, signed: &[u8]) -> Result<Digest, Refusal> {
    let (kind, der) = bench.sign(signed);
    let signature = Signature { kind, key_id: None, bytes: &der };
    platform.seal(Some(&signature), "contract").await
}
