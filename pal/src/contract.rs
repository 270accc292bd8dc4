//! What every platform must promise, as checks that a port can be put through: implement [`Bench`], call [`check`].
//!
//! ```ignore
//! let violations = ota_pal::now(ota_pal::contract::check(&mut my_bench)).unwrap();
//! assert_eq!(violations, []);
//! ```
//!
//! Each clause starts from a device as it was made, and resets it as often as it needs. What a power cut leaves is not
//! checked here: that needs a flash that can be cut, see the tests of this project.

mod clauses;

use core::fmt;
use std::string::String;
use std::vec::Vec;

use crate::fault::Fault;
use crate::platform::Platform;
use crate::refusal::Refusal;
use crate::signature::SignatureKind;
use crate::slot::SlotId;

pub use clauses::CLAUSES;

/// A device on the bench of its porter.
#[allow(async_fn_in_trait)]
pub trait Bench {
    /// The platform under test.
    type Platform: Platform;

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
pub(crate) struct Seen(String);

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

/// Checks every clause on a device that is made new for each; what is violated, in the order of the clauses.
///
/// Dropped: the device is left as it was then.
pub async fn check<B: Bench>(bench: &mut B) -> Vec<Violation> {
    clauses::check_all(bench).await
}

/// A whole update up to the reset: the slot it went to.
async fn update<B: Bench>(bench: &B, platform: &mut B::Platform, number: u32) -> Result<SlotId, Seen> {
    let image = bench.image(number);
    let image_bytes = image.len() as u32;
    let begun = platform.begin(image_bytes, 0).await?;
    receive(platform, &image, 0).await?;
    let digest = seal(bench, platform, &image).await?;
    platform.activate(begun.slot, &digest, image_bytes).await?;
    Ok(begun.slot)
}

const BLOCK_BYTES: usize = 1024;

/// Writes the blocks from `from_bytes` on.
async fn receive<P: Platform>(platform: &mut P, image: &[u8], from_bytes: u32) -> Result<(), Seen> {
    for (index, block) in image.chunks(BLOCK_BYTES).enumerate().skip(from_bytes as usize / BLOCK_BYTES) {
        platform.write((index * BLOCK_BYTES) as u32, block).await?;
    }
    Ok(())
}

/// Seals what was received as if it were `signed`.
async fn seal<B: Bench>(bench: &B, platform: &mut B::Platform, signed: &[u8]) -> Result<crate::Digest, Refusal> {
    let (kind, der) = bench.sign(signed);
    let signature = crate::Signature { kind, key_id: None, bytes: &der };
    platform.seal(Some(&signature), "contract").await
}
