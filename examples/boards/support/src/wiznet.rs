//! The Ethernet controller W5500 of WIZnet, behind SPI: for boards whose processor has none.

use core::future::Future;

use embassy_net_wiznet::chip::W5500;
use embassy_net_wiznet::{Device, State};
use embedded_hal::digital::OutputPin;
use embedded_hal_async::digital::Wait;
use embedded_hal_async::spi::SpiDevice;
use static_cell::StaticCell;

/// Frames that wait in each direction.
const FRAMES: usize = 4;

/// Resets and starts the controller; returns it with what drives it. Resets the processor if it does not answer. Panics if it is
/// called again.
pub async fn start(
    address: [u8; 6],
    spi: impl SpiDevice,
    interrupt: impl Wait,
    reset: impl OutputPin,
) -> (Device<'static>, impl Future) {
    static STATE: StaticCell<State<FRAMES, FRAMES>> = StaticCell::new();
    let state = STATE.init(State::new());
    match embassy_net_wiznet::new::<FRAMES, FRAMES, W5500, _, _, _>(address, state, spi, interrupt, reset).await {
        Ok((device, runner)) => (device, runner.run()),
        Err(_) => {
            log::error!("stopped: the Ethernet controller does not answer");
            crate::stop()
        }
    }
}
