//! Resets: how to make one, and what made the last one. The board has no register for the cause.

use core::panic::PanicInfo;
use core::ptr::{addr_of, addr_of_mut};

use ota_boot::ResetCause;
use ota_cortex_m::number::Number;

use super::console;

/// In the word of RAM below while the power is on.
const POWERED: u32 = 0x9CA1_F00D;

/// A word that nothing initialises: RAM keeps it over a reset, and loses it with the power.
#[unsafe(link_section = ".uninit.powered")]
static mut WORD: u32 = 0;

/// Resets the device, into the boot selector.
pub fn reset() -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}

/// The cause of the last reset. Only the first call after a reset returns it, and only in the boot selector, whose RAM no other
/// program has.
pub fn cause() -> ResetCause {
    // SAFETY: nothing else accesses the word, any bits are a number, and no interrupt is enabled.
    let was_powered = unsafe { addr_of!(WORD).read_volatile() } == POWERED;
    // SAFETY: as above.
    unsafe { addr_of_mut!(WORD).write_volatile(POWERED) };
    if was_powered { ResetCause::Other } else { ResetCause::PowerLoss }
}

/// The reset of the agent's platform.
pub struct Board;

impl ota_pal::Reset for Board {
    fn reset(&mut self) {
        console::boot(&[b"reset"]);
        reset()
    }
}

/// A panic of any program of this board: the message if it has no arguments, and the place.
#[panic_handler]
fn on_panic(info: &PanicInfo<'_>) -> ! {
    let message = info.message().as_str().unwrap_or("panic");
    let (file, line) = info.location().map_or(("", 0), |place| (place.file(), place.line()));
    console::boot(&[message.as_bytes(), b" at ", file.as_bytes(), b":", Number::decimal(line).bytes()]);
    reset()
}
