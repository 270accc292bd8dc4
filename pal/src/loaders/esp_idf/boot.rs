//! ESP-IDF's bootloader as a [`Loader`]. Slot A is `ota_0`, B is `ota_1` and so on.
//!
//! `LoaderBridge::in_place(EspIdf::new(otadata, &layout)?, &layout, running)` is the boot control of such a device; the
//! board provides the partition that it runs from (the address that the MMU maps). Its `hardware` is the chip's name,
//! such as `esp32c3`.
//!
//! On the first boot of a program with this agent under a bootloader that still waits for a verdict (an update from
//! firmware of another kind), the board calls [`OtaData::keep`] after its self-test: no boot record describes that
//! trial.

use super::super::super::flash::Flash;
use super::super::super::loaders::agreed::agreed;
use super::super::super::loaders::bridge::Loader;
use super::super::super::loaders::esp_idf::error::OtaDataError;
use super::super::super::loaders::esp_idf::image::{Descriptor, Image};
use super::super::super::loaders::esp_idf::loader::OtaData;
use super::super::super::loaders::esp_idf::otadata::{App, State};
use super::super::super::native::boot_control::ImageFormat;
use crate::fault::Fault;
use crate::image::header::{Component, Link};
use crate::image::identity::{Available, ImageInfo};
use crate::image::slot::SlotId;
use crate::image::version::MajorMinor;
use crate::platform::boot::LoaderState;
use crate::refusal::Refusal;
use crate::store::layout::Layout;
use crate::store::region::Region;

/// ESP-IDF's bootloader.
#[derive(Clone, Copy, Debug)]
pub struct EspIdf {
    otadata: OtaData,
}

impl EspIdf {
    /// Creates the loader for `otadata` and the slots of `layout`.
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

    const STARTS_FACTORY: bool = true;
    const STARTS_ANY_IMAGE: bool = true;

    async fn slot_state<F: Flash>(
        &mut self,
        flash: &mut F,
        _running: SlotId,
        slot: SlotId,
    ) -> Result<LoaderState, Fault> {
        let App::Ota(number) = app(slot) else {
            let chosen = self.otadata.start(flash).await? == App::Factory;
            return Ok(if chosen { LoaderState::Confirmed } else { LoaderState::Unknown });
        };
        Ok(match self.otadata.entry(flash, number).await?.map(|entry| entry.state) {
            Some(State::New) => LoaderState::Pending,
            Some(State::PendingVerify) => LoaderState::Testing,
            Some(State::Valid) => LoaderState::Confirmed,
            Some(State::Invalid | State::Aborted) => LoaderState::Reverted,
            // Not written by a program that requests trials: the remains of a torn erase are not a verdict.
            Some(State::Undefined | State::Other(_)) | None => LoaderState::Unknown,
        })
    }

    async fn forget<F: Flash>(&mut self, flash: &mut F, _running: SlotId, slot: SlotId) -> Result<(), Fault> {
        Ok(self.otadata.forget(flash, ota(slot)?).await?)
    }

    async fn vacate<F: Flash>(&mut self, flash: &mut F, running: SlotId, slot: SlotId) -> Result<(), Fault> {
        Ok(self.otadata.vacate(flash, app(running), ota(slot)?).await?)
    }

    async fn watch<F: Flash>(&mut self, flash: &mut F, running: SlotId) -> Result<(), Fault> {
        Ok(self.otadata.watch(flash, ota(running)?).await?)
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

/// Application images of ESP-IDF. They replace the application and run from any slot.
#[derive(Clone, Copy, Debug)]
pub struct EspImages;

impl ImageFormat for EspImages {
    /// Only the first 128 bytes of the head must be in flash: less than the smallest block.
    async fn identity<F: Flash>(flash: &mut F, region: Region, extent: Available) -> Result<ImageInfo, Refusal> {
        agreed(region, async || Self::identity_once(flash, region, extent).await).await
    }
}

impl EspImages {
    async fn identity_once<F: Flash>(flash: &mut F, region: Region, extent: Available) -> Result<ImageInfo, Refusal> {
        let (descriptor, image_bytes) = match extent {
            Available::Head => (Descriptor::read(flash, region).await?, None),
            Available::Whole => match Image::read(flash, region).await? {
                Ok(image) => (Ok(image.descriptor), Some(image.image_bytes)),
                Err(error) => (Err(error), None),
            },
        };
        let descriptor = descriptor.map_err(|error| Refusal::FormatInvalid(error.into()))?;
        Ok(ImageInfo {
            component: Component::App,
            link: Link::Any,
            hardware: Some(descriptor.hardware),
            version: descriptor.version,
            security_counter: Some(descriptor.security_counter),
            image_bytes,
            system_min: MajorMinor::default(),
            release_id: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::super::loaders::esp_idf::otadata::{Entry, Slots};
    use super::super::super::super::loaders::esp_idf::testing::{Nor, REGION, image};
    use super::super::super::super::testing::run;
    use super::*;
    use crate::store::layout::{Geometry, RecordRegions};

    const SECTOR: u32 = 0x1000;

    fn layout(first_slot: u32) -> Layout {
        let geometry = Geometry { word_bytes: 4, erase_bytes: SECTOR, capacity_bytes: 16 * SECTOR };
        let region = |first: u32, sectors: u32| Region::new(first * SECTOR, sectors * SECTOR);
        let records = RecordRegions { boot: region(4, 2), journal: region(6, 2), monotonic: region(8, 2) };
        Layout::new(geometry, &[region(first_slot, 1), region(11, 1)], records).unwrap()
    }

    fn otadata(slots: Slots, factory: bool) -> OtaData {
        OtaData::new::<Nor<4>>(REGION, slots, factory).unwrap()
    }

    #[test]
    fn a_partition_that_does_not_belong_to_the_layout_is_refused() {
        let refused = |otadata, first_slot| EspIdf::new(otadata, &layout(first_slot)).map(|_| ()).unwrap_err();
        assert!(EspIdf::new(otadata(Slots::TWO, false), &layout(3)).is_ok());
        for first_slot in [1, 2] {
            let error = refused(otadata(Slots::TWO, false), first_slot);
            assert_eq!(error, OtaDataError::Overlap { offset_bytes: 0x1000 });
        }
        let differ = |slots| OtaDataError::SlotsDiffer { got: 2, slots };
        assert_eq!(refused(otadata(Slots::TWO, true), 3), differ(2));
        assert_eq!(refused(otadata(Slots::new(1).unwrap(), false), 3), differ(1));
    }

    #[test]
    fn each_state_has_its_word_and_what_nobody_wrote_is_none() {
        let state_of = |state: Option<State>| {
            let held = state.map_or(Entry::ERASED, |state| Entry::new(2, state));
            let mut flash = Nor::<4>::holding([Entry::new(1, State::Valid), held]);
            let mut loader = EspIdf::new(otadata(Slots::TWO, false), &layout(3)).unwrap();
            run(loader.slot_state(&mut flash, SlotId::A, SlotId::B)).unwrap()
        };
        assert_eq!(state_of(Some(State::New)), LoaderState::Pending);
        assert_eq!(state_of(Some(State::PendingVerify)), LoaderState::Testing);
        assert_eq!(state_of(Some(State::Valid)), LoaderState::Confirmed);
        for given_up in [State::Invalid, State::Aborted] {
            assert_eq!(state_of(Some(given_up)), LoaderState::Reverted);
        }
        for nobodys in [None, Some(State::Undefined), Some(State::Other(5))] {
            assert_eq!(state_of(nobodys), LoaderState::Unknown, "{nobodys:?}");
        }
    }

    #[test]
    fn the_factory_image_is_confirmed_while_the_bootloader_starts_it() {
        for (entry, state) in
            [(Entry::ERASED, LoaderState::Confirmed), (Entry::new(1, State::Valid), LoaderState::Unknown)]
        {
            let mut flash = Nor::<4>::holding([entry, Entry::ERASED]);
            let mut loader = EspIdf { otadata: otadata(Slots::TWO, true) };
            assert_eq!(run(loader.slot_state(&mut flash, SlotId::A, SlotId::FACTORY)), Ok(state));
        }
    }

    #[test]
    fn a_stale_verdict_is_forgotten_and_the_running_slots_entry_is_not() {
        for (state, stale) in [(State::Aborted, true), (State::PendingVerify, true), (State::Valid, false)] {
            let mut flash = Nor::<4>::holding([Entry::new(1, State::Valid), Entry::new(2, state)]);
            let mut loader = EspIdf::new(otadata(Slots::TWO, false), &layout(3)).unwrap();
            run(loader.forget(&mut flash, SlotId::A, SlotId::B)).unwrap();
            let [running, other] = flash.entries().0;
            assert_eq!((running, other == Entry::ERASED), (Entry::new(1, State::Valid), stale), "{state:?}");
        }
    }

    #[test]
    fn a_refusal_carries_esp_idfs_number() {
        let mut flash = Nor::<4>::holding([Entry::new(1, State::PendingVerify), Entry::ERASED]);
        let mut loader = EspIdf::new(otadata(Slots::TWO, false), &layout(3)).unwrap();
        let refused = |code| Err(Fault::LoaderRefused { code });
        assert_eq!(run(loader.try_next(&mut flash, SlotId::A, SlotId::B)), refused(0x1506));
        assert_eq!(run(loader.try_next(&mut flash, SlotId::A, SlotId::A)), refused(0x1501));
        assert_eq!(run(loader.give_up(&mut flash, SlotId::A)), refused(0x1505));
        assert_eq!(run(loader.switch(&mut flash, SlotId::A, SlotId::FACTORY)), refused(0x105));
        assert_eq!(run(loader.keep(&mut flash, SlotId::FACTORY)), refused(0x102));
        assert_eq!(run(loader.keep(&mut flash, SlotId::A)), Ok(()));
        assert_eq!(run(loader.slot_state(&mut flash, SlotId::A, SlotId::A)), Ok(LoaderState::Confirmed));
    }

    #[test]
    fn the_head_of_an_image_says_all_but_its_length() {
        let bytes = image(&[256, 64], true, "v1.2.3");
        let mut flash = Nor::<4>::holding([Entry::ERASED; 2]).with_sectors(16);
        flash.put(10 * SECTOR, &bytes[..128]);
        let slot = Region::new(10 * SECTOR, SECTOR);
        let head = run(EspImages::identity(&mut flash, slot, Available::Head)).unwrap();
        assert_eq!((head.image_bytes, head.security_counter), (None, Some(7)));
        assert!(matches!(run(EspImages::identity(&mut flash, slot, Available::Whole)), Err(Refusal::FormatInvalid(_))));
        flash.put(10 * SECTOR, &bytes);
        let whole = run(EspImages::identity(&mut flash, slot, Available::Whole)).unwrap();
        assert_eq!(whole, ImageInfo { image_bytes: Some(bytes.len() as u32), ..head });
        assert_eq!(
            (whole.component, whole.link, whole.hardware.as_ref().map_or("", |hardware| hardware.as_str())),
            (Component::App, Link::Any, "esp32c3")
        );
    }
}
