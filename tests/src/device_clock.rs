//! The device's clock: it starts at zero with every boot, and jumps forward where the device slept or a test makes it.

use ota_agent::Instant;

/// A clock beside the virtual time of the simulation.
#[derive(Debug, Default)]
pub struct DeviceClock {
    started_ms: u64,
    ahead_ms: u64,
}

impl DeviceClock {
    /// The device boots.
    pub fn restart(&mut self, now_ms: u64) {
        *self = Self { started_ms: now_ms, ahead_ms: 0 };
    }

    /// The clock jumps forward.
    pub fn jump(&mut self, ms: u64) {
        self.ahead_ms += ms;
    }

    /// What it shows at a virtual time.
    pub fn at(&self, now_ms: u64) -> Instant {
        Instant::from_ms(now_ms - self.started_ms + self.ahead_ms)
    }

    /// The virtual time at which it shows `instant`.
    pub fn when(&self, instant: Instant) -> u64 {
        instant.as_ms().saturating_sub(self.ahead_ms).saturating_add(self.started_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_starts_with_the_boot_and_a_jump_brings_each_instant_nearer() {
        let mut clock = DeviceClock::default();
        clock.restart(1_000);
        assert_eq!((clock.at(1_500), clock.when(Instant::from_ms(700))), (Instant::from_ms(500), 1_700));
        clock.jump(150);
        assert_eq!((clock.at(1_500), clock.when(Instant::from_ms(700))), (Instant::from_ms(650), 1_550));
        assert_eq!(clock.when(Instant::from_ms(100)), 1_000, "it is over");
    }
}
