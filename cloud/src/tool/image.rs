//! `ota image`: list and delete the images of the service. The header of a file is in `info.rs`.

use std::path::PathBuf;

use clap::Subcommand;

use super::client::{Client, Server, escape};
use super::{Output, ToolError, info, print_line};
use crate::api::{ImageList, ImageRow};
use crate::clock::time;

#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Print the header and the digest of an image
    Info {
        /// The image.
        image: PathBuf,
    },
    /// List the images of the service, newest first
    List,
    /// Delete an image of the service that no job or stream uses
    Delete {
        /// Its id, the first column of the list
        id: String,
    },
}

impl ImageCommand {
    /// Runs the command.
    pub fn run(self, server: &Server, output: Output) -> Result<(), ToolError> {
        match self {
            Self::Info { image } => info::run(&image),
            Self::List => list(&server.client()?, output),
            Self::Delete { id } => server.client()?.delete(&format!("/api/images/{}", escape(&id)), None::<&ImageRow>),
        }
    }
}

/// Prints all pages.
fn list(client: &Client, output: Output) -> Result<(), ToolError> {
    let mut next = Some(1);
    while let Some(page) = next {
        let list: ImageList = client.get(&format!("/api/images?page={page}"))?;
        for row in &list.images {
            output.print(row, |row| print_line(line(row)));
        }
        next = list.next;
    }
    Ok(())
}

/// An image in one line.
fn line(row: &ImageRow) -> String {
    let ImageRow { image, created_at_s } = row;
    let signed = if image.signature.is_some() { "signed" } else { "unsigned" };
    let (id, name, size_bytes) = (&image.id, &image.name, image.size_bytes);
    format!("{id}  {name}  {size_bytes} bytes  {signed}  sha256 {}  {} UTC", image.sha256, time(*created_at_s))
}
