//! The bar of an update: a segment per status, as wide as its share of the devices.

use askama::Template;
use ota_jobs::Status;

use super::page::render;
use super::text::{STATUSES, status_class, status_word};
use crate::model;

/// Width of the bar in the drawing.
const WIDTH: u64 = 1000;

/// One status of the bar.
struct Segment {
    class: &'static str,
    x: u64,
    width: u64,
}

#[derive(Template)]
#[template(path = "bar.html")]
struct Bar {
    segments: Vec<Segment>,
    label: String,
}

/// The number of devices of a job per status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(model::Counts);

impl Counts {
    /// Takes the counts of the store.
    pub fn new(counts: &model::Counts) -> Self {
        Self(counts.clone())
    }

    /// Each status with its number, also those without executions, in the order of the pages.
    pub fn iter(&self) -> impl Iterator<Item = (Status, u64)> {
        STATUSES.into_iter().map(|status| (status, self.0.of(status)))
    }

    /// Number of devices.
    pub fn total(&self) -> u64 {
        self.0.notified() + self.0.waiting
    }

    /// Number of devices that have no execution yet.
    pub fn waiting(&self) -> u64 {
        self.0.waiting
    }

    /// Number of executions that have ended.
    pub fn ended(&self) -> u64 {
        self.0.ended()
    }

    /// Number of executions that failed, were rejected or timed out.
    pub fn failed(&self) -> u64 {
        self.0.failed()
    }

    /// Number of executions with this status.
    pub fn of(&self, status: Status) -> u64 {
        self.0.of(status)
    }

    /// `2 succeeded, 1 failed`.
    pub fn words(&self, with: impl Fn(Status) -> bool) -> String {
        let some = self.iter().filter(|(status, count)| *count > 0 && with(*status));
        let words: Vec<String> =
            some.map(|(status, count)| format!("{count} {}", status_word(status).to_lowercase())).collect();
        words.join(", ")
    }

    /// All numbers, in words; `no device` without any.
    pub fn label(&self) -> String {
        match (self.words(|_| true), self.waiting()) {
            (words, 0) if words.is_empty() => "no device".to_owned(),
            (words, 0) => words,
            (words, waiting) if words.is_empty() => format!("{waiting} waiting"),
            (words, waiting) => format!("{words}, {waiting} waiting"),
        }
    }

    /// The drawing, with the words as its label.
    pub fn bar(&self) -> String {
        let (total, mut before) = (self.total().max(1), 0);
        let mut segments = Vec::new();
        for (status, count) in self.iter().filter(|(_, count)| *count > 0) {
            let (x, end) = (before * WIDTH / total, (before + count) * WIDTH / total);
            segments.push(Segment { class: status_class(status), x, width: end - x });
            before += count;
        }
        render(&Bar { segments, label: self.label() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_segments_fill_the_bar_in_the_order_of_the_pages() {
        let counts = |list: &[(Status, u64)], waiting| {
            let executions = list.iter().map(|(status, count)| (status.as_str(), *count)).collect();
            Counts::new(&model::Counts { waiting, executions })
        };
        let some = counts(&[(Status::Failed, 1), (Status::Queued, 1), (Status::Succeeded, 1)], 0);
        assert_eq!((some.total(), some.ended(), some.of(Status::Failed)), (3, 2, 1));
        assert_eq!(some.words(|_| true), "1 succeeded, 1 queued, 1 failed");
        let bar = some.bar();
        let parts = [r#"class="succeeded" x="0" width="333""#, r#"class="queued" x="333" width="333""#];
        assert!(parts.iter().all(|part| bar.contains(part)), "{bar}");
        assert!(bar.contains(r#"class="failed" x="666" width="334""#), "{bar}");
        let none = counts(&[], 0).bar();
        assert!(none.contains(r#"aria-label="no device""#) && !none.contains("<rect"), "{none}");
        let waiting = counts(&[(Status::Succeeded, 1)], 3);
        assert_eq!((waiting.total(), waiting.label().as_str()), (4, "1 succeeded, 3 waiting"));
        assert!(waiting.bar().contains(r#"width="250""#), "{}", waiting.bar());
    }
}
