//! The device under test, and the steps that the clauses share.

use core::fmt;
use std::string::String;
use std::vec::Vec;

use crate::device::{ImageManagement, Platform};
use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::image::slot::SlotId;
use crate::refusal::Refusal;
use crate::verify::signature::{Signature, SignatureKind};

/// A device under test.
#[allow(async_fn_in_trait)]
pub trait TestBoard {
    /// The platform under test.
    type Platform: ImageManagement;

    /// Resets the device to its initial state: image 1 of [`image`](Self::image) runs and is confirmed, and flash is
    /// otherwise empty.
    async fn make(&mut self);

    /// Runs the boot loader, as after a reset, and creates the platform of the program that it starts.
    async fn boot(&mut self) -> Self::Platform;

    /// Returns the image of this number as transferred over the network. Image 2 is a newer version than image 1. All
    /// images differ in content and in length, and have at least 5,000 bytes.
    fn image(&self, number: u32) -> Vec<u8>;

    /// Returns the manufacturer's signature of these bytes: its kind, and its bytes after base64 decoding.
    fn sign(&self, image: &[u8]) -> (SignatureKind, Vec<u8>);

    /// Returns the number of boots of a trial before the boot loader reverts.
    fn trial_boots(&self) -> u32;
}

/// A violated clause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The clause, a sentence.
    pub clause: &'static str,
    /// What was observed instead.
    pub seen: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.clause, self.seen)
    }
}

/// The observation that ends a clause early.
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

/// Runs an update up to the reset and returns the slot of the new image.
pub(super) async fn update<B: TestBoard>(bench: &B, platform: &mut B::Platform, number: u32) -> Result<SlotId, Seen> {
    let image = bench.image(number);
    let image_bytes = image.len() as u32;
    let begun = platform.begin(image_bytes, 0).await?;
    receive(platform, &image, 0).await?;
    let digest = verify(bench, platform, &image).await?;
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

/// Verifies the received image with a signature of `signed`.
pub(super) async fn verify<B: TestBoard>(
    bench: &B,
    platform: &mut B::Platform,
    signed: &[u8],
) -> Result<Digest, Refusal> {
    let (kind, der) = bench.sign(signed);
    let signature = Signature { kind, key_id: None, bytes: &der };
    platform.verify(Some(&signature), "conformance").await
}
