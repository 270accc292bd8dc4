//! Images of the simulation: whole files with our header, which encodes their behaviour on trial, so that the contents of
//! flash alone decide what runs.

use ota_pal::image::header::{BODY_OFFSET_DEFAULT_BYTES, Body};
use ota_pal::{Component, HardwareId, Header, Link, RollbackCounters, Version};

use crate::rng::Rng;

/// The board of all simulated devices.
pub const BOARD: &str = "board";

/// What an image does when it runs on trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Passes its self-test at once.
    Passes,
    /// Fails its self-test.
    Fails,
    /// Never finishes its self-test.
    Hangs,
}

impl Behaviour {
    /// The behaviour of the image with this header.
    pub fn of(header: &Header) -> Self {
        match header.release_id & 0xFF {
            1 => Self::Fails,
            2 => Self::Hangs,
            _ => Self::Passes,
        }
    }

    const fn release_id(self) -> u64 {
        match self {
            Self::Passes => 0,
            Self::Fails => 1,
            Self::Hangs => 2,
        }
    }
}

/// The name of a board. Panics if it is not valid.
pub fn hardware(board: &str) -> HardwareId {
    HardwareId::new(board).expect("a valid board name")
}

/// The key epoch that the program with this header requires.
pub fn key_epoch(header: &Header) -> u32 {
    (header.release_id >> 8) as u32
}

/// The header of an app of `image_bytes` for [`BOARD`], version 1.0.`patch`, that runs from any slot and requires the floor
/// `asks`.
///
/// `image_bytes` is more than [`BODY_OFFSET_DEFAULT_BYTES`].
pub fn header(patch: u32, image_bytes: u32, behaviour: Behaviour, asks: RollbackCounters) -> Header {
    let body_bytes = image_bytes - BODY_OFFSET_DEFAULT_BYTES;
    Header {
        component: Component::App,
        link: Link::Any,
        hardware: hardware(BOARD),
        version: Version::new(1, 0, patch),
        security_counter: asks.security_counter,
        load_address: 0,
        body: Body::new(BODY_OFFSET_DEFAULT_BYTES, body_bytes).expect("longer than its header"),
        release_id: behaviour.release_id() | u64::from(asks.key_epoch) << 8 | u64::from(patch) << 40,
        system_min: ota_pal::MajorMinor::default(),
    }
}

/// The file of `header`: zeros up to the body, and a body of noise.
pub fn image(header: &Header, rng: &mut Rng) -> Vec<u8> {
    let mut file = header.emit().to_vec();
    file.resize(header.body.offset_bytes() as usize, 0);
    file.extend(rng.bytes(header.body.len_bytes() as usize));
    file
}
