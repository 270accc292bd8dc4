//! Receives an image as a sequential stream of bytes: from a serial line, a file or another processor. The agent does
//! not use it, because jobs deliver blocks; checks and storage are the same.

use super::super::bisync;
#[cfg(test)]
use super::super::only_async;
use super::{ImageManagement, Platform};
use crate::fault::Fault;
use crate::image::digest::Digest;
use crate::image::slot::SlotId;
use crate::refusal::Refusal;
use crate::store::region::WORD_BYTES_MAX;
use crate::verify::signature::Signature;

/// The length of the image to receive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// The length in bytes. An image that does not fit is refused before anything is erased.
    Known(u32),
    /// Determined by [`finish`](Writer::finish). As with a known length, only the sectors of the image and one ahead
    /// are erased.
    Unknown,
}

/// An image being received into a slot that does not run. [`finish`](Self::finish) consumes the writer, so that a
/// finished image cannot be written.
///
/// ```
/// async fn take<P: ota_pal::ImageManagement>(platform: &mut P, byte: &[u8; 1]) {
///     let mut writer = ota_pal::Writer::begin(platform, ota_pal::Size::Unknown).await.unwrap();
///     writer.write(byte).await.unwrap();
///     writer.finish(None, "pipe").await.unwrap();
/// }
/// ```
///
/// ```compile_fail,E0382
/// async fn take<P: ota_pal::ImageManagement>(platform: &mut P, byte: &[u8; 1]) {
///     let mut writer = ota_pal::Writer::begin(platform, ota_pal::Size::Unknown).await.unwrap();
///     writer.finish(None, "pipe").await.unwrap();
///     writer.write(byte).await.unwrap();
/// }
/// ```
pub struct Writer<'p, P> {
    platform: &'p mut P,
    slot: SlotId,
    size: Size,
    /// Bytes passed to the platform: a multiple of the largest flash word.
    written_bytes: u32,
    /// Bytes that do not fill a word yet.
    rest: [u8; WORD_BYTES_MAX],
    rest_len: usize,
}

/// A complete and verified image; [`activate`](Self::activate) schedules its trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifiedImage {
    /// The slot that contains it.
    pub slot: SlotId,
    /// SHA-256 of the complete image.
    pub digest: Digest,
    /// Its length.
    pub image_bytes: u32,
}

#[bisync]
impl<'p, P: ImageManagement> Writer<'p, P> {
    /// Starts receiving an image of this size; [`Platform::begin`] selects the slot.
    ///
    /// # Cancel safety
    /// As for [`Platform::begin`].
    ///
    /// # Errors
    /// Those of [`Platform::begin`].
    pub async fn begin(platform: &'p mut P, size: Size) -> Result<Self, Refusal> {
        let begun = match size {
            Size::Known(image_bytes) => platform.begin(image_bytes, 0).await?,
            Size::Unknown => match platform.begin(u32::MAX, 0).await {
                Err(Refusal::ImageTooLarge { max, .. }) => platform.begin(max, 0).await?,
                begun => begun?,
            },
        };
        let rest = [0; WORD_BYTES_MAX];
        Ok(Self { platform, slot: begun.slot, size, written_bytes: 0, rest, rest_len: 0 })
    }

    /// Returns the slot the image is written to.
    #[must_use]
    pub fn slot(&self) -> SlotId {
        self.slot
    }

    /// Returns the number of bytes received so far.
    #[must_use]
    pub fn received_bytes(&self) -> u32 {
        self.written_bytes + self.rest_len as u32
    }

    /// Appends bytes to the image; any length is accepted.
    ///
    /// # Cancel safety
    /// The content of the image is undefined; begin again. The same holds after an error.
    ///
    /// # Errors
    /// [`Fault::OutOfRange`] beyond the size or the slot, and the errors of the flash.
    pub async fn write(&mut self, mut bytes: &[u8]) -> Result<(), Fault> {
        if self.rest_len > 0 {
            let (filling, others) = bytes.split_at(bytes.len().min(WORD_BYTES_MAX - self.rest_len));
            self.keep(filling);
            bytes = others;
            if self.rest_len == WORD_BYTES_MAX {
                self.rest_len = 0;
                let word = self.rest;
                self.hand_over(&word).await?;
            }
        }
        let (words, rest) = bytes.split_at(bytes.len() - bytes.len() % WORD_BYTES_MAX);
        if !words.is_empty() {
            self.hand_over(words).await?;
        }
        self.keep(rest);
        Ok(())
    }

    /// Ends the image and verifies it as [`Platform::verify`] does; `source` is recorded in the database.
    ///
    /// # Cancel safety
    /// The image is not verified; begin again.
    ///
    /// # Errors
    /// [`Refusal::ImageLengthMismatch`] if the received length differs from the known size, [`Refusal::ImageEmpty`],
    /// those of [`Platform::verify`].
    pub async fn finish(mut self, signature: Option<&Signature<'_>>, source: &str) -> Result<VerifiedImage, Refusal> {
        let image_bytes = self.received_bytes();
        match self.size {
            Size::Known(announced) if announced != image_bytes => {
                return Err(Refusal::ImageLengthMismatch { announced, header: image_bytes });
            }
            Size::Unknown if image_bytes == 0 => return Err(Refusal::ImageEmpty),
            Size::Known(_) | Size::Unknown => {}
        }
        self.platform.end_at(image_bytes)?;
        if self.rest_len > 0 {
            let (rest, len) = (self.rest, self.rest_len);
            self.hand_over(&rest[..len]).await?;
        }
        let digest = self.platform.verify(signature, source).await?;
        Ok(VerifiedImage { slot: self.slot, digest, image_bytes })
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.rest[self.rest_len..][..bytes.len()].copy_from_slice(bytes);
        self.rest_len += bytes.len();
    }

    async fn hand_over(&mut self, words: &[u8]) -> Result<(), Fault> {
        self.platform.write(self.written_bytes, words).await?;
        self.written_bytes += words.len() as u32;
        Ok(())
    }
}

#[bisync]
impl VerifiedImage {
    /// Schedules the trial of the image for the next reset.
    ///
    /// # Cancel safety
    /// The trial may or may not be scheduled; call again.
    ///
    /// # Errors
    /// Those of [`Platform::activate`].
    pub async fn activate<P: Platform>(&self, platform: &mut P) -> Result<(), Refusal> {
        platform.activate(self.slot, &self.digest, self.image_bytes).await
    }
}

#[cfg(test)]
#[only_async]
mod tests {
    use super::super::super::native::tests::{device, flash, new_header};
    use super::super::super::testing::{Op, image, run, sha256, sign, signing_key};
    use super::*;
    use crate::store::boot_record::Trial;
    use crate::verify::signature::SignatureKind;
    use std::vec::Vec;

    fn erases(ops: &[Op]) -> Vec<u32> {
        let slot = |op: &Op| match op {
            Op::Erase(at) if *at >= 6 * 1024 => Some(*at), // the records precede the slots
            _ => None,
        };
        ops.iter().filter_map(slot).collect()
    }

    fn verified(size: Size, piece_bytes: usize) -> (Result<VerifiedImage, Refusal>, Vec<u32>) {
        let (mut flash, image) = (flash(), image(&new_header()));
        let der = sign(&signing_key("key"), &sha256(&image));
        let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &der };
        let mut device = device(&mut flash, SlotId::A);
        let verified = run(async {
            let mut writer = Writer::begin(&mut device, size).await?;
            for piece in image.chunks(piece_bytes) {
                writer.write(piece).await?;
            }
            let verified = writer.finish(Some(&signature), "pipe").await?;
            verified.activate(&mut device).await?;
            Ok(verified)
        });
        if let Ok(VerifiedImage { slot, digest, image_bytes }) = verified {
            let trial = Trial::Pending { slot, digest, image_bytes, attempts_left: 3 };
            assert_eq!(run(device.boot_state()).unwrap().trial, trial);
        }
        (verified, erases(&flash.ops))
    }

    #[test]
    fn pieces_of_any_length_make_the_image() {
        let image = image(&new_header());
        let expected = VerifiedImage { slot: SlotId::B, digest: sha256(&image), image_bytes: image.len() as u32 };
        for piece_bytes in [1, 7, 31, 32, 33, 100, 1024, 10_000] {
            for size in [Size::Known(image.len() as u32), Size::Unknown] {
                assert_eq!(verified(size, piece_bytes).0, Ok(expected), "{size:?}, pieces of {piece_bytes}");
            }
        }
    }

    #[test]
    fn an_unknown_size_erases_no_sector_that_a_known_one_would_not() {
        let image_bytes = image(&new_header()).len() as u32;
        let (known, unknown) = (verified(Size::Known(image_bytes), 500), verified(Size::Unknown, 500));
        assert_eq!(known.1.len() as u32, image_bytes.div_ceil(1024));
        assert_eq!(unknown, known);
        assert!(unknown.0.is_ok());
    }

    #[test]
    fn another_length_than_announced_is_refused_and_none_at_all_too() {
        let got = image(&new_header()).len() as u32;
        for announced in [got - 1, got + 1] {
            let refused = Err(Refusal::ImageLengthMismatch { announced, header: got });
            assert_eq!(verified(Size::Known(announced), 500).0, refused);
        }
        assert!(matches!(verified(Size::Known(1000), 500).0, Err(Refusal::Fault(Fault::OutOfRange { .. }))));
        let mut flash = flash();
        let mut device = device(&mut flash, SlotId::A);
        let empty = run(async { Writer::begin(&mut device, Size::Unknown).await?.finish(None, "").await });
        assert_eq!(empty, Err(Refusal::ImageEmpty));
    }
}
