//! Devices with the project's own boot selector for `ota_pal::platform::conformance`, over any flash.

use ota_boot::{ResetCause, VerifyLevel, boot, boot_staged};
use ota_pal::TRIAL_ATTEMPTS_DEFAULT;
use ota_pal::platform::conformance::TestBoard;
use ota_pal::{
    Component, ConcatFlash, Flash, Geometry, Layout, Native, NoWatchdog, OwnSelector, RecordRegions, Region, Reset,
    RollbackCounters, SignatureKind, SlotId, VersionRule,
};

use crate::image::{BOARD, Behaviour, hardware, header, image};
use crate::nor::{CHIPS, Nor, View};
use crate::rng::Rng;
use crate::verifier::{Signer, SimVerifier};

/// A slot of a store, and where its images run.
pub const STORE_SLOT_BYTES: u32 = 16_384;

/// A reset that does nothing: the test starts the next boot.
pub struct Button;

impl Reset for Button {
    fn reset(&mut self) {}
}

/// A device with the project's own boot selector, over any flash that can be reopened.
pub struct Own<F> {
    /// Opens the flash; erases it first if the argument is true.
    open: Box<dyn FnMut(bool) -> F>,
    layout: Layout,
    /// The execution region, if images do not run from their slots.
    executing: Option<Region>,
    signer: Signer,
}

fn numbered(number: u32) -> Vec<u8> {
    let image_bytes = 9_000 + number;
    image(
        &header(number, image_bytes, Behaviour::Passes, RollbackCounters::default()),
        &mut Rng::new(u64::from(number)),
    )
}

impl<F: Flash + 'static> Own<F> {
    /// A device whose two slots run in place and fill the flash that the records leave free.
    pub fn new(mut open: impl FnMut(bool) -> F + 'static) -> Self {
        let layout = Layout::split(Geometry::of(&open(true))).expect("room for two slots");
        Self { open: Box::new(open), layout, executing: None, signer: Signer::new("ours", true) }
    }
}

/// The flash of a controller: records, and where images run.
type Front = View<8, 2048>;

/// A device whose images wait in a store of their own, behind the controller's flash.
pub fn staged<S: Flash + 'static>(mut open: impl FnMut(bool) -> S + 'static) -> Own<ConcatFlash<Front, S>> {
    let sector = <ConcatFlash<Front, S>>::ERASE_SIZE as u32;
    let [boot, journal, monotonic] = [0, 2, 4].map(|at| Region::new(at * sector, 2 * sector));
    let executing = Region::new(6 * sector, STORE_SLOT_BYTES);
    let front_bytes = 6 * sector + STORE_SLOT_BYTES;
    let chip = CHIPS[3];
    let sectors = front_bytes as usize / chip.sector_bytes;
    let mut nor = Nor::new(chip, sectors);
    let mut open = move |erased| {
        if erased {
            nor = Nor::new(chip, sectors);
        }
        ConcatFlash::new(View(nor.clone()), open(erased)).expect("the front is whole sectors")
    };
    let slots = [0, 1].map(|slot| Region::new(front_bytes + slot * STORE_SLOT_BYTES, STORE_SLOT_BYTES));
    let records = RecordRegions { journal, boot, monotonic };
    let layout = Layout::new(Geometry::of(&open(true)), &slots, records).expect("room for two slots");
    Own { open: Box::new(open), layout, executing: Some(executing), signer: Signer::new("ours", true) }
}

impl<F: Flash + 'static> TestBoard for Own<F> {
    type Platform = Native<F, SimVerifier, Button>;

    async fn make(&mut self) {
        let (mut flash, mut bytes) = ((self.open)(true), numbered(1));
        bytes.resize(bytes.len().next_multiple_of(32), 0xFF);
        let region = self.executing.unwrap_or(self.layout.slot(SlotId::A));
        let written = flash.write(region.offset_bytes(), &bytes).await;
        written.expect("an erased slot takes an image");
    }

    async fn boot(&mut self) -> Self::Platform {
        let mut flash = (self.open)(false);
        let booted = match self.executing {
            Some(executing) => {
                boot_staged(
                    &mut flash,
                    &self.layout,
                    executing,
                    &mut NoWatchdog,
                    VerifyLevel::Header,
                    ResetCause::Other,
                )
                .await
            }
            None => boot(&mut flash, &self.layout, &mut NoWatchdog, VerifyLevel::Header, ResetCause::Other).await,
        };
        let running = booted.expect("there is an image").slot;
        let config = ota_pal::DeviceConfig {
            layout: self.layout,
            hardware: hardware(BOARD),
            component: Component::App,
            version_rule: VersionRule::Newer,
            security_counter_min: 0,
            key_epoch: 0,
            system_version: ota_pal::Version::default(),
            trial_attempts: TRIAL_ATTEMPTS_DEFAULT,
        };
        let selector = OwnSelector::new(&self.layout, running);
        Native::from_parts(flash, self.signer.verifier(), Button, NoWatchdog, config, selector)
            .expect("the layout fits")
    }

    fn image(&self, number: u32) -> Vec<u8> {
        numbered(number)
    }

    fn sign(&self, image: &[u8]) -> (SignatureKind, Vec<u8>) {
        (SignatureKind::Sha256Ecdsa, self.signer.sign(image))
    }

    fn trial_boots(&self) -> u32 {
        TRIAL_ATTEMPTS_DEFAULT.into()
    }
}
