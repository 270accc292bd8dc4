//! The demo: a job service, a boot selector and a device, each a process of its own, and one update story between them.
//! What is shown is what the processes print; what is claimed at the end is read from the service and from the flash.

mod build;
mod certificates;
mod check;
mod claims;
mod hints;
mod interrupt;
mod processes;
mod screen;
mod story;
mod view;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use crate::interrupt::{Interrupted, Signals};
use crate::screen::Screen;

/// What goes wrong before or during the story, in words.
type Error = Box<dyn std::error::Error + Send + Sync>;

/// Shows an update from the job to the committed image, and back when the image is bad.
#[derive(Debug, Parser)]
struct Options {
    /// End after the story, with status 0 only if all of it came true.
    #[arg(long)]
    once: bool,
    /// Any file: it becomes part of every image, and its bytes are looked for in the flash.
    #[arg(long)]
    image: Option<PathBuf>,
    /// A broker to use instead of the service's own: mqtt://HOST:PORT, without TLS, on this machine.
    #[arg(long)]
    broker: Option<String>,
    /// How the images travel; without it, the story is told once over each.
    #[arg(long, value_enum)]
    protocol: Option<Protocol>,
}

/// How an image travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Protocol {
    /// In blocks, over an MQTT stream.
    Mqtt,
    /// As ranges, over HTTP.
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
    // Before anything else: from here on a signal ends nothing half-way.
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return failed(&error.into()),
    };
    let options = Options::parse();
    let mut screen = Screen::new();
    let outcome = tokio::select! {
        // First the signal: what it did to a child is no news then.
        biased;
        interrupted = signals.next() => Err(interrupted.into()),
        outcome = story::tell(&options, &mut screen) => outcome,
    };
    // The story was dropped by now: its processes ended with it, and its folder is gone.
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> ExitCode {
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        eprintln!("\n{interrupted}: nothing is left behind");
        return ExitCode::from(interrupted.exit_status());
    }
    eprintln!("demo: {error}");
    ExitCode::FAILURE
}
