//! `ota image info`: what an image says about itself, and its digest.

use std::path::Path;

use ota_pal::{Component, Header, Link};
use ring::digest::{SHA256, digest};

use super::{Failed, read, say};

/// Prints one `name: value` a line.
pub fn run(path: &Path) -> Result<(), Failed> {
    let image = read(path)?;
    let header = Header::parse(&image).map_err(|error| Failed::file(path, &format!("no image of ours: {error:?}")))?;
    let component = match header.component {
        Component::App => "app",
        Component::System => "system",
        Component::Data => "data",
    };
    let link = match header.link {
        Link::Any => "any".to_owned(),
        Link::Only(slot) => format!("{slot:?}").to_lowercase(),
    };
    say(format_args!("version: {}", header.version));
    say(format_args!("hardware: {}", header.hardware));
    say(format_args!("component: {component}"));
    say(format_args!("link: {link}"));
    say(format_args!("security counter: {}", header.security_counter));
    say(format_args!("release id: {}", header.release_id));
    say(format_args!("load address: {:#010x}", header.load_address));
    say(format_args!("body: {} bytes at {}", header.body.len_bytes(), header.body.offset_bytes()));
    say(format_args!("file: {} bytes", image.len()));
    say(format_args!("sha256: {}", hex::encode(digest(&SHA256, &image).as_ref())));
    Ok(())
}
