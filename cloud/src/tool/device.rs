//! `ota device`: list, show, hardware, pins.

use clap::Subcommand;

use super::client::{Client, Server, escape};
use super::{Output, ToolError, print_line, print_note};
use crate::api::Members;
use crate::clock::time;
use crate::device::{Device, DeviceList, DeviceView, Queue, SetHardware};

#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// List the devices with what they report: availability, hardware, version
    List {
        /// Part of the names
        #[arg(default_value = "")]
        filter: String,
    },
    /// Show a device, and which job is first in its queue
    Show {
        /// Its thing name
        thing: String,
    },
    /// Set the hardware id of devices that report none, or forget it
    Set {
        /// Their thing names
        #[arg(required = true)]
        things: Vec<String>,
        /// Hardware id, as in image headers; empty to forget it
        #[arg(long)]
        hardware: String,
    },
    /// Pin devices to the versions that they have: new jobs pass them over
    Pin {
        /// Their thing names
        #[arg(required = true)]
        things: Vec<String>,
    },
    /// Release pinned devices; jobs that were created meanwhile are not made up for
    Unpin {
        /// Their thing names
        #[arg(required = true)]
        things: Vec<String>,
    },
    /// List the pinned devices
    Pinned,
}

impl DeviceCommand {
    /// Runs the command.
    pub fn run(self, server: &Server, output: Output) -> Result<(), ToolError> {
        let client = server.client()?;
        let path = |thing: &String| format!("/api/things/{}/pin", escape(thing));
        match self {
            Self::List { filter } => list(&client, &filter, output),
            Self::Show { thing } => {
                let view: DeviceView = client.get(&format!("/api/things/{}", escape(&thing)))?;
                output.print(&view, print_view);
                Ok(())
            }
            Self::Set { things, hardware } => things.iter().try_for_each(|thing| set(&client, thing, &hardware)),
            Self::Pin { things } => things.iter().try_for_each(|thing| client.put_empty(&path(thing))),
            Self::Unpin { things } => things.iter().try_for_each(|thing| client.delete(&path(thing), None::<&Members>)),
            Self::Pinned => {
                let pinned: Members = client.get("/api/pins")?;
                output.print(&pinned, |pinned| pinned.things.iter().for_each(print_line));
                Ok(())
            }
        }
    }
}

/// Prints all pages.
fn list(client: &Client, filter: &str, output: Output) -> Result<(), ToolError> {
    let mut next = Some(1);
    while let Some(page) = next {
        let list: DeviceList = client.get(&format!("/api/things?filter={}&page={page}", escape(filter)))?;
        for device in &list.things {
            output.print(device, |device| print_line(line(device)));
        }
        next = list.next;
    }
    Ok(())
}

fn print_view(view: &DeviceView) {
    print_line(line(&view.device));
    if let Some(queue) = &view.queue {
        let Queue { first, status, since_s, behind, .. } = queue;
        let others = if *behind == 1 { "1 job".to_owned() } else { format!("{behind} jobs") };
        print_line(format_args!(
            "first in its queue: {first}, {status} since {} UTC; {others} behind it",
            time(*since_s)
        ));
        if !queue.hint().is_empty() {
            print_line(queue.hint());
        }
    }
}

fn set(client: &Client, thing: &str, hardware: &str) -> Result<(), ToolError> {
    let path = format!("/api/things/{}", escape(thing));
    let path_of_hardware = format!("{path}/hardware");
    if hardware.is_empty() {
        return client.delete(&path_of_hardware, None::<&SetHardware>);
    }
    client.set(&path_of_hardware, &SetHardware { hardware: hardware.to_owned() })?;
    let report = client.get::<Device>(&path)?.report;
    if let Some(reported) = report.and_then(|report| report.hardware).filter(|reported| *reported != hardware) {
        print_note(format_args!(
            "{thing} reports hardware {reported}, which holds: {hardware} is used only while it reports none"
        ));
    }
    Ok(())
}

fn not_connected(seen_at_s: Option<u64>) -> String {
    match seen_at_s {
        Some(at_s) => format!("not connected since {} UTC", time(at_s)),
        None => "not connected, no contact recorded since the service started".to_owned(),
    }
}

/// A device in one line.
fn line(device: &Device) -> String {
    let report = device.report.as_ref();
    let availability = match report {
        _ if device.connected == Some(false) => not_connected(device.seen_at_s),
        None => "not reported".to_owned(),
        Some(report) if report.available => "available".to_owned(),
        Some(report) => format!("not available: {}", report.reason.as_deref().unwrap_or("no reason")),
    };
    let version = report.and_then(|report| report.version.as_deref()).unwrap_or("-");
    let pinned = if device.pinned { "  pinned" } else { "" };
    format!("{}  {availability}  {}  {version}{pinned}", device.thing, device.hardware().unwrap_or("-"))
}
