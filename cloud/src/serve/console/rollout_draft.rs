//! How an update is rolled out, as a person enters it: rate, abort criterion, retries, begin and maintenance window.

use std::str::FromStr;

use super::form::Form;
use crate::job_config::{AbortConfig, JobConfig, RetryConfig, RolloutConfig};
use crate::maintenance::MaintenanceWindow;
use crate::schedule::ScheduleConfig;

/// The texts of the form; empty for what is not limited.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolloutDraft {
    /// Devices per minute.
    pub per_minute: String,
    /// Per cent of the ended devices that may fail.
    pub abort_percent: String,
    /// Ended devices below which nothing is cancelled; 1 if empty.
    pub abort_min: String,
    /// Retries of a device.
    pub retries: String,
    /// Begin, `YYYY-MM-DD HH:MM` in UTC, or with a `T` as browsers send it.
    pub start: String,
    /// Begin of a maintenance window, a cron expression.
    pub window: String,
    /// Its duration. Unit: minutes.
    pub window_minutes: String,
}

impl RolloutDraft {
    /// The texts of a form that was sent.
    pub fn read(form: &Form) -> Self {
        let text = |name| form.text(name).trim().to_owned();
        Self {
            per_minute: text("per_minute"),
            abort_percent: text("abort_percent"),
            abort_min: text("abort_min"),
            retries: text("retries"),
            start: text("start"),
            window: text("window"),
            window_minutes: text("window_minutes"),
        }
    }

    /// The configuration that the texts describe; its ranges are those of the job service.
    ///
    /// Errors: the reason, for the reader.
    pub fn config(&self) -> Result<JobConfig, String> {
        let per_minute = number("The rate", &self.per_minute)?;
        let percent = number("The share of failures", &self.abort_percent)?;
        let min = number("The number of ended devices", &self.abort_min)?;
        let retries = number("The number of retries", &self.retries)?;
        if percent.is_none() && min.is_some() {
            return Err("Enter the share of failures, too, or no minimum of ended devices.".to_owned());
        }
        let start_time = Some(self.start.clone()).filter(|start| !start.is_empty());
        let maintenance_windows = self.window()?;
        let is_scheduled = start_time.is_some() || !maintenance_windows.is_empty();
        let schedule = ScheduleConfig { start_time, maintenance_windows, ..ScheduleConfig::default() };
        Ok(JobConfig {
            rollout: per_minute.map(RolloutConfig::constant),
            abort: percent.map(|percent| AbortConfig::of_all(percent, min.unwrap_or(1))),
            retry: retries.map(RetryConfig::of_all),
            schedule: is_scheduled.then_some(schedule),
        })
    }

    /// Errors: the reason, for the reader.
    fn window(&self) -> Result<Vec<MaintenanceWindow>, String> {
        match (self.window.as_str(), number("The duration of the window", &self.window_minutes)?) {
            ("", None) => Ok(Vec::new()),
            ("", Some(_)) => Err("Enter when the maintenance window begins, too, or no duration.".to_owned()),
            (_, None) => Err("Enter how long the maintenance window is, too.".to_owned()),
            (start, Some(minutes)) => Ok(vec![MaintenanceWindow::new(start, minutes)?]),
        }
    }

    /// What the configuration does, a sentence each.
    pub fn sentences(&self) -> Vec<String> {
        let Self { per_minute, abort_percent, abort_min, retries, start, window, window_minutes } = self;
        let min = if abort_min.is_empty() { "1" } else { abort_min };
        let sentences = [
            (start, format!("It begins at {} UTC.", start.replace('T', " "))),
            (window, format!("Devices get it only in the {window_minutes} minutes from each {window} on.")),
            (per_minute, format!("It reaches {per_minute} devices a minute.")),
            (
                abort_percent,
                format!("It is cancelled when {abort_percent} % of at least {min} ended devices have failed."),
            ),
            (retries, format!("A device that fails is tried again, {retries} times at most.")),
        ];
        sentences.into_iter().filter(|(text, _)| !text.is_empty()).map(|(_, sentence)| sentence).collect()
    }
}

fn number<T: FromStr>(what: &str, text: &str) -> Result<Option<T>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| format!("{what} is not a number: {text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_not_limited_and_what_is_no_number_is_named() {
        assert_eq!(RolloutDraft::default().config().unwrap(), JobConfig::default());
        assert!(RolloutDraft::default().sentences().is_empty());
        let of = |field: fn(&mut RolloutDraft) -> &mut String, text: &str| {
            let mut draft = RolloutDraft::default();
            text.clone_into(field(&mut draft));
            draft
        };
        let fields: [fn(&mut RolloutDraft) -> &mut String; 5] = [
            |d| &mut d.per_minute,
            |d| &mut d.abort_percent,
            |d| &mut d.abort_min,
            |d| &mut d.retries,
            |d| &mut d.window_minutes,
        ];
        for field in fields {
            assert!(of(field, "many").config().unwrap_err().contains("many"));
        }
        assert!(of(|d| &mut d.abort_min, "20").config().unwrap_err().contains("share of failures"));
        let config = of(|d| &mut d.start, "2027-01-04T02:00").config().unwrap();
        assert_eq!(config.check(), Ok(()));
        assert!(config.start_s().is_some());
        let window = |start: &str, minutes: &str| {
            let (window, window_minutes) = (start.to_owned(), minutes.to_owned());
            RolloutDraft { window, window_minutes, ..RolloutDraft::default() }.config()
        };
        assert_eq!(window("cron(0 2 ? * SUN *)", "90").unwrap().windows().len(), 1);
        for (start, minutes, word) in
            [("", "90", "when the"), ("cron(0 2 ? * SUN *)", "", "how long"), ("sundays", "90", "cron(minutes")]
        {
            assert!(window(start, minutes).unwrap_err().contains(word));
        }
    }
}
