//! ESP-IDF's bootloader behind the door for foreign loaders. Slot A is `ota_0`, B is `ota_1` and so on.
//!
//! `Foreign::in_place(EspIdf::new(otadata, &layout)?, &layout, running)` is the boot control of such a device; the board
//! knows from which partition it runs (the address that the MMU maps). Its `hardware` is the chip's name, as `esp32c3`.
//!
//! On the first boot of a program with this agent under a bootloader that still waits for a verdict (an update from firmware
//! of another kind), the board calls [`OtaData::keep`] once it is content: no record of ours tells of that trial.

use crate::boot_control::ImageFormat;
use crate::error::{Fault, Refusal};
use crate::esp_idf::error::OtaDataError;
use crate::esp_idf::image::{Descriptor, Image};
use crate::esp_idf::loader::OtaData;
use crate::esp_idf::otadata::{App, State};
use crate::flash::Flash;
use crate::foreign::{Loader, Word};
use crate::header::{Component, Link};
use crate::identity::{Extent, Identity};
use crate::layout::{Layout, Region};
use crate::slot::SlotId;

/// ESP-IDF's bootloader.
#[derive(Clone, Copy, Debug)]
pub struct EspIdf {
    otadata: OtaData,
}

impl EspIdf {
    /// The bootloader that reads `otadata`, for the slots of `layout`.
    ///
    /// # Errors
    /// [`OtaDataError::Overlap`], [`OtaDataError::SlotsDiffer`].
    pub fn new(otadata: OtaData, layout: &Layout) -> Result<Self, OtaDataError> {
        Ok(Self { otadata: otadata.beside(layout)? })
    }
}

const fn app(slot: SlotId) -> App {
    if slot.is_factory() { App::Factory } else { App::Ota(slot.number()) }
}

/// The slot's number among the OTA slots; only these have entries.
fn ota(slot: SlotId) -> Result<u8, Fault> {
    match app(slot) {
        App::Ota(slot) => Ok(slot),
        App::Factory => Err(OtaDataError::NoSuchSlot { got: slot.number(), slots: 0 }.into()),
    }
}

impl Loader for EspIdf {
    type Format = EspImages;

    const SWAPS: bool = false;

    async fn word<F: Flash>(&mut self, flash: &mut F, _running: SlotId, slot: SlotId) -> Result<Word, Fault> {
        let App::Ota(number) = app(slot) else {
            let chosen = self.otadata.start(flash).await? == App::Factory;
            return Ok(if chosen { Word::Kept } else { Word::Nothing });
        };
        Ok(match self.otadata.entry(flash, number).await?.map(|entry| entry.state) {
            Some(State::New) => Word::Waiting,
            Some(State::PendingVerify) => Word::Trying,
            Some(State::Valid) => Word::Kept,
            Some(State::Invalid | State::Aborted) => Word::GivenUp,
            // Nobody who asks for trials wrote these: what a torn erase left is no verdict.
            Some(State::Undefined | State::Other(_)) | None => Word::Nothing,
        })
    }

    async fn forget<F: Flash>(&mut self, flash: &mut F, _running: SlotId, slot: SlotId) -> Result<(), Fault> {
        Ok(self.otadata.forget(flash, ota(slot)?).await?)
    }

    async fn try_next<F: Flash>(&mut self, flash: &mut F, running: SlotId, slot: SlotId) -> Result<(), Fault> {
        Ok(self.otadata.try_next(flash, app(running), ota(slot)?).await?)
    }

    async fn keep<F: Flash>(&mut self, flash: &mut F, running: SlotId) -> Result<(), Fault> {
        Ok(self.otadata.keep(flash, ota(running)?).await?)
    }

    async fn give_up<F: Flash>(&mut self, flash: &mut F, running: SlotId) -> Result<(), Fault> {
        Ok(self.otadata.revert(flash, ota(running)?).await?)
    }

    async fn switch<F: Flash>(&mut self, flash: &mut F, running: SlotId, slot: SlotId) -> Result<(), Fault> {
        match app(slot) {
            App::Factory => self.otadata.factory(flash).await?,
            App::Ota(slot) => self.otadata.switch(flash, app(running), slot).await?,
        }
        Ok(())
    }
}

/// Application images of ESP-IDF: they replace the application, and run from any slot.
#[derive(Clone, Copy, Debug)]
pub struct EspImages;

impl ImageFormat for EspImages {
    /// Of the head, the first 128 bytes must lie there: less than the smallest block.
    async fn identity<F: Flash>(flash: &mut F, region: Region, extent: Extent) -> Result<Identity, Refusal> {
        let (descriptor, image_bytes) = match extent {
            Extent::Head => (Descriptor::read(flash, region).await?, None),
            Extent::Whole => match Image::read(flash, region).await? {
                Ok(image) => (Ok(image.descriptor), Some(image.image_bytes)),
                Err(error) => (Err(error), None),
            },
        };
        let descriptor = descriptor.map_err(Refusal::EspImageInvalid)?;
        Ok(Identity {
            component: Component::App,
            link: Link::Any,
            hardware: descriptor.hardware,
            version: descriptor.version,
            security_counter: Some(descriptor.security_counter),
            image_bytes,
        })
    }
}
