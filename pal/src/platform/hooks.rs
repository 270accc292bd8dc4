//! What a board implements besides its flash: the reset and the watchdog.

use core::cell::RefCell;

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

/// A watchdog that both components of a device feed. Panics if it is in use elsewhere.
impl<W: Watchdog> Watchdog for &RefCell<W> {
    fn feed(&mut self) {
        self.borrow_mut().feed();
    }

    fn idle_ms(&self) -> Option<u32> {
        self.borrow().idle_ms()
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

    struct Hardware(u32);

    impl Watchdog for Hardware {
        fn feed(&mut self) {
            self.0 += 1;
        }
    }

    #[test]
    fn a_watchdog_is_fed_every_second_while_nothing_is_done_and_none_never() {
        assert_eq!((Hardware(0).idle_ms(), NoWatchdog.idle_ms()), (Some(1_000), None));
    }

    #[test]
    fn a_shared_watchdog_is_the_same_one() {
        let shared = RefCell::new(Hardware(0));
        for mut handle in [&shared, &shared] {
            handle.feed();
            assert_eq!(handle.idle_ms(), Some(1_000));
        }
        assert_eq!(shared.into_inner().0, 2);
    }
}
