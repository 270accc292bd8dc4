//! The firmware: network and application over a board's drivers.

use core::future::Future;

use embassy_futures::select::{Either3, select3};
use embassy_net::{Config, StackResources};
use embassy_net_driver::Driver;
use embedded_storage::nor_flash::NorFlash;
use ota_cortex_m::{program, stack};
use ota_firmware::{Board, Build};
use ota_pal::{Blocking, Watchdog};
use static_cell::StaticCell;

use crate::Place;

/// DHCP, DNS, and the two connections.
const SOCKETS: usize = 4;

/// Starts the console: `probe-rs attach`, or another reader of RTT, shows it.
pub fn start_console() {
    rtt_target::rtt_init_log!();
}

/// Runs the application with the network `device`, while `driver` drives it. Resets if the application cannot run. `seed` is of a
/// random number generator, at every boot another one. Panics if it is called again.
pub async fn run<D: Driver>(
    (device, driver): (D, impl Future),
    flash: impl NorFlash,
    watchdog: impl Watchdog,
    place: &Place,
    seed: [u8; 32],
    build: &Build<'_>,
) -> ! {
    static RESOURCES: StaticCell<StackResources<SOCKETS>> = StaticCell::new();
    let resources = RESOURCES.init(StackResources::new());
    let [a, b, c, d, e, f, g, h, ..] = seed;
    let port_seed = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
    let (stack, mut network) = embassy_net::new(device, Config::dhcpv4(Default::default()), resources, port_seed);
    let running = program::vector_table().checked_sub(place.base).and_then(|offset| place.layout.slot_at(offset));
    let application = async {
        let board = Board {
            flash: Blocking(flash),
            reset: Reset,
            watchdog,
            stack,
            layout: place.layout,
            settings: place.settings,
            running: running.ok_or("not started from a slot")?,
            seed,
            deepest_stack_bytes: stack::deepest_bytes,
        };
        ota_firmware::run(board, build).await
    };
    // Of the three, only the application ends.
    if let Either3::Third(Err(why)) = select3(network.run(), driver, application).await {
        log::error!("stopped: {why}");
    }
    crate::stop()
}

/// The reset of the agent's platform.
struct Reset;

impl ota_pal::Reset for Reset {
    fn reset(&mut self) {
        cortex_m::peripheral::SCB::sys_reset()
    }
}
