//! Queue of things owed a notification; payloads are read from the store at send time, so that the queue stays small and no
//! outdated state is sent.

use std::collections::{HashMap, VecDeque};

use tokio::sync::watch;
use tokio::time::Instant;

use crate::limits::NOTIFY_QUEUE_MAX;
use crate::serve::log::report_error;

/// A notification that a thing is owed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingNotify {
    /// Receiver.
    pub thing: String,
    /// The list of pending executions has changed.
    pub list: bool,
    /// Whether the next pending execution has changed.
    pub first: NextChange,
}

/// Change of the next pending execution.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NextChange {
    /// Unchanged.
    Same,
    /// Changed if the execution of this new job is the next.
    If(String),
    /// Changed.
    Other,
}

impl PendingNotify {
    /// Both notifications.
    pub fn all(thing: String) -> Self {
        Self { thing, list: true, first: NextChange::Other }
    }

    /// Combines two pending notifications: a duplicate is allowed, a missing one is not.
    fn merge(&mut self, other: Self) {
        self.list |= other.list;
        if self.first == NextChange::Same {
            self.first = other.first;
        } else if other.first != NextChange::Same && other.first != self.first {
            self.first = NextChange::Other;
        }
    }
}

/// The queue; its length is at most [`NOTIFY_QUEUE_MAX`].
pub struct NotifyQueue {
    order: VecDeque<String>,
    due: HashMap<String, PendingNotify>,
    /// Set while all things with pending executions are notified: the last name that was read, initially empty.
    all_after: Option<String>,
    subscribed: watch::Receiver<bool>,
    /// End of the pause after the send queue was full.
    retry_at: Option<Instant>,
}

impl NotifyQueue {
    /// Creates an empty queue.
    ///
    /// `subscribed`: whether the broker is connected.
    pub fn new(subscribed: watch::Receiver<bool>) -> Self {
        Self { order: VecDeque::new(), due: HashMap::new(), all_after: None, subscribed, retry_at: None }
    }

    /// Adds pending notifications.
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
                "{NOTIFY_QUEUE_MAX} things are owed a notification: all pending things are notified instead"
            ));
            self.order.clear();
            self.due.clear();
            return self.add_all();
        }
        self.order.push_back(due.thing.clone());
        self.due.insert(due.thing.clone(), due);
    }

    /// Adds all things that have pending executions.
    pub fn add_all(&mut self) {
        self.all_after = Some(String::new());
    }

    /// Returns the name after which the next page of pending things must be read; only when the queue is empty.
    pub fn page_after(&self) -> Option<&str> {
        self.all_after.as_deref().filter(|_| self.order.is_empty())
    }

    /// Adds a page of pending things; an empty page is the last.
    pub fn add_page(&mut self, things: Vec<String>) {
        self.all_after = things.last().cloned();
        self.add(things.into_iter().map(PendingNotify::all).collect());
    }

    /// Returns whether a notification is pending.
    pub fn has_pending(&self) -> bool {
        !self.order.is_empty() || self.all_after.is_some()
    }

    /// Returns when the connection may have room.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future has no effect: the pause after a full queue ends at the same instant.
    pub async fn ready(&mut self) {
        if let Some(at) = self.retry_at {
            tokio::time::sleep_until(at).await;
            self.retry_at = None;
        }
        if self.subscribed.wait_for(|yes| *yes).await.is_err() {
            // The connection has ended, and with it the service.
            std::future::pending().await
        }
    }

    /// Removes the oldest pending notification.
    pub fn pop(&mut self) -> Option<PendingNotify> {
        let thing = self.order.pop_front()?;
        self.due.remove(&thing)
    }

    /// Puts a notification back to the front after the send queue was full; it is retried at this instant.
    pub fn retry(&mut self, due: PendingNotify, at: Instant) {
        self.retry_at = Some(at);
        self.order.push_front(due.thing.clone());
        self.due.insert(due.thing.clone(), due);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    fn queue() -> NotifyQueue {
        NotifyQueue::new(watch::channel(true).1)
    }

    fn due(thing: &str, list: bool, first: NextChange) -> PendingNotify {
        PendingNotify { thing: thing.into(), list, first }
    }

    #[test]
    fn pending_notifications_of_one_thing_are_merged() {
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
        queue.retry(b.clone(), Instant::now());
        assert_eq!((queue.pop(), queue.has_pending()), (Some(b), false));
    }

    /// Under load the wait is dropped before the pause ends, and begun again, with every request.
    #[tokio::test]
    async fn the_pause_after_a_full_send_queue_ends_however_often_the_wait_is_dropped() {
        let mut queue = queue();
        let at = Instant::now() + std::time::Duration::from_millis(20);
        queue.retry(PendingNotify::all("a".into()), at);
        while Instant::now() < at {
            let _ = queue.ready().now_or_never();
            tokio::task::yield_now().await;
        }
        tokio::time::sleep_until(at).await;
        assert_eq!(queue.ready().now_or_never(), Some(()));
        queue.retry(PendingNotify::all("a".into()), at + std::time::Duration::from_secs(3600));
        assert_eq!(queue.ready().now_or_never(), None);
    }

    #[test]
    fn a_full_queue_is_replaced_by_all_pending_things() {
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
