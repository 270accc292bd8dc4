//! What a device needs for a step of an update: a time of the day, a charge of its battery, a network without charges.

use crate::machine::{Consent, Step, WhyLater};

const MINUTES_PER_DAY: u16 = 1_440;
const MS_PER_MINUTE: u32 = 60_000;
/// When battery and network are looked at again.
const LOOK_AGAIN_MS: u32 = 60_000;

/// What a step needs; the default needs nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Requirements {
    /// The maintenance window, for both steps.
    pub window: Option<Window>,
    /// The lowest charge in per cent, for both steps.
    pub battery_percent_min: Option<u8>,
    /// Whether a download needs a network without charges.
    pub unmetered: bool,
}

/// A maintenance window, every day, in minutes after midnight of any clock. With an end that is not after the start it
/// passes midnight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// Its first minute, below 1,440.
    pub from_minute: u16,
    /// The first minute after it, below 1,440.
    pub to_minute: u16,
}

/// The present conditions. What is unknown does not satisfy a requirement.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Minutes after midnight, below 1,440.
    pub minute: Option<u16>,
    /// The charge of the battery in per cent.
    pub battery_percent: Option<u8>,
    /// Whether the network charges for what it carries.
    pub metered: Option<bool>,
}

impl Requirements {
    /// The answer for [`Application::consent`](crate::Application::consent): now, or later with the first requirement that is
    /// not met.
    pub fn consent(&self, step: Step, conditions: &Conditions) -> Consent {
        let charged = |least| conditions.battery_percent.is_some_and(|charge| charge >= least);
        let later = |ms, why| Consent::Later { ms, why };
        match self.window.map_or(0, |window| window.opens_in_minutes(conditions.minute)) {
            0 => {}
            minutes => return later(u32::from(minutes) * MS_PER_MINUTE, WhyLater::Window),
        }
        if !self.battery_percent_min.is_none_or(charged) {
            return later(LOOK_AGAIN_MS, WhyLater::Battery);
        }
        if self.unmetered && step == Step::Download && conditions.metered != Some(false) {
            return later(LOOK_AGAIN_MS, WhyLater::Metered);
        }
        Consent::Now
    }
}

impl Window {
    /// Minutes until it opens, 0 while it is open. An unknown time is asked for again after a minute.
    fn opens_in_minutes(self, minute: Option<u16>) -> u16 {
        let Some(minute) = minute else { return 1 };
        let after = |minute: u16| (minute + MINUTES_PER_DAY - self.from_minute % MINUTES_PER_DAY) % MINUTES_PER_DAY;
        let len = match after(self.to_minute % MINUTES_PER_DAY) {
            0 => MINUTES_PER_DAY, // all day
            len => len,
        };
        match after(minute % MINUTES_PER_DAY) {
            passed if passed < len => 0,
            passed => MINUTES_PER_DAY - passed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NIGHT: Requirements = Requirements {
        window: Some(Window { from_minute: 22 * 60, to_minute: 4 * 60 }),
        battery_percent_min: Some(30),
        unmetered: true,
    };
    const GOOD: Conditions = Conditions { minute: Some(0), battery_percent: Some(30), metered: Some(false) };

    #[test]
    fn a_step_waits_until_its_window_opens_which_may_pass_midnight() {
        let opens_in =
            |from_minute, to_minute, minute| Window { from_minute, to_minute }.opens_in_minutes(Some(minute));
        for (minute, minutes) in [(1_319, 1), (1_320, 0), (1_439, 0), (0, 0), (239, 0), (240, 1_080), (720, 600)] {
            assert_eq!(opens_in(1_320, 240, minute), minutes, "22:00 to 4:00 at {minute}");
        }
        for (minute, minutes) in [(59, 1), (60, 0), (119, 0), (120, 1_380)] {
            assert_eq!(opens_in(60, 120, minute), minutes, "1:00 to 2:00 at {minute}");
        }
        assert_eq!((opens_in(600, 600, 599), opens_in(600, 600, 600)), (0, 0), "all day");
        assert_eq!(opens_in(0xFFFF, 0xFFFF, 0xFFFF), 0, "a wrong number is taken modulo a day");
        let noon = Conditions { minute: Some(720), ..GOOD };
        let later = Consent::Later { ms: 600 * 60_000, why: WhyLater::Window };
        assert_eq!((NIGHT.consent(Step::Download, &noon), NIGHT.consent(Step::Reset, &noon)), (later, later));
    }

    #[test]
    fn battery_and_network_are_required_where_they_matter() {
        let later = |why| Consent::Later { ms: 60_000, why };
        let low = Conditions { battery_percent: Some(29), ..GOOD };
        let metered = Conditions { metered: Some(true), ..GOOD };
        for (conditions, download, reset) in [
            (GOOD, Consent::Now, Consent::Now),
            (low, later(WhyLater::Battery), later(WhyLater::Battery)),
            (metered, later(WhyLater::Metered), Consent::Now),
        ] {
            assert_eq!(NIGHT.consent(Step::Download, &conditions), download, "{conditions:?}");
            assert_eq!(NIGHT.consent(Step::Reset, &conditions), reset, "{conditions:?}");
        }
    }

    #[test]
    fn what_is_unknown_does_not_satisfy_a_requirement_and_nothing_is_required_by_default() {
        let unknown = Conditions::default();
        assert_eq!(Requirements::default().consent(Step::Download, &unknown), Consent::Now);
        for (known, why) in [
            (Conditions { minute: None, ..GOOD }, WhyLater::Window),
            (Conditions { battery_percent: None, ..GOOD }, WhyLater::Battery),
            (Conditions { metered: None, ..GOOD }, WhyLater::Metered),
        ] {
            assert_eq!(NIGHT.consent(Step::Download, &known), Consent::Later { ms: 60_000, why });
        }
    }
}
