//! The watchdog: the boot selector starts it, it survives the jump to the firmware, and only a reset stops it.

use super::registers::watchdog;

const UNLOCK: u32 = 0x1ACC_E551;
const INTERRUPT: u32 = 1;
const RESET: u32 = 1 << 1;
const COUNTS_PER_MS: u32 = 25_000;
/// Time without a feed after which the program is ended. The pump of the agent feeds every second.
pub const PERIOD_MS: u32 = 4_000;

/// The running watchdog.
pub struct Watchdog;

impl Watchdog {
    /// Starts it.
    pub fn start() -> Self {
        watchdog::LOCK.write(UNLOCK);
        // The first expiry is an interrupt, whose handler resets; the second one resets if that does not run.
        watchdog::LOAD.write(PERIOD_MS * COUNTS_PER_MS);
        watchdog::CONTROL.write(INTERRUPT | RESET);
        Self
    }

    /// The watchdog that the boot selector started.
    pub fn started() -> Self {
        Self
    }
}

impl ota_pal::Watchdog for Watchdog {
    fn feed(&mut self) {
        watchdog::LOCK.write(UNLOCK);
        watchdog::INTCLR.write(1);
    }
}
