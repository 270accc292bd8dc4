//! SIGINT and SIGTERM: handled from the start, and distinguished from failures.

use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Shells add it to the signal number to form an exit status.
const EXIT_BASE: i32 = 128;

/// The demo was interrupted; this is not a failure.
#[derive(Clone, Copy, Debug)]
pub struct Interrupted {
    by: SignalKind,
}

impl Interrupted {
    /// Returns the interruption that ended a child. A terminal sends Ctrl-C to all processes, and the child may end first.
    pub fn ended(status: ExitStatus) -> Option<Self> {
        let by = SignalKind::interrupt();
        (status.signal() == Some(by.as_raw_value())).then_some(Self { by })
    }

    /// Exit status as in shells: 130 after Ctrl-C.
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

/// The signals that end the demo. While this exists, they do not end the process directly.
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Starts to receive the signals.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for a signal.
    ///
    /// # Cancel safety
    ///
    /// No signal is lost if the future is dropped.
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
