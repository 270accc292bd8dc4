//! The flash of an emulated board: a file of 16 MiB. What the factory writes to it, and what a test reads from it. Only while QEMU
//! does not run.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use ota_boot::{Decision, ResetCause, select};
use ota_pal::{BootRecord, Header, Region, SlotId, Trial, Version};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use sha2::{Digest, Sha256};

use crate::certificates::ImageInfo;
use crate::machine::Machine;
use crate::programs::{Programs, Release};
use ota_examples::device::Error;

/// Address of the host, as the board reaches it.
pub const HOST: &str = "10.0.2.2";

/// The flash of one board.
pub struct Flash {
    machine: &'static Machine,
    path: PathBuf,
}

/// The settings of a device, as `ota_firmware::settings` reads them.
#[derive(Clone, Copy, Debug)]
pub struct Settings<'s> {
    /// Name of the thing.
    pub thing: &'s str,
    /// Port of the broker on the host.
    pub port: u16,
    /// Bytes of a block, unless they are the firmware's default.
    pub block_bytes: Option<u32>,
    /// Certificate of the CA, PEM.
    pub ca: &'s Path,
    /// The device's certificate and key.
    pub identity: &'s ImageInfo,
}

/// The image that the boot selector would start.
#[derive(Debug, PartialEq, Eq)]
pub struct Running {
    /// Its slot.
    pub slot: SlotId,
    /// Its version.
    pub version: Version,
    /// SHA-256 of the image in flash.
    pub digest: [u8; 32],
}

impl Flash {
    /// Does what a factory does: erases the flash, writes settings and the image of the factory slot.
    pub fn manufacture(
        path: PathBuf,
        programs: &Programs,
        first: &Release,
        settings: Settings<'_>,
    ) -> Result<Self, Error> {
        let machine = programs.machine();
        let image = programs.image(first, first.slots.first().ok_or("a release without a slot")?);
        let signature = fs::read_to_string(image.with_extension("img.sig"))?;
        let signature = decode(signature.trim()).ok_or("the signature is not base64")?;
        let lines = format!("{}factory-signature={}\n", settings.lines()?, digits(&signature));
        fs::write(&path, vec![0xFF; machine.geometry.capacity_bytes as usize])?;
        let flash = Self { machine, path };
        flash.write(machine.settings.offset_bytes(), lines.as_bytes())?;
        flash.write(machine.layout.slot(SlotId::FACTORY).offset_bytes(), &fs::read(image)?)?;
        Ok(flash)
    }

    /// Path of the file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Changes bytes, as no program of the board does.
    pub fn write(&self, offset_bytes: u32, bytes: &[u8]) -> Result<(), Error> {
        Ok(fs::File::options().write(true).open(&self.path)?.write_all_at(bytes, offset_bytes.into())?)
    }

    /// Sets all bytes of a region.
    pub fn fill(&self, region: Region, byte: u8) -> Result<(), Error> {
        self.write(region.offset_bytes(), &vec![byte; region.len_bytes() as usize])
    }

    /// The boot record.
    pub fn record(&self) -> Result<BootRecord, Error> {
        (self.machine.record)(&self.path)
    }

    /// The image that the boot selector would start.
    pub fn running(&self) -> Result<Running, Error> {
        let record = self.record()?;
        let slot = match select(&record, ResetCause::Other) {
            Decision::Try { counted: Trial::Started { slot, .. }, .. } => slot,
            _ => record.confirmed,
        };
        let bytes = fs::read(&self.path)?;
        let bytes = bytes.get(self.machine.layout.slot(slot).offset_bytes() as usize..).ok_or("a short flash")?;
        let header = Header::parse(bytes)?;
        let image = bytes.get(..header.image_bytes() as usize).ok_or("a long image")?;
        Ok(Running { slot, version: header.version, digest: Sha256::digest(image).into() })
    }
}

impl Settings<'_> {
    fn lines(&self) -> Result<String, Error> {
        let Self { thing, port, block_bytes, ca, identity } = self;
        let certificate = |path: &Path| -> Result<String, Error> { Ok(digits(&CertificateDer::from_pem_file(path)?)) };
        let (ca, own) = (certificate(ca)?, certificate(&identity.certificate)?);
        let key = digits(PrivatePkcs8KeyDer::from_pem_file(&identity.key)?.secret_pkcs8_der());
        let blocks = block_bytes.map(|bytes| format!("block-bytes={bytes}\n")).unwrap_or_default();
        Ok(format!("thing={thing}\nhost={HOST}\nport={port}\nca={ca}\ncertificate={own}\nkey={key}\n{blocks}"))
    }
}

fn digits(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// SHA-256 of a file.
pub fn digest(path: &Path) -> Result<[u8; 32], Error> {
    Ok(Sha256::digest(fs::read(path)?).into())
}

/// Decodes base64 as `ota sign` writes it.
fn decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = [0; ota_pal::SIGNATURE_BYTES_MAX];
    let len = ota_jobs::base64::decode(text.as_bytes(), &mut bytes).ok()?;
    Some(bytes[..len].to_vec())
}
