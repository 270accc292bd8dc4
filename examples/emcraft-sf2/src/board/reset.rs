//! Resets. The emulated board has no watchdog and no register for the cause of a reset: a program that hangs is ended by switching
//! the board off and on, and every boot of a trial counts.

use core::panic::PanicInfo;

use ota_cortex_m::number::Number;

use super::console;

/// Processor cycles of a second.
const SECOND_CYCLES: u32 = 142_000_000;

/// Resets the device, into the boot selector.
pub fn reset() -> ! {
    cortex_m::peripheral::SCB::sys_reset()
}

/// Resets the device after about a second.
pub fn reset_later() -> ! {
    cortex_m::asm::delay(SECOND_CYCLES);
    reset()
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
