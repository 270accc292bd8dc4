//! What a board implements besides its flash: the reset and the watchdog.

/// A device reset, which restarts the boot selector.
pub trait Reset {
    /// Resets the device. Does not return on hardware; a host process exits; a simulated device returns.
    fn reset(&mut self);
}

/// A watchdog that long operations feed.
pub trait Watchdog {
    /// Restarts the watchdog timer.
    fn feed(&mut self);
}

/// The watchdog of a device without one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWatchdog;

impl Watchdog for NoWatchdog {
    fn feed(&mut self) {}
}
