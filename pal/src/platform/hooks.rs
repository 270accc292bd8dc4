//! What a board implements beside its flash: the reset and the watchdog.

/// How a device starts its boot selector again.
pub trait Reset {
    /// Resets. Real hardware does not return; a host process exits; a simulated device returns to its test.
    fn reset(&mut self);
}

/// A watchdog that long work must feed.
pub trait Watchdog {
    /// Says that the program is alive.
    fn feed(&mut self);
}

/// The watchdog of a device that has none.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWatchdog;

impl Watchdog for NoWatchdog {
    fn feed(&mut self) {}
}
