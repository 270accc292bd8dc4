//! The agent on a board, as in `docs/board.md`. A library without `std`, so that the compiler checks whether it fits a
//! microcontroller; `self_test` and `subscribe` run on a host.
#![no_std]

use minimq::{Buffers, ConfigBuilder};
// For an async flash driver take the names of `ota_agent::prelude` and `ota_pal`, and await `Agent::start`.
use ota_agent::blocking::prelude::*;
use ota_pal::blocking::{Flash, Native};
use ota_pal::{DeviceConfig, Geometry, KeySet, Layout, Reset, SlotId};

/// The layout of a flash of 1 MiB; the boot selector uses the same constant.
pub const LAYOUT: Layout = match Layout::split(Geometry { word_bytes: 4, erase_bytes: 4096, capacity_bytes: 1 << 20 }) {
    Ok(layout) => layout,
    Err(_) => panic!("checked by the compiler"),
};

/// The drivers of the board.
pub struct Board<F, N, R> {
    /// `ota_pal::Blocking(driver)`.
    pub flash: F,
    /// Makes connections, with TLS.
    pub network: N,
    /// Resets to the boot selector.
    pub reset: R,
    /// The slot that this program runs from.
    pub running: SlotId,
    /// Differs at every boot.
    pub seed: u64,
}

/// Runs the agent; returns `None` if a constant below or the boot record is invalid.
pub async fn update<F, N, R, A>(board: Board<F, N, R>, public_key: &[u8], application: A) -> Option<()>
where
    F: Flash,
    N: Connector,
    R: Reset,
    A: Application,
{
    let Board { flash, network: connector, reset, running, seed } = board;
    let config = DeviceConfig::new(LAYOUT, "my-board").ok()?; // as in `ota sign --hardware my-board`
    let keys = KeySet::single("release", public_key).ok()?;
    let platform = Native::new(flash, keys, reset, config, running).ok()?;

    let (config, start) = (AgentConfig::new("kitchen").ok()?, Start { seed, now: pump::now() });
    let mut agent = Agent::start(platform, application, config, &mut [], start).ok()?;

    let (mut receive, mut send) = ([0; 4096 + 512], [0; 2048]); // one block, and what MQTT and CBOR add
    let session = ConfigBuilder::new(Buffers::new(&mut receive, &mut send)).client_id("kitchen").ok()?;
    let mut broker = Minimq::new(session, 30, connector, "broker.example.com", 8883); // keep-alive 30 s
    pump::run(&mut agent, &mut broker).await;
    Some(())
}
