//! Ctrl-C and a polite kill: heard from the first moment on, and told apart from failures.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Shells add it to the signal's number to make an exit status.
const EXIT_BASE: i32 = 128;

/// Somebody wants this to end; it is no failure.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted {
    by: SignalKind,
}

impl Interrupted {
    /// The interruption that ended a child. A terminal sends Ctrl-C to all of us, and the child may be gone first.
    pub fn ended(status: ExitStatus) -> Option<Self> {
        let by = SignalKind::interrupt();
        (status.signal() == Some(by.as_raw_value())).then_some(Self { by })
    }

    /// The exit status, as shells have it: 130 after Ctrl-C.
    pub fn exit_status(self) -> u8 {
        u8::try_from(EXIT_BASE + self.by.as_raw_value()).unwrap_or(u8::MAX)
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("interrupted")
    }
}

impl std::error::Error for Interrupted {}

/// The signals that end the demo. While this exists, they end nothing by themselves.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// From here on they are heard.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for one. Dropping the future loses none.
    pub async fn next(&mut self) -> Interrupted {
        tokio::select! {
            _ = self.interrupt.recv() => Interrupted { by: SignalKind::interrupt() },
            _ = self.terminate.recv() => Interrupted { by: SignalKind::terminate() },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_that_ctrl_c_ended_did_not_fail() {
        assert_eq!(Interrupted::ended(ExitStatus::from_raw(2)).map(Interrupted::exit_status), Some(130));
        for other in [9, 1 << 8] {
            assert!(Interrupted::ended(ExitStatus::from_raw(other)).is_none());
        }
    }
}
