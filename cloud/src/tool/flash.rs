//! `ota flash`: updates one thing.

use std::path::PathBuf;

use clap::Args;

use super::client::Server;
use super::create::{Create, UpdateOptions};
use super::job::watch;
use super::{Output, ToolError};

/// Update one thing, and follow the update to its end
#[derive(Debug, Args)]
pub struct Flash {
    /// The thing
    thing: String,
    /// The image, or one for each slot, or an app and a system of one release
    #[arg(required = true)]
    images: Vec<PathBuf>,
    #[command(flatten)]
    options: UpdateOptions,
}

impl Flash {
    /// Creates a job for the thing and follows it; fails unless it succeeds.
    pub fn run(self, server: &Server, output: Output) -> Result<(), ToolError> {
        let client = server.client()?;
        let id = Create::for_thing(self.thing, self.images, self.options).run(&client, output)?;
        watch(&client, &id, output)
    }
}
