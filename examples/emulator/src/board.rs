//! An emulated board: a process of QEMU, whose console is read line by line. Killing the process is pulling the plug.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

use crate::machine::Machine;
use ota_examples::device::Error;
use ota_examples::lines::{Kind, Line, now_ms};

/// The emulator.
pub const QEMU: &str = "qemu-system-arm";
/// How long a line of the console is waited for: an emulated board on a busy machine, with a watchdog of 4 s and retries.
const LINE_WAIT: Duration = Duration::from_secs(60);
/// Lines that are kept for the message of a test that failed.
const KEPT_LINES: usize = 60;

/// A running board; killed when dropped.
pub struct Board {
    child: Child,
    console: Lines<BufReader<ChildStdout>>,
    last: Vec<String>,
}

impl Board {
    /// Switches on a board with this boot selector and this flash.
    pub fn start(machine: &Machine, selector: &Path, flash: &Path) -> Result<Self, Error> {
        let mut qemu = Command::new(QEMU);
        qemu.args((machine.qemu)(flash)).arg("-kernel").arg(selector);
        qemu.args(["-display", "none", "-serial", "stdio", "-monitor", "none", "-semihosting"]);
        qemu.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = qemu.spawn().map_err(|error| format!("{QEMU}: {error}"))?;
        let console = child.stdout.take().ok_or("a process without standard output")?;
        Ok(Self { child, console: BufReader::new(console).lines(), last: Vec::new() })
    }

    /// The next line of the console, with the time at which it arrived.
    ///
    /// # Cancel safety
    /// Cancel-safe.
    ///
    /// Errors: the board prints nothing, or QEMU ended.
    pub async fn line(&mut self) -> Result<Line, Error> {
        loop {
            let line = timeout(LINE_WAIT, self.console.next_line()).await;
            let line = line.map_err(|_| self.why("the board is silent"))??;
            let line = line.ok_or_else(|| self.why("QEMU ended"))?;
            if self.last.len() == KEPT_LINES {
                self.last.remove(0);
            }
            self.last.push(line.clone());
            if let Some(line) = Line::parse(&format!("{}\t{line}", now_ms())) {
                return Ok(line);
            }
        }
    }

    /// Waits for a line of this kind that starts with `text`, and returns it.
    ///
    /// Errors: as [`Board::line`].
    pub async fn until(&mut self, kind: Kind, text: &str) -> Result<Line, Error> {
        loop {
            let line = self.line().await.map_err(|error| format!("{kind:?} {text:?} is missing: {error}"))?;
            if line.kind == kind && line.text.starts_with(text) {
                return Ok(line);
            }
        }
    }

    /// Pulls the plug.
    pub async fn kill(mut self) -> Result<(), Error> {
        Ok(self.child.kill().await?)
    }

    fn why(&self, what: &str) -> Error {
        format!("{what}; its last lines:\n{}", self.last.join("\n")).into()
    }
}
