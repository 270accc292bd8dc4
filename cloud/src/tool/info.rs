//! `ota image info`: prints the header and the digest of an image.

use std::path::Path;

use ota_pal::{Component, Header, Link};
use ring::digest::{SHA256, digest};

use super::{ToolError, print_line, print_note, read};
use crate::release::Head;

/// Prints one `name: value` pair per line; a note if the file has another length than its header states.
pub fn run(path: &Path) -> Result<(), ToolError> {
    let image = read(path)?;
    let header = Header::parse(&image)
        .map_err(|error| ToolError::file(path, &format!("not an image made by `ota sign`: {error:?}")))?;
    let component = match header.component {
        Component::App => "app",
        Component::System => "system",
        Component::Data => "data",
    };
    let link = match header.link {
        Link::Any => "any".to_owned(),
        Link::Only(slot) => format!("{slot:?}").to_lowercase(),
    };
    print_line(format_args!("version: {}", header.version));
    print_line(format_args!("hardware: {}", header.hardware));
    print_line(format_args!("component: {component}"));
    print_line(format_args!("link: {link}"));
    print_line(format_args!("system at least: {}.{}", header.system_min.major, header.system_min.minor));
    print_line(format_args!("security counter: {}", header.security_counter));
    print_line(format_args!("release id: {}", header.release_id));
    print_line(format_args!("load address: {:#010x}", header.load_address));
    print_line(format_args!("body: {} bytes at {}", header.body.len_bytes(), header.body.offset_bytes()));
    print_line(format_args!("file: {} bytes", image.len()));
    if let Err(error) = Head::read(&path.display().to_string(), &image, image.len() as u64).check_length() {
        print_note(error);
    }
    print_line(format_args!("sha256: {}", hex::encode(digest(&SHA256, &image).as_ref())));
    Ok(())
}
