//! The firmware of this board, the same for each slot: starts the drivers, the network and the application. Which version it is, and
//! how its self-test ends, are settings of the build, as are the keys that it trusts.

use embassy_executor::Spawner;
use embassy_net::{Runner, Stack, StackResources};
use ota_cortex_m::{executor, program, stack};
use ota_pal::Blocking;
use static_cell::StaticCell;

use crate::board::ethernet::Ethernet;
use crate::board::nor::Nor;
use crate::board::watchdog::Watchdog;
use crate::board::{clock, console, random, reset};
use crate::layout::{FLASH_BASE, LAYOUT, SETTINGS};

/// Hardware id of its images.
const HARDWARE: &str = "mps2-an385";
/// DHCP, DNS, and the two connections.
const SOCKETS: usize = 4;

/// Runs the firmware.
pub fn main() -> ! {
    console::start();
    console::start_log();
    clock::start();
    executor::run(|spawner| {
        if let Err(why) = start(spawner) {
            stop(why);
        }
    })
}

fn start(spawner: Spawner) -> Result<(), &'static str> {
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    const NO_RANDOM: &str = "no random numbers: semihosting is off";
    let (for_network, seed) = (random::seed().ok_or(NO_RANDOM)?, random::seed().ok_or(NO_RANDOM)?);
    let config = embassy_net::Config::dhcpv4(Default::default());
    let resources = RESOURCES.init(StackResources::new());
    let (stack, runner) = embassy_net::new(Ethernet::start(), config, resources, u64::from_le_bytes(for_network));
    spawner.spawn(network(runner).map_err(|_| "spawned twice")?);
    spawner.spawn(application(stack, seed).map_err(|_| "spawned twice")?);
    Ok(())
}

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, Ethernet>) {
    runner.run().await;
}

#[embassy_executor::task]
async fn application(stack: Stack<'static>, seed: [u8; 32]) {
    if let Err(why) = run(stack, seed).await {
        stop(why);
    }
}

async fn run(stack: Stack<'static>, seed: [u8; 32]) -> Result<(), &'static str> {
    let offset = program::vector_table().checked_sub(FLASH_BASE).ok_or("not started from the flash")?;
    let board = ota_firmware::Board {
        flash: Blocking(Nor::take().ok_or("the flash is taken")?),
        reset: reset::Board,
        watchdog: Watchdog::started(),
        stack,
        layout: LAYOUT,
        settings: SETTINGS,
        running: LAYOUT.slot_at(offset).ok_or("not started from a slot")?,
        seed,
        deepest_stack_bytes: stack::deepest_bytes,
    };
    ota_firmware::run(board, &ota_firmware::build!(HARDWARE)).await
}

/// Ends a program that cannot run: the watchdog resets.
fn stop(why: &str) -> ! {
    console::boot(&[b"stopped: ", why.as_bytes()]);
    loop {
        core::hint::spin_loop();
    }
}
