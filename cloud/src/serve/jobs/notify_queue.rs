//! Who waits to be told something, and whether it can be told now. What it is told is read from the store at that time:
//! a queue of names is small, however large the documents are, and nobody is told what is over.

use std::collections::{HashMap, VecDeque};

use tokio::sync::watch;

use crate::limits::{NOTIFY_QUEUE_MAX, NOTIFY_RETRY};
use crate::serve::log::report_error;

/// A thing that has to be told about its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingNotify {
    /// Who.
    pub thing: String,
    /// The list of what is pending has another member.
    pub list: bool,
    /// Is another execution first?
    pub first: NextChange,
}

/// Whether a thing has to be told what is first in its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextChange {
    /// It is the same as before.
    Same,
    /// If it is the execution of this job, which is new.
    If(String),
    /// It is another, or nothing is left.
    Other,
}

impl PendingNotify {
    /// Everything there is to tell.
    pub fn all(thing: String) -> Self {
        Self { thing, list: true, first: NextChange::Other }
    }

    /// Telling a thing the same twice is allowed, missing it once is not.
    fn merge(&mut self, other: Self) {
        self.list |= other.list;
        if self.first == NextChange::Same {
            self.first = other.first;
        } else if other.first != NextChange::Same && other.first != self.first {
            self.first = NextChange::Other;
        }
    }
}

/// The things that wait, at most a named number of them.
pub struct NotifyQueue {
    order: VecDeque<String>,
    due: HashMap<String, PendingNotify>,
    /// All things with work are told again, those after this name; begins with the empty one.
    all_after: Option<String>,
    subscribed: watch::Receiver<bool>,
    full: bool,
}

impl NotifyQueue {
    /// Nobody waits.
    ///
    /// `subscribed`: whether the broker is there.
    pub fn new(subscribed: watch::Receiver<bool>) -> Self {
        Self { order: VecDeque::new(), due: HashMap::new(), all_after: None, subscribed, full: false }
    }

    /// These wait as well.
    pub fn add(&mut self, due: Vec<PendingNotify>) {
        for due in due {
            self.add_one(due);
        }
    }

    fn add_one(&mut self, due: PendingNotify) {
        if let Some(waiting) = self.due.get_mut(&due.thing) {
            return waiting.merge(due);
        }
        if self.order.len() >= NOTIFY_QUEUE_MAX {
            report_error(format_args!(
                "{NOTIFY_QUEUE_MAX} things wait to be told: all that have work are told instead"
            ));
            self.order.clear();
            self.due.clear();
            return self.add_all();
        }
        self.order.push_back(due.thing.clone());
        self.due.insert(due.thing.clone(), due);
    }

    /// All things that have something to do wait.
    pub fn add_all(&mut self) {
        self.all_after = Some(String::new());
    }

    /// The name after which the caller has to read the next things with work; only when nobody else waits.
    pub fn page_after(&self) -> Option<&str> {
        self.all_after.as_deref().filter(|_| self.order.is_empty())
    }

    /// What the caller read there; an empty page is the last.
    pub fn add_page(&mut self, things: Vec<String>) {
        self.all_after = things.last().cloned();
        self.add(things.into_iter().map(PendingNotify::all).collect());
    }

    /// Does anybody wait?
    pub fn has_pending(&self) -> bool {
        !self.order.is_empty() || self.all_after.is_some()
    }

    /// Returns when the connection may have room. Dropping it does nothing.
    pub async fn ready(&mut self) {
        if self.full {
            tokio::time::sleep(NOTIFY_RETRY).await;
            self.full = false;
        }
        if self.subscribed.wait_for(|yes| *yes).await.is_err() {
            // The connection is over, and with it the service.
            std::future::pending().await
        }
    }

    /// The one who waits longest.
    pub fn pop(&mut self) -> Option<PendingNotify> {
        let thing = self.order.pop_front()?;
        self.due.remove(&thing)
    }

    /// The connection had no room for it: it is the next again, after a pause.
    pub fn retry(&mut self, due: PendingNotify) {
        self.full = true;
        self.order.push_front(due.thing.clone());
        self.due.insert(due.thing.clone(), due);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> NotifyQueue {
        NotifyQueue::new(watch::channel(true).1)
    }

    fn due(thing: &str, list: bool, first: NextChange) -> PendingNotify {
        PendingNotify { thing: thing.into(), list, first }
    }

    #[test]
    fn who_waits_already_is_told_once_and_everything() {
        let mut queue = queue();
        queue.add(vec![
            due("a", false, NextChange::Same),
            due("b", true, NextChange::Same),
            due("a", true, NextChange::If("j".into())),
        ]);
        assert_eq!(queue.pop(), Some(due("a", true, NextChange::If("j".into()))));
        queue.add(vec![due("b", false, NextChange::Other)]);
        let b = queue.pop().unwrap();
        assert_eq!(b, PendingNotify::all("b".into()));
        queue.retry(b.clone());
        assert_eq!((queue.pop(), queue.has_pending()), (Some(b), false));
    }

    #[test]
    fn more_than_can_wait_are_told_with_all_others_and_nobody_is_missed() {
        let mut queue = queue();
        queue.add((0..=NOTIFY_QUEUE_MAX).map(|i| due(&i.to_string(), true, NextChange::Same)).collect());
        assert_eq!((queue.pop(), queue.page_after()), (None, Some("")));
        queue.add_page(vec!["x".into(), "y".into()]);
        assert_eq!(queue.page_after(), None, "first those who wait");
        assert_eq!(queue.pop().map(|due| due.thing), Some("x".into()));
        assert_eq!(queue.pop().map(|due| due.thing), Some("y".into()));
        assert_eq!(queue.page_after(), Some("y"));
        queue.add_page(vec![]);
        assert!(!queue.has_pending());
    }
}
