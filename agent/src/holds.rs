//! Holds: while the application does what no update may disturb, no download starts and no reset is consented to.

use core::cell::Cell;

use embassy_sync::blocking_mutex::Mutex;
use embassy_sync::blocking_mutex::raw::RawMutex;
use embassy_sync::signal::Signal;

use crate::application::Command;
use crate::machine::{Consent, Step, WhyLater};

/// When the application is asked again if no command does it.
const ASK_AGAIN_MS: u32 = 10_000;

/// Counts the holds of an application, for one agent. Can be a `static`: with the mutex `CriticalSectionRawMutex` of
/// `embassy-sync` 0.8, also interrupts can hold.
///
/// A step that was consented to is not stopped: the device may reset within some seconds after [`Holds::consent`] answered so
/// for the reset. A rollback of a failed trial is not held.
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
    /// A step was postponed since the last release.
    postponed: bool,
}

/// Postpones the next step of an update until it is dropped.
#[must_use = "dropping it ends the hold"]
pub struct Hold<'h, M: RawMutex>(&'h Holds<M>);

impl<M: RawMutex> Holds<M> {
    /// No hold.
    pub const fn new() -> Self {
        Self { held: Mutex::new(Cell::new(Held { count: 0, newest: "", postponed: false })), released: Signal::new() }
    }

    /// Holds updates until the guard is dropped; `what` is for [`Holds::held_by`]. A download that runs goes on.
    pub fn hold(&self, what: &'static str) -> Hold<'_, M> {
        self.held.lock(|held| held.set(Held { count: held.get().count + 1, newest: what, ..held.get() }));
        Hold(self)
    }

    /// What the newest hold was made for, also if an older one is left; `None` without a hold.
    pub fn held_by(&self) -> Option<&'static str> {
        let Held { count, newest, .. } = self.held.lock(Cell::get);
        (count > 0).then_some(newest)
    }

    /// [`Consent::Later`] while there is a hold.
    pub fn consent(&self, _step: Step) -> Consent {
        let is_held = self.held.lock(|cell| {
            let held = cell.get();
            let is_held = held.count > 0;
            cell.set(Held { postponed: held.postponed || is_held, ..held });
            is_held
        });
        if is_held { Consent::Later { ms: ASK_AGAIN_MS, why: WhyLater::Held } } else { Consent::Now }
    }

    /// Waits until a step was postponed and the last hold is dropped, then returns [`Command::Ask`], so that the update goes on at
    /// once.
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
        let released = self.0.held.lock(|held| {
            let Held { count, newest, postponed } = held.get();
            let released = postponed && count == 1;
            held.set(Held { count: count - 1, newest, postponed: postponed && !released });
            released
        });
        if released {
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
        drop(holds.hold("fan"));
        assert!(!asked(), "nothing waited");
    }
}
