//! Whether a release is halted by its rule, and why. A pure function; no store, no clock.

use std::time::Duration;

use crate::health::Health;
use crate::release_plan::HaltRule;

/// Returns why the release is halted, if it is.
///
/// `contact`: how long devices have been able to report. Silence counts only if this is the time of the rule at least: during an
/// outage every device is silent.
pub fn reason(rule: &HaltRule, health: &Health, contact: Duration) -> Option<String> {
    let ended = health.counts.ended();
    let failed = health.counts.failed();
    let is_over = |percent: Option<f64>, count: u64, of: u64| {
        percent.filter(|percent| count > 0 && of >= rule.min_devices && count as f64 * 100.0 >= percent * of as f64)
    };
    if let Some(percent) = is_over(rule.self_test_percent, health.self_test_failed, ended) {
        let count = health.self_test_failed;
        return Some(format!(
            "{count} of {ended} devices failed their self-test or went back, the limit is {percent} %"
        ));
    }
    if let Some(percent) = is_over(rule.failed_percent, failed, ended) {
        return Some(format!("{failed} of {ended} devices failed, the limit is {percent} %"));
    }
    let (silent, begun) = (health.silent, health.begun);
    if contact.as_secs() < rule.silent_minutes * 60 {
        return None;
    }
    let percent = is_over(rule.silent_percent, silent, begun)?;
    let minutes = rule.silent_minutes;
    Some(format!("{silent} of {begun} devices reported nothing for {minutes} minutes, the limit is {percent} %"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Counts;

    const CONTACT: Duration = Duration::from_secs(30 * 60);

    fn health(succeeded: u64, failed: u64, self_test_failed: u64, silent: u64) -> Health {
        let executions = [("SUCCEEDED", succeeded), ("FAILED", failed), ("IN_PROGRESS", silent)].into_iter().collect();
        Health {
            counts: Counts { waiting: 0, executions },
            self_test_failed,
            silent,
            begun: succeeded + failed + silent,
            on_hold: 0,
        }
    }

    #[test]
    fn each_share_halts_a_release_from_its_limit_on_and_names_itself() {
        let rule = HaltRule::default();
        for (health, halted) in [
            (health(91, 9, 0, 0), None),
            (health(90, 10, 0, 0), Some("10 of 100 devices failed, the limit is 10 %")),
            (health(98, 2, 2, 0), None),
            (health(97, 3, 3, 0), Some("3 of 100 devices failed their self-test or went back, the limit is 3 %")),
            (health(91, 0, 0, 9), None),
            (health(90, 0, 0, 10), Some("10 of 100 devices reported nothing for 30 minutes, the limit is 10 %")),
        ] {
            assert_eq!(reason(&rule, &health, CONTACT).as_deref(), halted, "{health:?}");
        }
    }

    #[test]
    fn silence_counts_only_while_devices_were_able_to_report() {
        let (rule, silent) = (HaltRule::default(), health(0, 0, 0, 100));
        assert_eq!(reason(&rule, &silent, CONTACT - Duration::from_secs(1)), None);
        assert!(reason(&rule, &silent, CONTACT).is_some());
        assert!(reason(&rule, &health(0, 100, 0, 0), Duration::ZERO).is_some(), "a report counts");
    }

    #[test]
    fn few_devices_halt_nothing_and_neither_does_a_share_that_is_absent() {
        assert_eq!(reason(&HaltRule::default(), &health(0, 19, 19, 0), CONTACT), None);
        assert!(reason(&HaltRule::default(), &health(0, 20, 0, 0), CONTACT).is_some());
        assert_eq!(reason(&HaltRule::none(), &health(0, 100, 100, 100), CONTACT), None);
        assert_eq!(reason(&HaltRule::default(), &health(100, 0, 0, 0), CONTACT), None);
    }
}
