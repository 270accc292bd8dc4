//! Images with a header, for tests of releases and of hardware.

#![allow(dead_code)] // each test program uses a part of it

use ota_pal::image::header::Body;
use ota_pal::{Component, HardwareId, Header, Link, MajorMinor, Version};

use crate::common::TestService;

/// The header of an app for the hardware `board-7`.
pub fn header(major: u16, security_counter: u32) -> Header {
    Header {
        component: Component::App,
        link: Link::Any,
        hardware: HardwareId::new("board-7").unwrap(),
        version: Version::new(major, 0, 0),
        security_counter,
        load_address: 0,
        body: Body::new(512, 100).unwrap(),
        release_id: 0,
        system_min: MajorMinor::default(),
    }
}

/// The image of a header.
pub fn image(header: &Header) -> Vec<u8> {
    let mut bytes = header.emit().to_vec();
    bytes.resize(header.image_bytes() as usize, 0xA5);
    bytes
}

/// Uploads an image under this name; returns its id.
pub async fn upload(world: &TestService, name: &str, header: &Header) -> String {
    let answer = world.admin("PUT", &format!("/api/images/{name}"), "ota-signature: MEUC\r\n", &image(header)).await;
    let json: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    json["id"].as_str().unwrap().to_owned()
}
