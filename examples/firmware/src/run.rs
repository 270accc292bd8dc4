//! Puts the firmware together: platform, agent, connections, application.

use embassy_futures::select::{Either3, select3};
use embassy_net::Stack;
use minimq::{Buffers, ConfigBuilder};
use ota_agent::blocking::prelude::*;
use ota_pal::blocking::{BootControl, Flash, ImageManagement, Native, OwnSelector};
use ota_pal::{
    DeviceConfig, KeySet, Layout, Region, Reset, SIGNATURE_BYTES_MAX, Signature, SignatureKind, SlotId, Watchdog,
};
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};

use crate::build::Build;
use crate::controller::{Controller, Shared, print};
use crate::memory::Memory;
use crate::settings::{Settings, hexadecimal};
use crate::tick;

const KEEP_ALIVE_S: u16 = 30;
const CERTIFICATES: &str = "the certificates in the settings cannot be used";

/// What a board brings.
pub struct Board<F, R, W> {
    /// `ota_pal::Blocking(driver)`.
    pub flash: F,
    /// Resets to the boot loader.
    pub reset: R,
    /// The watchdog, which runs.
    pub watchdog: W,
    /// The network; another task runs it.
    pub stack: Stack<'static>,
    /// The layout of the flash.
    pub layout: Layout,
    /// Where the settings are.
    pub settings: Region,
    /// The slot that this program runs from.
    pub running: SlotId,
    /// Of a random number generator, at every boot another one: TLS depends on it.
    pub seed: [u8; 32],
    /// Returns the bytes of the stack that were used since the start.
    pub deepest_stack_bytes: fn() -> u32,
}

/// Runs the firmware on a board with this project's boot selector; returns only if it cannot start. To be called once: the buffers
/// are statics.
///
/// # Errors
/// What is wrong with the device.
pub async fn run<F: Flash, R: Reset, W: Watchdog>(
    board: Board<F, R, W>,
    build: &Build<'_>,
) -> Result<(), &'static str> {
    let selector = OwnSelector::new(&board.layout, board.running);
    run_with(board, selector, build).await
}

/// Runs the firmware on a board with another boot loader; returns only if it cannot start. To be called once, as [`run`].
///
/// # Errors
/// What is wrong with the device.
pub async fn run_with<F: Flash, R: Reset, W: Watchdog, B: BootControl>(
    board: Board<F, R, W>,
    boot: B,
    build: &Build<'_>,
) -> Result<(), &'static str> {
    print("start", "", format_args!("{}", build.version));
    let shared = Shared::default();
    let memory = Memory::take().ok_or("the buffers are taken")?;
    let update = update(board, boot, build, memory, &shared);
    match select3(update, tick::run(&shared.gap), operate(&shared)).await {
        Either3::First(result) => result,
        Either3::Second(()) | Either3::Third(()) => Ok(()),
    }
}

/// Runs the agent.
async fn update<F: Flash, R: Reset, W: Watchdog, B: BootControl>(
    board: Board<F, R, W>,
    boot: B,
    build: &Build<'_>,
    memory: Memory,
    shared: &Shared,
) -> Result<(), &'static str> {
    let Board { mut flash, reset, watchdog, stack, layout, settings, running, seed, deepest_stack_bytes } = board;
    let settings = Settings::read(&mut flash, settings, memory.settings).ok_or("no settings in the flash")?;
    let config = DeviceConfig::new(layout, build.hardware).map_err(|_| "the hardware id is too long")?;
    let keys = KeySet::single("release", build.public_key).map_err(|_| "the key is not one of P-256")?;
    let platform = Native::from_parts(flash, keys, reset, watchdog, config, boot);
    let platform = platform.map_err(|_| "the layout does not suit the flash")?;

    let application = Controller::new(shared, settings.thing, build.verdict, deepest_stack_bytes);
    let application = application.ok_or("the thing's name is too long")?;
    let mut config = AgentConfig::new(settings.thing).map_err(|_| "the thing's name is too long")?;
    config.prefer_http = settings.prefer_http;
    let config =
        config.with_block_bytes(settings.block_bytes).map_err(|_| "the block size is no multiple of 256 bytes")?;
    let mut random = ChaCha20Rng::from_seed(seed);
    let start = Start { seed: random.next_u64(), now: pump::now() };
    let mut agent =
        Agent::start(platform, application, config, memory.url, start).map_err(|_| "the flash is unreadable")?;
    if running.is_factory() {
        verify_factory(&mut agent, settings.factory_signature);
    }

    let certificates = memory.identity.read(&settings).ok_or(CERTIFICATES)?;
    let for_mqtt = memory.mqtt.connector(stack, certificates, fork(&mut random), build.date).ok_or(CERTIFICATES)?;
    let for_http = memory.http.connector(stack, certificates, fork(&mut random), build.date).ok_or(CERTIFICATES)?;
    let session = ConfigBuilder::new(Buffers::new(memory.receive, memory.send));
    let session = session.client_id(settings.thing).map_err(|_| "the thing's name is too long")?;
    let mut broker = Minimq::new(session, KEEP_ALIVE_S, for_mqtt, settings.host, settings.port);
    let (activity, names) = (Activity::default(), [settings.host]);
    let http = HttpClient::new(for_http, AllowedHosts { names: &names, plain: false }, memory.block, &activity);
    pump::run_with_http(&mut agent, &mut broker, http).await;
    Ok(())
}

/// A generator of its own for a connection.
fn fork(random: &mut ChaCha20Rng) -> ChaCha20Rng {
    let mut seed = [0; 32];
    random.fill_bytes(&mut seed);
    ChaCha20Rng::from_seed(seed)
}

/// Verifies the factory image, which allows a factory reset. It is done again whenever that image runs: it may be new.
fn verify_factory<P: ImageManagement, A: Application>(agent: &mut Agent<'_, P, A>, digits: &str) {
    let mut bytes = [0; SIGNATURE_BYTES_MAX];
    let Some(bytes) = hexadecimal(digits, &mut bytes) else {
        return print("notice", "", format_args!("the factory signature is unreadable"));
    };
    let signature = Signature { kind: SignatureKind::Sha256Ecdsa, key_id: None, bytes };
    print("notice", "", format_args!("factory image verified: {:?}", agent.verify_factory(&signature)));
}

/// Operates the pump, which no update disturbs.
///
/// # Cancel safety
/// Dropping the future stops the pump.
async fn operate(shared: &Shared) {
    let mut _hold = None;
    loop {
        let is_on = shared.pump.wait().await;
        _hold = is_on.then(|| shared.holds.hold("pump"));
        print("notice", "", format_args!("pump {}", if is_on { "on" } else { "off" }));
    }
}
