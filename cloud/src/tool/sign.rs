//! `ota sign`: makes an image from any file (header, padding, file) and signs all of it.

use std::ops::RangeInclusive;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use ota_pal::image::header::{BODY_OFFSET_DEFAULT_BYTES, Body};
use ota_pal::{Component, HEADER_BYTES, HardwareId, Header, Link, MajorMinor, SlotId, Version};
use ring::digest::{SHA256, digest};

use super::private_key::PrivateKey;
use super::{ToolError, is_image, print_line, read, signature_path, write};

/// Starts of a body: behind the header, and not so far that a mistake fills a slot with padding.
const BODY_OFFSETS: RangeInclusive<i64> = HEADER_BYTES as i64..=65_536;
/// Fill byte between header and body.
const PADDING: u8 = 0;

/// Add an image header to a file and sign the result
#[derive(Debug, Args)]
pub struct Sign {
    /// Private key, PKCS#8 PEM, from `ota keygen`; or RSA of 2048 or 3072 bits from OpenSSL
    #[arg(long)]
    key: PathBuf,
    /// Version, `major.minor.patch`
    #[arg(long, value_parser = version)]
    version: Version,
    /// Hardware id of the board: 1 to 16 printable ASCII characters
    #[arg(long, value_parser = hardware)]
    hardware: HardwareId,
    /// Component that the image replaces
    #[arg(long, value_enum, default_value = "app")]
    component: ComponentName,
    /// Lowest version of the system that the app runs on, `major.minor`: devices with an earlier one refuse the image
    #[arg(long, value_parser = major_minor)]
    system_min: Option<MajorMinor>,
    /// Security counter; increase it with a release that fixes a vulnerability: devices refuse a lower value
    #[arg(long, default_value_t = 0)]
    security_counter: u32,
    /// Release id, the same number for all images of a release
    #[arg(long, default_value_t = 0)]
    release_id: u64,
    /// Address that the image is loaded to or runs from; 0x for hexadecimal
    #[arg(long, default_value = "0", value_parser = address)]
    load_address: u32,
    /// Slot that the image is linked for
    #[arg(long, value_enum, default_value = "any")]
    link: LinkName,
    /// Where the body starts in the image, 64 to 65536 bytes: a program that runs in place has its vector table there, which needs
    /// the alignment of its size
    #[arg(long, default_value_t = BODY_OFFSET_DEFAULT_BYTES, value_parser = clap::value_parser!(u32).range(BODY_OFFSETS))]
    body_offset: u32,
    /// Input file
    input: PathBuf,
    /// Output image; the signature is written to the same name with `.sig`
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum ComponentName {
    App,
    System,
    Data,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LinkName {
    Any,
    A,
    B,
    C,
    D,
    Factory,
}

fn version(text: &str) -> Result<Version, String> {
    text.parse().map_err(|_| "three numbers separated by dots, for example 2.0.0".to_owned())
}

fn major_minor(text: &str) -> Result<MajorMinor, String> {
    text.parse().map_err(|_| "two numbers separated by a dot, for example 2.0".to_owned())
}

fn hardware(text: &str) -> Result<HardwareId, String> {
    HardwareId::new(text).map_err(|_| "1 to 16 printable ASCII characters".to_owned())
}

fn address(text: &str) -> Result<u32, String> {
    let parsed = match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16),
        None => text.parse(),
    };
    parsed.map_err(|error| error.to_string())
}

/// Compares files, not paths: also through links.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    one == other || id(one).is_some_and(|one| Some(one) == id(other))
}

impl Sign {
    /// Writes the image and its signature.
    pub fn run(&self) -> Result<(), ToolError> {
        let key = PrivateKey::read(&self.key)?;
        self.check_paths()?;
        if self.system_min.is_some() && self.component != ComponentName::App {
            return Err(ToolError::new("--system-min is for images of the component app"));
        }
        let body = read(&self.input)?;
        if is_image(&body) {
            return Err(ToolError::file(&self.input, &"it has an image header already; sign the original file"));
        }
        let image = self.image(&body)?;
        let digest = digest(&SHA256, &image);
        let text = STANDARD.encode(key.sign(&image)?);
        write(&self.output, &image)?;
        write(&signature_path(&self.output), format!("{text}\n").as_bytes())?;
        print_line(format_args!(
            "{} of {} bytes, sha256 {}",
            self.output.display(),
            image.len(),
            hex::encode(digest.as_ref())
        ));
        Ok(())
    }

    /// Checks that no output overwrites an input.
    fn check_paths(&self) -> Result<(), ToolError> {
        for output in [&self.output, &signature_path(&self.output)] {
            for (source, what) in [(&self.input, "input"), (&self.key, "key")] {
                if is_same_file(source, output) {
                    return Err(ToolError::file(
                        output,
                        &format!("the {what} would be overwritten; choose another output"),
                    ));
                }
            }
        }
        Ok(())
    }

    fn image(&self, body: &[u8]) -> Result<Vec<u8>, ToolError> {
        let len = u32::try_from(body.len());
        let len = len.map_err(|_| ToolError::file(&self.input, &format!("{} bytes, at most 4 GiB", body.len())))?;
        let place = Body::new(self.body_offset, len);
        let place =
            place.map_err(|_| ToolError::file(&self.input, &format!("{len} bytes are not a valid body length")))?;
        let header = self.header(place).emit();
        let mut image = vec![PADDING; place.offset_bytes() as usize];
        image[..header.len()].copy_from_slice(&header);
        image.extend_from_slice(body);
        Ok(image)
    }

    fn header(&self, body: Body) -> Header {
        Header {
            component: match self.component {
                ComponentName::App => Component::App,
                ComponentName::System => Component::System,
                ComponentName::Data => Component::Data,
            },
            link: match self.link {
                LinkName::Any => Link::Any,
                LinkName::A => Link::Only(SlotId::A),
                LinkName::B => Link::Only(SlotId::B),
                LinkName::C => Link::Only(SlotId::C),
                LinkName::D => Link::Only(SlotId::D),
                LinkName::Factory => Link::Only(SlotId::FACTORY),
            },
            hardware: self.hardware,
            version: self.version,
            security_counter: self.security_counter,
            load_address: self.load_address,
            body,
            release_id: self.release_id,
            system_min: self.system_min.unwrap_or_default(),
        }
    }
}
