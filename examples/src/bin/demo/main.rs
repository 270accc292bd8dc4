//! The demo: a job service, a boot selector and a device, each in a process of its own, run an update scenario.
//! The output of the processes is shown; the results at the end are read from the service and from the flash.

mod build;
#[path = "../../../emulator/src/certificates.rs"]
mod certificates;
mod check;
mod hints;
mod interrupt;
mod processes;
mod results;
mod scenario;
mod screen;
mod view;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::interrupt::{Interrupted, Signals};
use crate::screen::Screen;

/// Error of the demo, as a message for the user.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Show firmware updates from the job to the committed image, and the rollback of a bad image
#[derive(Debug, Parser)]
struct Options {
    /// Exit after the scenario, with status 0 only if all results are as expected
    #[arg(long)]
    once: bool,
    /// Any file; it becomes part of every image and is searched for in the flash
    #[arg(long)]
    image: Option<PathBuf>,
    /// External broker: mqtt://HOST:PORT, without TLS, on this machine
    #[arg(long)]
    broker: Option<String>,
    /// Protocol of the downloads; by default the scenario runs once with each
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,
}

/// Protocol of a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// Blocks of an MQTT stream
    Mqtt,
    /// Byte ranges over HTTP
    Http,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Protocol::Mqtt => "mqtt",
            Protocol::Http => "http",
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // Before anything else, so that a signal cannot leave files or processes behind.
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return failed(&error.into()),
    };
    let options = Options::parse();
    let mut screen = Screen::new();
    let outcome = tokio::select! {
        // The signal first: it may also have ended a child.
        biased;
        interrupted = signals.next() => Err(interrupted.into()),
        outcome = scenario::run(&options, &mut screen) => outcome,
    };
    // The scenario ended: its processes have ended and its folder is removed.
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> ExitCode {
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        eprintln!("\n{interrupted}: all processes ended, all files removed");
        return ExitCode::from(interrupted.exit_status());
    }
    eprintln!("demo: {error}");
    ExitCode::FAILURE
}
