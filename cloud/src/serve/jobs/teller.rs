//! Who waits to be told something, and whether it can be told now. What it is told is read from the store at that time:
//! a queue of names is small, however large the documents are, and nobody is told what is over.

use std::collections::{HashMap, VecDeque};

use tokio::sync::watch;

use crate::limits::{TELL_RETRY, THINGS_UNTOLD_MAX};
use crate::serve::log::problem;

/// A thing that has to be told about its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// Who.
    pub thing: String,
    /// The list of what is pending has another member.
    pub list: bool,
    /// Is another execution first?
    pub first: First,
}

/// Whether a thing has to be told what is first in its queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum First {
    /// It is the same as before.
    Same,
    /// If it is the execution of this job, which is new.
    If(String),
    /// It is another, or nothing is left.
    Other,
}

impl Due {
    /// Everything there is to tell.
    pub fn all(thing: String) -> Self {
        Self { thing, list: true, first: First::Other }
    }

    /// Telling a thing the same twice is allowed, missing it once is not.
    fn merge(&mut self, other: Self) {
        self.list |= other.list;
        if self.first == First::Same {
            self.first = other.first;
        } else if other.first != First::Same && other.first != self.first {
            self.first = First::Other;
        }
    }
}

/// The things that wait, at most a named number of them.
pub struct Teller {
    order: VecDeque<String>,
    due: HashMap<String, Due>,
    /// All things with work are told again, those after this name; begins with the empty one.
    all_after: Option<String>,
    subscribed: watch::Receiver<bool>,
    full: bool,
}

impl Teller {
    /// Nobody waits.
    ///
    /// `subscribed`: whether the broker is there.
    pub fn new(subscribed: watch::Receiver<bool>) -> Self {
        Self { order: VecDeque::new(), due: HashMap::new(), all_after: None, subscribed, full: false }
    }

    /// These wait as well.
    pub fn add(&mut self, due: Vec<Due>) {
        for due in due {
            self.add_one(due);
        }
    }

    fn add_one(&mut self, due: Due) {
        if let Some(waiting) = self.due.get_mut(&due.thing) {
            return waiting.merge(due);
        }
        if self.order.len() >= THINGS_UNTOLD_MAX {
            problem(format_args!("{THINGS_UNTOLD_MAX} things wait to be told: all that have work are told instead"));
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
    pub fn page(&self) -> Option<&str> {
        self.all_after.as_deref().filter(|_| self.order.is_empty())
    }

    /// What the caller read there; an empty page is the last.
    pub fn add_page(&mut self, things: Vec<String>) {
        self.all_after = things.last().cloned();
        self.add(things.into_iter().map(Due::all).collect());
    }

    /// Does anybody wait?
    pub fn is_busy(&self) -> bool {
        !self.order.is_empty() || self.all_after.is_some()
    }

    /// Returns when the connection may have room. Dropping it does nothing.
    pub async fn ready(&mut self) {
        if self.full {
            tokio::time::sleep(TELL_RETRY).await;
            self.full = false;
        }
        if self.subscribed.wait_for(|yes| *yes).await.is_err() {
            // The connection is over, and with it the service.
            std::future::pending().await
        }
    }

    /// The one who waits longest.
    pub fn take(&mut self) -> Option<Due> {
        let thing = self.order.pop_front()?;
        self.due.remove(&thing)
    }

    /// The connection had no room for it: it is the next again, after a pause.
    pub fn put_back(&mut self, due: Due) {
        self.full = true;
        self.order.push_front(due.thing.clone());
        self.due.insert(due.thing.clone(), due);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn teller() -> Teller {
        Teller::new(watch::channel(true).1)
    }

    fn due(thing: &str, list: bool, first: First) -> Due {
        Due { thing: thing.into(), list, first }
    }

    #[test]
    fn who_waits_already_is_told_once_and_everything() {
        let mut teller = teller();
        teller.add(vec![
            due("a", false, First::Same),
            due("b", true, First::Same),
            due("a", true, First::If("j".into())),
        ]);
        assert_eq!(teller.take(), Some(due("a", true, First::If("j".into()))));
        teller.add(vec![due("b", false, First::Other)]);
        let b = teller.take().unwrap();
        assert_eq!(b, Due::all("b".into()));
        teller.put_back(b.clone());
        assert_eq!((teller.take(), teller.is_busy()), (Some(b), false));
    }

    #[test]
    fn more_than_can_wait_are_told_with_all_others_and_nobody_is_missed() {
        let mut teller = teller();
        teller.add((0..=THINGS_UNTOLD_MAX).map(|i| due(&i.to_string(), true, First::Same)).collect());
        assert_eq!((teller.take(), teller.page()), (None, Some("")));
        teller.add_page(vec!["x".into(), "y".into()]);
        assert_eq!(teller.page(), None, "first those who wait");
        assert_eq!(teller.take().map(|due| due.thing), Some("x".into()));
        assert_eq!(teller.take().map(|due| due.thing), Some("y".into()));
        assert_eq!(teller.page(), Some("y"));
        teller.add_page(vec![]);
        assert!(!teller.is_busy());
    }
}
