//! Holds: while the application does what no update may disturb, no download starts and no reset is made.

use core::cell::Cell;

use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::signal::Signal;

use crate::application::Command;
use crate::machine::{Consent, Step, WhyLater};

/// When the application is asked again if no command does it.
const ASK_AGAIN_MS: u32 = 10_000;

/// Counts the holds of an application. Can be a `static`; a mutex of critical sections makes it usable in interrupts.
///
/// [`Holds::consent`] is the answer for [`Application::consent`](crate::Application::consent), [`Holds::released`] a source of
/// commands for [`Application::command`](crate::Application::command).
pub struct Holds<M: RawMutex> {
    held: Mutex<M, Cell<Held>>,
    released: Signal<M, ()>,
}

#[derive(Clone, Copy)]
struct Held {
    count: u32,
    newest: &'static str,
}

/// Postpones the next step of an update until it is dropped.
#[must_use = "dropping it ends the hold"]
pub struct Hold<'h, M: RawMutex>(&'h Holds<M>);

impl<M: RawMutex> Holds<M> {
    /// No hold.
    pub const fn new() -> Self {
        Self { held: Mutex::new(Cell::new(Held { count: 0, newest: "" })), released: Signal::new() }
    }

    /// Holds updates until the guard is dropped; `what` is for [`Holds::held_by`]. A download that is running goes on.
    pub fn hold(&self, what: &'static str) -> Hold<'_, M> {
        self.held.lock(|held| held.set(Held { count: held.get().count + 1, newest: what }));
        Hold(self)
    }

    /// What the newest hold was made for; `None` without a hold.
    pub fn held_by(&self) -> Option<&'static str> {
        let Held { count, newest } = self.held.lock(Cell::get);
        (count > 0).then_some(newest)
    }

    /// [`Consent::Later`] while there is a hold.
    pub fn consent(&self, _step: Step) -> Consent {
        match self.held_by() {
            None => Consent::Now,
            Some(_) => Consent::Later { ms: ASK_AGAIN_MS, why: WhyLater::Held },
        }
    }

    /// Waits until the last hold is dropped, then returns [`Command::Ask`], so that an update that waits goes on at once.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    pub async fn released(&self) -> Command {
        self.released.wait().await;
        Command::Ask
    }
}

impl<M: RawMutex> Default for Holds<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M: RawMutex> Drop for Hold<'_, M> {
    fn drop(&mut self) {
        self.0.held.lock(|held| held.set(Held { count: held.get().count - 1, ..held.get() }));
        if self.0.held_by().is_none() {
            self.0.released.signal(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use embassy_futures::poll_once;
    use embassy_sync::blocking_mutex::raw::NoopRawMutex;

    #[test]
    fn a_step_waits_until_the_last_hold_is_dropped_and_is_asked_for_then() {
        let holds = Holds::<NoopRawMutex>::new();
        let asked = || poll_once(holds.released()).is_ready();
        let later = Consent::Later { ms: 10_000, why: WhyLater::Held };
        assert_eq!((holds.consent(Step::Reset), holds.held_by(), asked()), (Consent::Now, None, false));
        let pump = holds.hold("pump");
        let door = holds.hold("door");
        assert_eq!((holds.consent(Step::Download), holds.held_by()), (later, Some("door")));
        drop(pump);
        assert_eq!((holds.consent(Step::Reset), asked()), (later, false));
        drop(door);
        assert_eq!((holds.consent(Step::Reset), holds.held_by()), (Consent::Now, None));
        assert_eq!((asked(), asked()), (true, false));
    }
}
