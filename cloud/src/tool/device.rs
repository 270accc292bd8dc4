//! `ota device`: pins.

use clap::Subcommand;

use super::client::{Server, escape};
use super::{Output, ToolError, print_line};
use crate::api::Members;

#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
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
