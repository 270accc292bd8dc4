//! The queue of notices that one event causes, in order.

use heapless::Deque;

use super::event::Notice;

/// Notices that one event can cause.
const NOTICES_MAX: usize = 4;

#[derive(Clone, Debug)]
pub(super) struct Notices(Deque<Notice, NOTICES_MAX>);

impl Notices {
    pub(super) const fn new() -> Self {
        Self(Deque::new())
    }

    /// Appends `notice`. The shell takes all notices after every event, and no event causes more than the queue holds.
    pub(super) fn push(&mut self, notice: Notice) {
        let kept = self.0.push_back(notice);
        debug_assert!(kept.is_ok(), "the notices of one event fit");
    }

    pub(super) fn extend(&mut self, notice: Option<Notice>) {
        if let Some(notice) = notice {
            self.push(notice);
        }
    }

    pub(super) fn pop(&mut self) -> Option<Notice> {
        self.0.pop_front()
    }
}
