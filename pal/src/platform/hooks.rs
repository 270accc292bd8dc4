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

    /// How often it is fed while the device waits for the network or the application, in milliseconds: by default every second.
    /// `None` if that is not needed.
    fn idle_ms(&self) -> Option<u32> {
        Some(1_000)
    }
}

/// The watchdog of a device without one.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoWatchdog;

impl Watchdog for NoWatchdog {
    fn feed(&mut self) {}

    fn idle_ms(&self) -> Option<u32> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Hardware;

    impl Watchdog for Hardware {
        fn feed(&mut self) {}
    }

    #[test]
    fn a_watchdog_is_fed_every_second_while_nothing_is_done_and_none_never() {
        assert_eq!((Hardware.idle_ms(), NoWatchdog.idle_ms()), (Some(1_000), None));
    }
}
