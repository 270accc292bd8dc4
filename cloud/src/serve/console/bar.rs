//! The bar of an update: a segment per status, as wide as its share of the devices.

use askama::Template;
use ota_jobs::Status;

use super::page::render;
use super::text::{STATUSES, status_class, status_word};

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

/// The number of executions of a job per status.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts(Vec<(Status, u64)>);

impl Counts {
    /// Sorts the counts of the store; a status that does not exist is left out.
    pub fn new(counts: &[(String, u64)]) -> Self {
        let of =
            |status: Status| counts.iter().find(|(name, _)| name == status.as_str()).map_or(0, |(_, count)| *count);
        Self(STATUSES.into_iter().map(|status| (status, of(status))).collect())
    }

    /// Each status with its number, also those without executions, in the order of the pages.
    pub fn iter(&self) -> impl Iterator<Item = (Status, u64)> {
        self.0.iter().copied()
    }

    /// Number of executions.
    pub fn total(&self) -> u64 {
        self.iter().map(|(_, count)| count).sum()
    }

    /// Number of executions that have ended.
    pub fn ended(&self) -> u64 {
        self.iter().filter(|(status, _)| status.is_terminal()).map(|(_, count)| count).sum()
    }

    /// Number of executions with this status.
    pub fn of(&self, status: Status) -> u64 {
        self.iter().filter(|(found, _)| *found == status).map(|(_, count)| count).sum()
    }

    /// `2 succeeded, 1 failed`.
    pub fn words(&self, with: impl Fn(Status) -> bool) -> String {
        let some = self.iter().filter(|(status, count)| *count > 0 && with(*status));
        let words: Vec<String> =
            some.map(|(status, count)| format!("{count} {}", status_word(status).to_lowercase())).collect();
        words.join(", ")
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
        render(&Bar { segments, label: self.words(|_| true) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_segments_fill_the_bar_in_the_order_of_the_pages() {
        let counts = |list: &[(&str, u64)]| {
            Counts::new(&list.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect::<Vec<_>>())
        };
        let some = counts(&[("FAILED", 1), ("QUEUED", 1), ("SUCCEEDED", 1), ("UNHEARD_OF", 7)]);
        assert_eq!((some.total(), some.ended(), some.of(Status::Failed)), (3, 2, 1));
        assert_eq!(some.words(|_| true), "1 succeeded, 1 queued, 1 failed");
        let bar = some.bar();
        let parts = [r#"class="succeeded" x="0" width="333""#, r#"class="queued" x="333" width="333""#];
        assert!(parts.iter().all(|part| bar.contains(part)), "{bar}");
        assert!(bar.contains(r#"class="failed" x="666" width="334""#), "{bar}");
        assert_eq!(counts(&[]).bar().matches("<rect").count(), 0);
    }
}
