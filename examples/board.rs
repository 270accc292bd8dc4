//! The agent on a board of your own, as `docs/board.md` tells it: you bring what stands in the angle brackets. A library
//! without `std`, so that the compiler says whether it fits a board; `self_test` and `subscribe` run the same on a host.
#![no_std]

use minimq::{Buffers, ConfigBuilder, Session};
use ota_agent::prelude::*;
use ota_pal::TRIAL_ATTEMPTS_DEFAULT;
use ota_pal::{
    Component, Flash, Geometry, HardwareId, Key, KeySet, Layout, Native, OwnSelector, Reset, SlotId, VersionRule,
    Watchdog,
};

const BLOCK_BYTES: usize = 4096;

/// What the flash part is; the boot selector takes the layout from the same line.
pub const LAYOUT: Layout =
    match Layout::split(Geometry { word_bytes: 4, erase_bytes: 4096, capacity_bytes: 1024 * 1024 }) {
        Ok(layout) => layout,
        Err(_) => panic!("a const layout is checked by the compiler"),
    };

/// What the application brings.
pub struct Board<F, N, R, W> {
    /// `ota_pal::Blocking(driver)` or `ota_pal::Async(driver)`.
    pub flash: F,
    /// Connections, with TLS.
    pub network: N,
    /// The way back to the boot selector.
    pub reset: R,
    /// `ota_pal::NoWatchdog` if there is none.
    pub watchdog: W,
    /// The slot that this program runs from: see `slot_of`.
    pub running: SlotId,
    /// Different at every boot.
    pub seed: u64,
}

/// The slot that holds the program's own code.
///
/// Unit: bytes from the start of the flash.
#[must_use]
pub fn slot_of(code_offset_bytes: u32) -> Option<SlotId> {
    [SlotId::A, SlotId::B].into_iter().find(|slot| {
        let slot = LAYOUT.slot(*slot);
        code_offset_bytes.checked_sub(slot.offset_bytes()).is_some_and(|inside| inside < slot.len_bytes())
    })
}

/// Runs the agent for good; `None` if a constant below or the boot record is wrong.
pub async fn update<F, N, R, W, A>(board: Board<F, N, R, W>, public_key: &[u8], application: A) -> Option<()>
where
    F: Flash,
    N: Connector + Clone,
    R: Reset,
    W: Watchdog,
    A: Application,
{
    let Board { flash, network, reset, watchdog, running, seed } = board;
    let settings = ota_pal::Config {
        layout: LAYOUT,
        hardware: HardwareId::new("my-board").ok()?, // `ota sign --hardware my-board`
        component: Component::App,
        version_rule: VersionRule::Newer,
        security_counter_min: 0,
        key_epoch: 0,
        trial_attempts: TRIAL_ATTEMPTS_DEFAULT,
    };
    let mut keys = KeySet::<1>::new();
    keys.add(Key::new("release", public_key).ok()?).ok()?;
    let selector = OwnSelector::new(&LAYOUT, running);
    let platform = Native::new(flash, keys, reset, watchdog, settings, selector).ok()?;

    let (config, start) = (AgentConfig::new("kitchen").ok()?, Start { seed, now: pump::now() });
    let mut url = [0; 2048];
    let mut agent = Agent::start(platform, application, config, &mut url, start).await.ok()?;

    let (mut receive, mut send, mut block) = ([0; BLOCK_BYTES + 512], [0; 2048], [0; BLOCK_BYTES]);
    let session = ConfigBuilder::new(Buffers::new(&mut receive, &mut send)).client_id("kitchen").ok()?;
    let mut session = Session::new(session.keepalive_interval(30));
    let (host, port) = ("broker.example.com", 8883);
    let mut broker = Minimq { session: &mut session, connector: network.clone(), host, port, tls: true };
    let hosts = AllowedHosts { names: &["images.example.com"], plain: false };
    pump::run(&mut agent, &mut broker, HttpClient::new(network, hosts, &mut block)).await;
    Some(())
}
