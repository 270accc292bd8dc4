//! `ota sign`: any file becomes an image: our header, padding, the file; and a signature over all of it.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::{Args, ValueEnum};
use ota_pal::header::{BODY_OFFSET_DEFAULT_BYTES, Body};
use ota_pal::{Component, HardwareId, Header, Link, SlotId, Version};
use ring::digest::{SHA256, digest};

use super::private_key::PrivateKey;
use super::{ToolError, is_image, print_line, read, signature_path, write};

/// Between header and body.
const PADDING: u8 = 0;

/// Put a header before a file and sign the result.
#[derive(Debug, Args)]
pub struct Sign {
    /// Private key, PKCS#8 PEM, from `ota keygen`; RSA of 2048 or 3072 bits from OpenSSL.
    #[arg(long)]
    key: PathBuf,
    /// `major.minor.patch`.
    #[arg(long, value_parser = version)]
    version: Version,
    /// The board it is for: 1 to 16 printable ASCII characters.
    #[arg(long, value_parser = hardware)]
    hardware: HardwareId,
    /// What it replaces.
    #[arg(long, value_enum, default_value = "app")]
    component: ComponentName,
    /// Raise it with a release that fixes a hole: no device goes back below it.
    #[arg(long, default_value_t = 0)]
    security_counter: u32,
    /// The same number for all images of a release.
    #[arg(long, default_value_t = 0)]
    release_id: u64,
    /// Where it is loaded to or runs from; 0x for hexadecimal.
    #[arg(long, default_value = "0", value_parser = address)]
    load_address: u32,
    /// The slot it was linked for.
    #[arg(long, value_enum, default_value = "any")]
    link: LinkName,
    /// The file.
    input: PathBuf,
    /// The image; the signature goes to the same name with `.sig`.
    output: PathBuf,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
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
}

fn version(text: &str) -> Result<Version, String> {
    text.parse().map_err(|_| "three numbers with points between, like 2.0.0".to_owned())
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

/// Also by another path, or through a link.
fn is_same_file(one: &Path, other: &Path) -> bool {
    let id = |path: &Path| std::fs::metadata(path).map(|metadata| (metadata.dev(), metadata.ino())).ok();
    one == other || id(one).is_some_and(|one| Some(one) == id(other))
}

impl Sign {
    /// Writes the image and its signature.
    pub fn run(&self) -> Result<(), ToolError> {
        let key = PrivateKey::read(&self.key)?;
        self.check_paths()?;
        let body = read(&self.input)?;
        if is_image(&body) {
            return Err(ToolError::file(
                &self.input,
                &"it is an image of ours already: sign the file that it was made of",
            ));
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

    /// Neither result may take the place of what it is made of.
    fn check_paths(&self) -> Result<(), ToolError> {
        for output in [&self.output, &signature_path(&self.output)] {
            for (source, what) in [(&self.input, "input"), (&self.key, "key")] {
                if is_same_file(source, output) {
                    return Err(ToolError::file(
                        output,
                        &format!("the {what} would be overwritten: name another output"),
                    ));
                }
            }
        }
        Ok(())
    }

    fn image(&self, body: &[u8]) -> Result<Vec<u8>, ToolError> {
        let len = u32::try_from(body.len());
        let len = len.map_err(|_| ToolError::file(&self.input, &format!("{} bytes, at most 4 GiB", body.len())))?;
        let place = Body::new(BODY_OFFSET_DEFAULT_BYTES, len);
        let place = place.map_err(|_| ToolError::file(&self.input, &format!("{len} bytes make no image")))?;
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
            },
            hardware: self.hardware,
            version: self.version,
            security_counter: self.security_counter,
            load_address: self.load_address,
            body,
            release_id: self.release_id,
        }
    }
}
