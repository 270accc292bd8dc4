//! `ota release`: create, list, show, watch, halt and revert releases.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::client::{Client, Server, escape};
use super::create::{Create, UpdateOptions, upload_all};
use super::{Output, ToolError, print_line, print_note};
use crate::api::{CreateResponse, Members};
use crate::limits::EVENTS_WAIT_MAX;
use crate::model::Event;
use crate::release_api::{
    HALTED, HaltRequest, NewRelease, REVERTED, ReleaseList, ReleaseView, RevertRequest, RevertResponse,
};
use crate::release_plan::{HaltRule, Mode};

/// Names of devices in the output for people; all are in that of `--unreached`.
const NAMES_SHOWN_MAX: usize = 10;

#[derive(Debug, Subcommand)]
pub enum ReleaseCommand {
    /// Upload images and release them
    Create(Box<CreateRelease>),
    /// List the newest releases
    List,
    /// Show how the devices of a release are, why it was halted, and which it did not reach then
    Show {
        /// Release id
        id: String,
        /// Print only the devices that it did not reach before it was halted, cancelled, or ended, one a line
        #[arg(long)]
        unreached: bool,
    },
    /// Follow a release until nothing of it is pending; succeeds only if no device failed
    Watch {
        /// Release id
        id: String,
    },
    /// Stop a release: no further device gets it
    Halt {
        /// Release id
        id: String,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Take a release back: the devices that it reached get the image that each had before
    Revert(Box<RevertRelease>),
}

/// Upload images and release them
#[derive(Debug, Args)]
pub struct CreateRelease {
    #[command(flatten)]
    create: Create,
    /// When the devices get it
    #[arg(long, value_enum, default_value = "on-session")]
    mode: ModeName,
    #[command(flatten)]
    halt: HaltArgs,
}

/// When a release is halted by itself
#[derive(Debug, Args)]
struct HaltArgs {
    /// Halt once this share of the ended devices failed, rejected it or timed out
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0)]
    halt_failed: f64,
    /// Halt once this share of the ended devices failed its self-test or went back
    #[arg(long, value_name = "PERCENT", default_value_t = 3.0)]
    halt_self_test: f64,
    /// Halt once this share of the devices that began long enough ago is silent
    #[arg(long, value_name = "PERCENT", default_value_t = 10.0)]
    halt_silent: f64,
    /// Silence of a device in progress that counts. Minutes
    #[arg(long, value_name = "MINUTES", default_value_t = 30)]
    silent_minutes: u64,
    /// Devices below which nothing is halted
    #[arg(long, value_name = "DEVICES", default_value_t = 20)]
    halt_min: u64,
    /// Halt nothing
    #[arg(long, conflicts_with_all = ["halt_failed", "halt_self_test", "halt_silent", "silent_minutes", "halt_min"])]
    no_halt: bool,
}

impl HaltArgs {
    fn rule(&self) -> HaltRule {
        let some = |percent: f64| Some(percent).filter(|_| !self.no_halt);
        HaltRule {
            failed_percent: some(self.halt_failed),
            self_test_percent: some(self.halt_self_test),
            silent_percent: some(self.halt_silent),
            silent_minutes: self.silent_minutes,
            min_devices: self.halt_min,
        }
    }
}

/// Take a release back
#[derive(Debug, Args)]
pub struct RevertRelease {
    /// Release id
    id: String,
    /// Images for all of them, instead of those that each had before
    #[arg(long, num_args = 1..)]
    to: Vec<PathBuf>,
    #[command(flatten)]
    options: UpdateOptions,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ModeName {
    /// Each at the begin of its next session
    OnSession,
    /// At once
    Immediate,
}

impl ReleaseCommand {
    /// Runs the command.
    pub fn run(self, server: &Server, output: Output) -> Result<(), ToolError> {
        let client = server.client()?;
        match self {
            Self::Create(create) => create.run(&client, output),
            Self::List => {
                let list: ReleaseList = client.get("/api/releases")?;
                output.print(&list, |list| list.releases.iter().for_each(|release| print_line(line(release))));
                Ok(())
            }
            Self::Show { id, unreached: true } => {
                let devices = unreached(&client, &id)?;
                output.print(&devices, |devices| devices.things.iter().for_each(print_line));
                Ok(())
            }
            Self::Show { id, unreached: false } => print_view(&client, &view(&client, &id)?, output),
            Self::Watch { id } => watch(&client, &id, output),
            Self::Halt { id, reason } => {
                let path = format!("/api/releases/{}/halt", escape(&id));
                let view: ReleaseView = client.post_json(&path, &HaltRequest { reason })?;
                print_view(&client, &view, output)
            }
            Self::Revert(revert) => revert.run(&client, output),
        }
    }
}

impl CreateRelease {
    fn run(self, client: &Client, output: Output) -> Result<(), ToolError> {
        let mode = match self.mode {
            ModeName::OnSession => Mode::OnSession,
            ModeName::Immediate => Mode::Immediate,
        };
        let halt = self.halt.rule();
        halt.check().map_err(ToolError::new)?;
        let id = self.create.run_as(client, output, |id, job| -> Result<CreateResponse, ToolError> {
            client.put(&format!("/api/releases/{}", escape(id)), &NewRelease { job, mode, halt: halt.clone() })
        })?;
        let (devices, needed) = (view(client, &id)?.health.devices, halt.min_devices);
        if devices < needed && !halt.is_none() {
            print_note(format_args!(
                "nothing halts a release for {devices} devices: its rule needs {needed}, see --halt-min"
            ));
        }
        Ok(())
    }
}

impl RevertRelease {
    fn run(self, client: &Client, output: Output) -> Result<(), ToolError> {
        let files = upload_all(client, &self.to, &self.options)?;
        let path = format!("/api/releases/{}/revert", escape(&self.id));
        let reverted: RevertResponse = client.post_json(&path, &RevertRequest { files })?;
        for thing in &reverted.without {
            print_note(format_args!("no earlier image of thing {thing} is known: name one with --to"));
        }
        for thing in &reverted.pinned {
            print_note(format_args!("thing {thing} is pinned: revert the release again once it is not"));
        }
        if reverted.older {
            print_note(
                "an image is older: devices that accept newer versions only reject it; sign it as a later version",
            );
        }
        output.print(&reverted, |reverted| {
            for release in &reverted.releases {
                print_line(format_args!("{}  {} devices", release.id, release.devices));
            }
        });
        match reverted.releases.is_empty() {
            true => Err(ToolError::new(format!("no device was taken back from {}", self.id))),
            false => Ok(()),
        }
    }
}

fn view(client: &Client, id: &str) -> Result<ReleaseView, ToolError> {
    client.get(&format!("/api/releases/{}", escape(id)))
}

/// A release in one line.
fn line(release: &ReleaseView) -> String {
    let health = &release.health;
    let counts = health.executions.iter().map(|(status, count)| format!("{status} {count}"));
    let others = [
        ("waiting", health.waiting),
        ("failed self-test", health.self_test_failed),
        ("silent", health.silent),
        ("on hold", health.on_hold),
        ("not reached", release.unreached),
    ];
    let others = others.into_iter().filter(|(_, count)| *count > 0).map(|(name, count)| format!("{name} {count}"));
    let all: Vec<String> = counts.chain(others).collect();
    format!("{}  {}  {}  {}", release.id, release.status, release.mode.as_str(), all.join(", "))
}

fn unreached(client: &Client, id: &str) -> Result<Members, ToolError> {
    client.get(&format!("/api/releases/{}/unreached", escape(id)))
}

fn print_view(client: &Client, release: &ReleaseView, output: Output) -> Result<(), ToolError> {
    let names = match release.unreached {
        0 => Vec::new(),
        _ if output.json => Vec::new(), // it has the count
        _ => unreached(client, &release.id)?.things,
    };
    output.print(release, |release| {
        print_line(line(release));
        if let Some(reason) = &release.reason {
            print_line(format_args!("halted: {reason}"));
        }
        if !names.is_empty() {
            print_line(format_args!("not reached: {}", some_of(&names)));
        }
        if let Some(reverts) = &release.reverts {
            print_line(format_args!("takes back {reverts}"));
        }
        print_line(format_args!("halt rule {}", serde_json::to_string(&release.halt).unwrap_or_default()));
    });
    Ok(())
}

/// The first names, and how many there are beside them.
fn some_of(names: &[String]) -> String {
    let shown = names[..names.len().min(NAMES_SHOWN_MAX)].join(", ");
    match names.len().saturating_sub(NAMES_SHOWN_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more, see --unreached"),
    }
}

/// Prints the events of a release until nothing of it is pending.
///
/// Errors: it was halted, or a device did not succeed.
fn watch(client: &Client, id: &str, output: Output) -> Result<(), ToolError> {
    let mut after = 0;
    loop {
        // The release is read before the events: an event between the two requests is printed in the next round.
        let release = view(client, id)?;
        let health = &release.health;
        let count = |status: &str| health.executions.get(status).copied().unwrap_or_default();
        let has_ended = health.waiting + count("QUEUED") + count("IN_PROGRESS") == 0;
        let wait_s = if has_ended { 0 } else { EVENTS_WAIT_MAX.as_secs() };
        let path = format!("/api/events?job={}&after={after}&wait_s={wait_s}", escape(id));
        let events: Vec<Event> = client.get(&path)?;
        for event in &events {
            output.print(event, |event| {
                print_line(format_args!("{}  {}", event.thing.as_deref().unwrap_or("-"), event.text));
            });
            after = event.seq;
        }
        if has_ended && events.is_empty() {
            let is_good =
                count("SUCCEEDED") == health.devices && ![HALTED, REVERTED].contains(&release.status.as_str());
            return if is_good { Ok(()) } else { Err(ToolError::new(line(&release))) };
        }
    }
}
