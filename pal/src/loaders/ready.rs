//! A boot control for a blocking platform. Loaders are written once, for async drivers; over a blocking one no operation of theirs
//! waits, so that it is complete when it was polled once.

use core::future::Future;

use embedded_storage::nor_flash::NorFlashErrorKind;

use super::super::flash::{Flash, poll_ready};
use super::super::native::boot_control::{BootControl, ImageFormat};
use crate::blocking::flash::Flash as BlockingFlash;
use crate::blocking::native::boot_control as blocking;
use crate::fault::Fault;
use crate::image::identity::{Available, ImageInfo};
use crate::image::slot::SlotId;
use crate::platform::boot::{BootStatus, Change};
use crate::platform::hooks::Watchdog;
use crate::refusal::Refusal;
use crate::store::boot_record::BootRecord;
use crate::store::layout::Layout;
use crate::store::region::Region;

/// An async boot control, such as a [`LoaderBridge`](super::bridge::LoaderBridge), for
/// [`blocking::Native`](crate::blocking::Native). Guarantees and errors are those of the boot control inside.
///
/// It must wait for nothing but its flash, as all in this crate; another one panics.
#[derive(Debug)]
pub struct Ready<B>(pub B);

fn ready<T>(future: impl Future<Output = T>) -> T {
    poll_ready(future).expect("only the flash is waited for, and its driver blocks")
}

impl<B: BootControl> blocking::BootControl for Ready<B> {
    type Format = Ready<B::Format>;

    const ERASES_DOWNLOADS: bool = B::ERASES_DOWNLOADS;
    const STARTS_ANY_IMAGE: bool = B::STARTS_ANY_IMAGE;

    fn load<F: BlockingFlash, W: Watchdog>(
        &mut self,
        flash: &mut F,
        layout: &Layout,
        watchdog: &mut W,
    ) -> Result<BootStatus, Fault> {
        ready(self.0.load(&mut Waited(flash), layout, watchdog))
    }

    fn store<F: BlockingFlash>(
        &mut self,
        flash: &mut F,
        layout: &Layout,
        record: &BootRecord,
        change: Change,
    ) -> Result<(), Fault> {
        ready(self.0.store(&mut Waited(flash), layout, record, change))
    }

    fn vacate<F: BlockingFlash>(&mut self, flash: &mut F, running: SlotId, slot: SlotId) -> Result<(), Fault> {
        ready(self.0.vacate(&mut Waited(flash), running, slot))
    }

    fn region(&self, layout: &Layout, slot: SlotId) -> Region {
        self.0.region(layout, slot)
    }
}

impl<I: ImageFormat> blocking::ImageFormat for Ready<I> {
    fn identity<F: BlockingFlash>(flash: &mut F, region: Region, extent: Available) -> Result<ImageInfo, Refusal> {
        ready(I::identity(&mut Waited(flash), region, extent))
    }
}

/// A blocking flash whose futures are ready.
struct Waited<'f, F>(&'f mut F);

impl<F: BlockingFlash> Flash for Waited<'_, F> {
    const READ_SIZE: usize = F::READ_SIZE;
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn capacity(&self) -> usize {
        self.0.capacity()
    }

    async fn read(&mut self, offset_bytes: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        self.0.read(offset_bytes, out)
    }

    async fn write(&mut self, offset_bytes: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        self.0.write(offset_bytes, bytes)
    }

    async fn erase(&mut self, from_bytes: u32, to_bytes: u32) -> Result<(), NorFlashErrorKind> {
        self.0.erase(from_bytes, to_bytes)
    }

    async fn sync(&mut self) -> Result<(), NorFlashErrorKind> {
        self.0.sync()
    }
}

#[cfg(all(test, feature = "esp-idf"))]
mod tests {
    use super::super::super::testing::{Op, Ram, public_key, run, sha256, sign, signing_key};
    use super::super::bridge::LoaderBridge;
    use super::super::esp_idf::testing::image;
    use super::super::esp_idf::{EspIdf, OtaData, Slots};
    use super::*;
    use crate::store::layout::{Geometry, RecordRegions};
    use crate::{DeviceConfig, KeySet, NoWatchdog, Reset, Signature, SignatureKind, Trial, asynchronous, blocking};
    use core::convert::identity;
    use std::vec::Vec;

    const SECTOR: u32 = 0x1000;

    type Nor = Ram<4, 4, { SECTOR as usize }>;

    struct NoReset;

    impl Reset for NoReset {
        fn reset(&mut self) {}
    }

    /// A flash with an image in slot A, and the parts of its platform.
    fn parts() -> (Nor, KeySet<1>, DeviceConfig, LoaderBridge<EspIdf>) {
        let mut flash = Nor::new(16);
        let region = |first: u32, sectors: u32| Region::new(first * SECTOR, sectors * SECTOR);
        let records = RecordRegions { boot: region(4, 2), journal: region(6, 2), monotonic: region(8, 2) };
        let layout = Layout::new(Geometry::of(&flash), &[region(10, 2), region(12, 2)], records).unwrap();
        run(Flash::write(&mut flash, 10 * SECTOR, &image(&[256], true, "1.0.0"))).unwrap();
        let otadata = OtaData::new::<Nor>(region(1, 2), Slots::TWO, false).unwrap();
        let mut keys = KeySet::new();
        keys.add(public_key("key", &signing_key("key"))).unwrap();
        let bridge = LoaderBridge::in_place(EspIdf::new(otadata, &layout).unwrap(), &layout, SlotId::A);
        (flash, keys, DeviceConfig::new(layout, "esp32c3").unwrap(), bridge)
    }

    /// Receives, verifies and activates an image; `$run` returns the result of a step.
    macro_rules! update {
        ($platform:expr, $run:ident) => {{
            let (mut platform, new) = ($platform.unwrap(), image(&[256, 5000], true, "1.0.1"));
            let bytes = sign(&signing_key("key"), &sha256(&new));
            $run(platform.begin(new.len() as u32, 0)).unwrap();
            $run(platform.write(0, &new)).unwrap();
            let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: &bytes };
            let digest = $run(platform.verify(Some(&signature), "job-7")).unwrap();
            $run(platform.activate(SlotId::B, &digest, new.len() as u32)).unwrap();
            $run(platform.boot_state()).unwrap().trial
        }};
    }

    #[test]
    fn a_blocking_platform_makes_the_same_changes_as_an_async_one() {
        let (mut flash, keys, config, bridge) = parts();
        let platform = asynchronous::Native::from_parts(&mut flash, keys, NoReset, NoWatchdog, config, bridge);
        let trial = update!(platform, run);
        assert!(matches!(trial, Trial::Pending { slot: SlotId::B, .. }), "{trial:?}");
        let (mut same, keys, config, bridge) = parts();
        let platform = blocking::Native::from_parts(&mut same, keys, NoReset, NoWatchdog, config, Ready(bridge));
        assert_eq!(update!(platform, identity), trial);
        let writes: fn(&Nor) -> (&[u8], &Vec<Op>) = |flash| (&flash.bytes, &flash.ops);
        assert!(writes(&same) == writes(&flash), "{:?}\n{:?}", same.ops, flash.ops);
    }
}
