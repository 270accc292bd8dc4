//! A device whose whole state is its flash file. Every step opens the file again, as after a reset.
#![allow(clippy::unwrap_used, dead_code, missing_docs)]

pub mod watched;

use std::path::PathBuf;

use ota_boot::{Boot, BootContext, BootError, BootReason, ResetCause, VerifyLevel, boot, boot_staged};
use ota_pal::image::header::Body;
use ota_pal::{
    BootRecord, Component, DeviceConfig, Digest, FileFlash, Flash, Geometry, HardwareId, Header, Key, KeySet, Layout,
    Link, Native, NoWatchdog, OwnSelector, Region, Reset, Signature, SignatureKind, SlotId, Version, VersionRule,
    poll_ready,
};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use sha2::{Digest as _, Sha256};

const GEOMETRY: Geometry = Geometry { word_bytes: 8, erase_bytes: 1024, capacity_bytes: 26 * 1024 };
/// Region from which staged images run: behind everything else, five sectors as the slots.
pub const EXECUTING: Region = Region::new(GEOMETRY.capacity_bytes, 5 * 1024);
pub const BLOCK_BYTES: usize = 512;

pub type Nor = FileFlash<8, 1024>;

pub struct NoReset;

impl Reset for NoReset {
    fn reset(&mut self) {}
}

/// A device whose whole state is its flash file.
pub struct Device {
    path: PathBuf,
    layout: Layout,
    staged: bool,
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Device {
    /// A new device of two slots, with version 1.0.1 in slot A.
    pub fn new(test: &str) -> Self {
        let device = Self::made(test, Layout::split(GEOMETRY).unwrap(), false);
        device.burn(SlotId::A, &image(1));
        device
    }

    /// A new device of three slots and a factory slot that holds version 1.0.1.
    pub fn with_factory(test: &str) -> Self {
        let device = Self::made(test, Layout::divide(GEOMETRY, 3, true).unwrap(), false);
        device.burn(SlotId::FACTORY, &image(1));
        device
    }

    /// A new device of three slots that only store images, with version 1.0.1 in the executing region and an optional
    /// factory slot.
    pub fn staged(test: &str, factory: bool) -> Self {
        let device = Self::made(test, Layout::divide(GEOMETRY, 3, factory).unwrap(), true);
        device.burn_at(EXECUTING, &image(1));
        device
    }

    fn made(test: &str, layout: Layout, staged: bool) -> Self {
        let path = std::env::temp_dir().join(format!("ota-boot-{}-{test}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        Self { path, layout, staged }
    }

    pub fn flash(&self) -> Nor {
        Nor::open(&self.path, GEOMETRY.capacity_bytes + EXECUTING.len_bytes()).unwrap()
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Writes an image as a factory does.
    pub fn burn(&self, slot: SlotId, image: &[u8]) {
        self.burn_at(self.layout().slot(slot), image);
    }

    pub fn burn_at(&self, region: Region, image: &[u8]) {
        let (mut flash, at) = (self.flash(), region.offset_bytes());
        let mut padded = image.to_vec();
        padded.resize(image.len().next_multiple_of(8), 0xFF);
        poll_ready(Flash::write(&mut flash, at, &padded)).unwrap().unwrap();
    }

    /// Clears a byte of a slot without going through the agent.
    pub fn damage(&self, slot: SlotId, offset_bytes: u32) {
        self.damage_at(self.layout().slot(slot), offset_bytes);
    }

    pub fn damage_at(&self, region: Region, offset_bytes: u32) {
        let at = region.offset_bytes() + offset_bytes;
        let mut bytes = std::fs::read(&self.path).unwrap();
        bytes[at as usize] ^= 0x55;
        std::fs::write(&self.path, bytes).unwrap();
    }

    pub fn boot(&self) -> Result<Boot, BootError> {
        self.boot_with(VerifyLevel::Header)
    }

    pub fn boot_with(&self, verify_level: VerifyLevel) -> Result<Boot, BootError> {
        self.boot_on(&mut self.flash(), verify_level).unwrap()
    }

    /// Boots over this flash; `None` if the boot is interrupted.
    pub fn boot_on<F: Flash>(&self, flash: &mut F, verify_level: VerifyLevel) -> Option<Result<Boot, BootError>> {
        self.boot_in(flash, verify_level, ResetCause::Other.into())
    }

    fn boot_in<F: Flash>(
        &self,
        flash: &mut F,
        verify_level: VerifyLevel,
        context: BootContext,
    ) -> Option<Result<Boot, BootError>> {
        let (layout, watchdog) = (&self.layout, &mut NoWatchdog);
        match self.staged {
            true => poll_ready(boot_staged(flash, layout, EXECUTING, watchdog, verify_level, context)),
            false => poll_ready(boot(flash, layout, watchdog, verify_level, context)),
        }
    }

    /// Boots as a system of this release does; returns slot, patch level and cause.
    pub fn boot_from_system(&self, system_release: u64) -> (SlotId, u32, BootReason) {
        let context = BootContext { reset_cause: ResetCause::Other, system_release };
        let boot = self.boot_in(&mut self.flash(), VerifyLevel::Header, context).unwrap().unwrap();
        (boot.slot, boot.header.version.patch, boot.cause)
    }

    /// Returns the first `len` bytes of a region.
    pub fn held(&self, region: Region, len: usize) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()[region.offset_bytes() as usize..][..len].to_vec()
    }

    pub fn record(&self) -> BootRecord {
        poll_ready(ota_pal::BootRecords::new(&self.layout()).load(&mut self.flash())).unwrap().unwrap()
    }

    /// Starts the program in slot `running`.
    pub fn start(&self, running: SlotId) -> Native<Nor, KeySet<1>, NoReset> {
        let public = signing_key().verifying_key().to_sec1_point(false);
        let mut keys = KeySet::new();
        keys.add(Key::new("release", public.as_bytes()).unwrap()).unwrap();
        let config = DeviceConfig {
            layout: self.layout(),
            hardware: HardwareId::new("board").unwrap(),
            component: Component::App,
            version_rule: VersionRule::Newer,
            security_counter_min: 0,
            key_epoch: 0,
            system_version: ota_pal::Version::default(),
            trial_attempts: 3,
        };
        let selector = OwnSelector::new(&config.layout, running);
        Native::from_parts(self.flash(), keys, NoReset, NoWatchdog, config, selector).unwrap()
    }

    /// Receives and activates version 1.0.`patch` from slot `running`.
    pub fn update(&self, running: SlotId, patch: u32) -> Digest {
        let image = image(patch);
        let mut program = self.start(running);
        let begun = poll_ready(program.begin(image.len() as u32, 0)).unwrap().unwrap();
        for (index, block) in image.chunks(BLOCK_BYTES).enumerate() {
            poll_ready(program.write((index * BLOCK_BYTES) as u32, block)).unwrap().unwrap();
        }
        let der = sign(&image);
        let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: Some("release"), bytes: &der };
        let digest = poll_ready(program.verify(Some(&signature), "job")).unwrap().unwrap();
        poll_ready(program.activate(begun.slot, &digest, image.len() as u32)).unwrap().unwrap();
        digest
    }
}

pub fn signing_key() -> SigningKey {
    SigningKey::from_slice(&Sha256::digest("release key of this run")).unwrap()
}

pub fn sign(image: &[u8]) -> Vec<u8> {
    let signature: p256::ecdsa::Signature = signing_key().sign_prehash(&Sha256::digest(image)).unwrap();
    signature.to_der().as_bytes().to_vec()
}

pub fn image(patch: u32) -> Vec<u8> {
    let header = Header {
        component: Component::App,
        link: Link::Any,
        hardware: HardwareId::new("board").unwrap(),
        version: Version::new(1, 0, patch),
        security_counter: 0,
        load_address: 0,
        body: Body::new(512, 3333).unwrap(),
        release_id: u64::from(patch),
        system_min: ota_pal::MajorMinor::default(),
    };
    let mut image = header.emit().to_vec();
    image.resize(512, 0);
    image.resize(header.image_bytes() as usize, patch as u8);
    image
}

/// Boots, and returns slot, patch level and cause.
pub fn booted(device: &Device) -> (SlotId, u32, BootReason) {
    let boot = device.boot().unwrap();
    (boot.slot, boot.header.version.patch, boot.cause)
}
