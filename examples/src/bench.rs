//! Test bench for the examples: a flash file in a temporary folder, generated keys, and images that consist of a header and
//! a few bytes. A real device needs none of it.

use std::fs;
use std::path::{Path, PathBuf};

use ota_boot::{ResetCause, VerifyLevel, boot};
use ota_pal::image::header::{BODY_OFFSET_DEFAULT_BYTES, Body};
use ota_pal::{
    Component, FileFlash, Flash, Geometry, HardwareId, Header, Key, KeySet, Layout, Link, Native, NoWatchdog,
    OwnSelector, Reset, Signature, SignatureKind, Size, SlotId, Version, VersionRule, Writer, poll_ready, read_header,
};
use p256::ecdsa::signature::hazmat::PrehashSigner;
use p256::ecdsa::{Signature as Ecdsa, SigningKey};
use p256::pkcs8::{EncodePrivateKey, LineEnding};
use sha2::{Digest, Sha256};

use crate::device::Error;

/// Hardware id of the images.
pub const HARDWARE: &str = "bench";
const FLASH_BYTES: u32 = 256 * 1024;
const BODY_BYTES: usize = 3000;

type Nor = FileFlash<4, 4096>;
type Keys = KeySet<1>;

/// A reset that does nothing.
pub struct NoReset;

impl Reset for NoReset {
    fn reset(&mut self) {}
}

/// A device on the test bench.
pub struct Device {
    folder: PathBuf,
    key: SigningKey,
}

impl Device {
    /// Creates an empty device in a temporary folder.
    pub fn new(name: &str) -> Result<Self, Error> {
        let folder = std::env::temp_dir().join(format!("ota-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        let mut seed = [0; 32];
        fs::File::open("/dev/urandom").and_then(|mut random| std::io::Read::read_exact(&mut random, &mut seed))?;
        Ok(Self { folder, key: SigningKey::from_slice(&seed)? })
    }

    /// Returns its folder, which may hold other files too.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the platform of the program in slot `running`.
    pub fn platform(&self, running: SlotId) -> Result<Native<Nor, Keys, NoReset>, Error> {
        let mut keys = Keys::new();
        keys.add(Key::new("bench", self.key.verifying_key().to_sec1_point(false).as_bytes())?)?;
        let config = ota_pal::DeviceConfig {
            layout: layout()?,
            hardware: HardwareId::new(HARDWARE)?,
            component: Component::App,
            version_rule: VersionRule::Newer,
            security_counter_min: 0,
            key_epoch: 0,
            system_version: ota_pal::Version::default(),
            trial_attempts: ota_pal::TRIAL_ATTEMPTS_DEFAULT,
        };
        let selector = OwnSelector::new(&config.layout, running);
        Ok(Native::from_parts(self.flash()?, keys, NoReset, NoWatchdog, config, selector)?)
    }

    /// Writes the first image to slot A, as a factory does.
    pub fn install(&self, version: &str) -> Result<(), Error> {
        let mut image = image(version)?;
        image.resize(image.len().next_multiple_of(4), 0xFF);
        let at = layout()?.slot(SlotId::A).offset_bytes();
        let mut flash = self.flash()?;
        let written = poll_ready(Flash::write(&mut flash, at, &image)).ok_or("a file never waits")?;
        written.map_err(|error| format!("{error:?}").into())
    }

    /// Writes the private key of the images that the device accepts, for `ota sign`; returns the file.
    pub fn private_key(&self) -> Result<PathBuf, Error> {
        let path = self.folder.join("private.pem");
        let key = p256::SecretKey::from(&self.key);
        fs::write(&path, key.to_pkcs8_pem(LineEnding::LF)?.as_bytes())?;
        Ok(path)
    }

    /// Writes, verifies and activates an image as the agent does, but without a network.
    pub fn activate(&self, version: &str) -> Result<(), Error> {
        let image = image(version)?;
        let digest: [u8; 32] = Sha256::digest(&image).into();
        let signature: Ecdsa = self.key.sign_prehash(&digest)?;
        let der = signature.to_der();
        let mut platform = self.platform(SlotId::A)?;
        let trial = poll_ready(async {
            let mut writer = Writer::begin(&mut platform, Size::Known(image.len() as u32)).await?;
            writer.write(&image).await?;
            let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes: der.as_bytes() };
            writer.finish(Some(&signature), "bench").await?.activate(&mut platform).await
        });
        Ok(trial.ok_or("a file never waits")??)
    }

    /// Runs the boot selector; returns the slot that it starts.
    pub fn boot(&self) -> Result<SlotId, Error> {
        let (mut flash, layout) = (self.flash()?, layout()?);
        let booted = poll_ready(boot(&mut flash, &layout, &mut NoWatchdog, VerifyLevel::Header, ResetCause::Other))
            .ok_or("a file never waits")?;
        Ok(booted.map_err(|error| format!("{error:?}"))?.slot)
    }

    /// Returns the version of the image in `slot`.
    pub fn version(&self, slot: SlotId) -> Result<String, Error> {
        let header = poll_ready(read_header(&mut self.flash()?, layout()?.slot(slot))).ok_or("a file never waits")?;
        Ok(header??.version.to_string())
    }

    fn flash(&self) -> Result<Nor, Error> {
        Ok(Nor::open(&self.folder.join("flash"), FLASH_BYTES)?)
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            eprintln!("cannot remove {}: {error}", self.folder.display());
        }
    }
}

fn layout() -> Result<Layout, Error> {
    Ok(Layout::split(Geometry { word_bytes: 4, erase_bytes: 4096, capacity_bytes: FLASH_BYTES })?)
}

fn image(version: &str) -> Result<Vec<u8>, Error> {
    let header = Header {
        component: Component::App,
        link: Link::Any,
        hardware: HardwareId::new(HARDWARE)?,
        version: version.parse::<Version>()?,
        security_counter: 0,
        load_address: 0,
        body: Body::new(BODY_OFFSET_DEFAULT_BYTES, BODY_BYTES as u32)?,
        release_id: 1,
        system_min: ota_pal::MajorMinor::default(),
    };
    let mut image = header.emit().to_vec();
    image.resize(BODY_OFFSET_DEFAULT_BYTES as usize, 0);
    image.resize(BODY_OFFSET_DEFAULT_BYTES as usize + BODY_BYTES, 0xA5);
    Ok(image)
}
