//! A device that is nothing but its flash file. Every step opens the file anew, as a reset does.
#![allow(clippy::unwrap_used, dead_code, missing_docs)]

use std::path::PathBuf;

use ota_boot::{Boot, BootError, Cause, Scrutiny, boot};
use ota_pal::header::Body;
use ota_pal::{
    BootRecord, Component, Config, Digest, FileFlash, Flash, Geometry, HardwareId, Header, Key, KeySet, Layout, Link,
    Native, NoWatchdog, OwnSelector, Platform, Reset, Signature, SignatureKind, SlotId, Version, VersionRule, now,
};
use p256::ecdsa::SigningKey;
use p256::ecdsa::signature::hazmat::PrehashSigner;
use sha2::{Digest as _, Sha256};

const GEOMETRY: Geometry = Geometry { word_bytes: 8, erase_bytes: 1024, capacity_bytes: 26 * 1024 };
pub const BLOCK_BYTES: usize = 512;

pub type Nor = FileFlash<8, 1024>;

pub struct NoReset;

impl Reset for NoReset {
    fn reset(&mut self) {}
}

/// A device that is nothing but its flash file.
pub struct Device {
    path: PathBuf,
    layout: Layout,
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Device {
    /// A new device of two slots, with version 1.0.1 in slot A.
    pub fn new(test: &str) -> Self {
        Self::made(test, SlotId::A, Layout::split(GEOMETRY).unwrap())
    }

    /// A new device of three slots and a factory's, with version 1.0.1 in that.
    pub fn with_factory(test: &str) -> Self {
        Self::made(test, SlotId::FACTORY, Layout::divide(GEOMETRY, 3, true).unwrap())
    }

    fn made(test: &str, slot: SlotId, layout: Layout) -> Self {
        let path = std::env::temp_dir().join(format!("ota-boot-{}-{test}", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let device = Self { path, layout };
        device.burn(slot, &image(1));
        device
    }

    pub fn flash(&self) -> Nor {
        Nor::open(&self.path, GEOMETRY.capacity_bytes).unwrap()
    }

    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// Writes an image as a factory does.
    pub fn burn(&self, slot: SlotId, image: &[u8]) {
        let (mut flash, at) = (self.flash(), self.layout().slot(slot).offset_bytes());
        let mut padded = image.to_vec();
        padded.resize(image.len().next_multiple_of(8), 0xFF);
        now(Flash::write(&mut flash, at, &padded)).unwrap().unwrap();
    }

    /// Clears a byte of a slot behind everybody's back.
    pub fn damage(&self, slot: SlotId, offset_bytes: u32) {
        let at = self.layout().slot(slot).offset_bytes() + offset_bytes;
        let mut bytes = std::fs::read(&self.path).unwrap();
        bytes[at as usize] ^= 0x55;
        std::fs::write(&self.path, bytes).unwrap();
    }

    pub fn boot(&self) -> Result<Boot, BootError> {
        self.boot_with(Scrutiny::Header)
    }

    pub fn boot_with(&self, scrutiny: Scrutiny) -> Result<Boot, BootError> {
        now(boot(&mut self.flash(), &self.layout(), &mut NoWatchdog, scrutiny)).unwrap()
    }

    pub fn record(&self) -> BootRecord {
        now(ota_pal::BootRecords::new(&self.layout()).load(&mut self.flash())).unwrap().unwrap()
    }

    /// The program in slot `running` starts.
    pub fn start(&self, running: SlotId) -> Native<Nor, KeySet<1>, NoReset> {
        let public = signing_key().verifying_key().to_sec1_point(false);
        let mut keys = KeySet::new();
        keys.add(Key::new("release", public.as_bytes()).unwrap()).unwrap();
        let config = Config {
            layout: self.layout(),
            hardware: HardwareId::new("board").unwrap(),
            component: Component::App,
            version_rule: VersionRule::Newer,
            security_counter_min: 0,
            key_epoch: 0,
            trial_attempts: 3,
        };
        let selector = OwnSelector::new(&config.layout, running);
        Native::new(self.flash(), keys, NoReset, NoWatchdog, config, selector).unwrap()
    }

    /// Receives and activates version 1.0.`patch` from slot `running`.
    pub fn update(&self, running: SlotId, patch: u32) -> Digest {
        let image = image(patch);
        let mut program = self.start(running);
        let begun = now(program.begin(image.len() as u32, 0)).unwrap().unwrap();
        for (index, block) in image.chunks(BLOCK_BYTES).enumerate() {
            now(program.write((index * BLOCK_BYTES) as u32, block)).unwrap().unwrap();
        }
        let der = sign(&image);
        let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: Some("release"), bytes: &der };
        let digest = now(program.seal(Some(&signature), "job")).unwrap().unwrap();
        now(program.activate(begun.slot, &digest, image.len() as u32)).unwrap().unwrap();
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
    };
    let mut image = header.emit().to_vec();
    image.resize(512, 0);
    image.resize(header.image_bytes() as usize, patch as u8);
    image
}

/// Slot, patch level and cause of the next boot.
pub fn booted(device: &Device) -> (SlotId, u32, Cause) {
    let boot = device.boot().unwrap();
    (boot.slot, boot.header.version.patch, boot.cause)
}
