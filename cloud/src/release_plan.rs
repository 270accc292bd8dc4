//! How a release reaches its devices and what stops it. What follows from a halt rule is in `serve::jobs::halt`.

use serde::{Deserialize, Serialize};

use crate::limits::TIMER_MINUTES;

/// Silence after which a device in progress counts as silent, if a rule does not name it. Unit: minutes.
pub const SILENT_MINUTES: u64 = 30;

/// When the devices of a release get it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Each at the begin of its next session; one that is not available, when it is available again.
    #[default]
    OnSession,
    /// At once: those that are connected are notified.
    Immediate,
}

impl Mode {
    /// Its spelling in the store and in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::OnSession => "on_session",
            Self::Immediate => "immediate",
        }
    }

    /// The mode that is spelled so.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::OnSession, Self::Immediate].into_iter().find(|mode| mode.as_str() == text)
    }
}

/// When a release is halted by itself. A share that is absent stops nothing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HaltRule {
    /// Share of the ended devices that failed, rejected it or timed out. Unit: per cent, above 0 to 100.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed_percent: Option<f64>,
    /// Share of the ended devices that failed their self-test, or went back to the image before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub self_test_percent: Option<f64>,
    /// Share of silent devices among those that began before this time of silence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub silent_percent: Option<f64>,
    /// A device in progress is silent if it reported nothing for this time, unless its application postpones a step.
    #[serde(default = "silent_minutes")]
    pub silent_minutes: u64,
    /// Number of devices of which a share is taken below which nothing is halted.
    #[serde(default = "min_devices")]
    pub min_devices: u64,
}

fn silent_minutes() -> u64 {
    SILENT_MINUTES
}

fn min_devices() -> u64 {
    HaltRule::default().min_devices
}

impl Default for HaltRule {
    fn default() -> Self {
        Self {
            failed_percent: Some(10.0),
            self_test_percent: Some(3.0),
            silent_percent: Some(10.0),
            silent_minutes: SILENT_MINUTES,
            min_devices: 20,
        }
    }
}

impl HaltRule {
    /// A rule that stops nothing.
    pub fn none() -> Self {
        Self { failed_percent: None, self_test_percent: None, silent_percent: None, ..Self::default() }
    }

    /// Returns whether it stops nothing.
    pub fn is_none(&self) -> bool {
        self.failed_percent.or(self.self_test_percent).or(self.silent_percent).is_none()
    }

    /// Checks all values.
    ///
    /// Errors: the reason.
    pub fn check(&self) -> Result<(), String> {
        let Self { failed_percent, self_test_percent, silent_percent, silent_minutes, min_devices } = self;
        for (name, percent) in [
            ("failed_percent", failed_percent),
            ("self_test_percent", self_test_percent),
            ("silent_percent", silent_percent),
        ] {
            if let Some(percent) = percent.filter(|percent| !(*percent > 0.0 && *percent <= 100.0)) {
                return Err(format!("{name} of {percent}, above 0 and at most 100 are taken"));
            }
        }
        if !TIMER_MINUTES.contains(silent_minutes) {
            return Err(format!("silent_minutes of {silent_minutes}, {TIMER_MINUTES:?} are taken"));
        }
        if *min_devices == 0 {
            return Err("min_devices of 0, at least 1".to_owned());
        }
        Ok(())
    }
}

/// What makes a job a release.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReleasePlan {
    /// When the devices get it.
    pub mode: Mode,
    /// What halts it.
    pub halt: HaltRule,
    /// The release that it takes back.
    pub reverts: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_has_defaults_and_its_values_are_checked_by_name() {
        let rule: HaltRule = serde_json::from_str(r#"{"failed_percent":2.5}"#).unwrap();
        assert_eq!((rule.failed_percent, rule.self_test_percent, rule.min_devices), (Some(2.5), None, 20));
        assert_eq!((rule.silent_minutes, rule.check()), (SILENT_MINUTES, Ok(())));
        for (text, word) in [
            (r#"{"failed_percent":0}"#, "failed_percent of 0"),
            (r#"{"self_test_percent":100.5}"#, "self_test_percent of 100.5"),
            (r#"{"silent_percent":-1}"#, "silent_percent of -1"),
            (r#"{"silent_minutes":0}"#, "silent_minutes of 0"),
            (r#"{"min_devices":0}"#, "min_devices of 0"),
        ] {
            let refused = serde_json::from_str::<HaltRule>(text).unwrap().check().unwrap_err();
            assert!(refused.contains(word), "{text}: {refused}");
        }
        assert!(serde_json::from_str::<HaltRule>(r#"{"failed":1}"#).is_err(), "an unknown member");
    }

    #[test]
    fn a_mode_is_spelled_the_same_in_the_store_and_in_json() {
        for mode in [Mode::OnSession, Mode::Immediate] {
            assert_eq!(serde_json::to_string(&mode).unwrap(), format!("\"{}\"", mode.as_str()));
            assert_eq!(Mode::parse(mode.as_str()), Some(mode));
        }
    }
}
