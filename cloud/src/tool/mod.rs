//! The `ota` command: what people type. Arguments and exit codes are here, each command in a file of its own.
//!
//! Exit codes: 0 done, 1 refused or failed, 2 wrong usage (from the argument parser).

mod client;
mod info;
mod job;
mod keygen;
mod private_key;
mod sign;
mod verify;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use ota_pal::Header;
use ota_pal::header::HeaderError;

/// Why a command failed, for people.
#[derive(Debug)]
pub struct ToolError(String);

impl ToolError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A file that could not be used.
    fn file(path: &std::path::Path, error: &dyn std::fmt::Display) -> Self {
        Self(format!("{}: {error}", path.display()))
    }
}

impl std::fmt::Display for ToolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Keys, images and jobs of over-the-air updates.
#[derive(Debug, Parser)]
#[command(name = "ota", version)]
pub struct Arguments {
    #[command(flatten)]
    server: client::Server,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a key pair for signing images.
    Keygen(keygen::Keygen),
    /// Put a header before a file and sign the result.
    Sign(sign::Sign),
    /// Check an image against a public key.
    Verify(verify::Verify),
    /// Look at images.
    Image {
        #[command(subcommand)]
        command: ImageCommand,
    },
    /// Create jobs and follow them.
    Job {
        #[command(subcommand)]
        command: job::JobCommand,
    },
}

#[derive(Debug, Subcommand)]
enum ImageCommand {
    /// Print what an image says about itself.
    Info {
        /// The image.
        image: PathBuf,
    },
}

/// Runs one command; what it found out goes to stdout.
pub fn run(arguments: Arguments) -> Result<(), ToolError> {
    match arguments.command {
        Command::Keygen(keygen) => keygen.run(),
        Command::Sign(sign) => sign.run(),
        Command::Verify(verify) => verify.run(),
        Command::Image { command: ImageCommand::Info { image } } => info::run(&image),
        Command::Job { command } => command.run(&arguments.server),
    }
}

/// The bytes of a file.
fn read(path: &std::path::Path) -> Result<Vec<u8>, ToolError> {
    std::fs::read(path).map_err(|error| ToolError::file(path, &error))
}

/// Writes a file.
fn write(path: &std::path::Path, bytes: &[u8]) -> Result<(), ToolError> {
    std::fs::write(path, bytes).map_err(|error| ToolError::file(path, &error))
}

/// Do these bytes begin as every image of ours does? What follows may still be damaged.
fn is_image(bytes: &[u8]) -> bool {
    !matches!(Header::parse(bytes), Err(HeaderError::NotAnImage { .. } | HeaderError::TooShort { .. }))
}

/// The signature file of an image stands beside it.
fn signature_path(image: &std::path::Path) -> PathBuf {
    let mut name = image.as_os_str().to_owned();
    name.push(".sig");
    PathBuf::from(name)
}

/// A line beside the result, which goes on all the same.
fn print_note(text: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "ota: note: {text}");
}

/// A line of result; a reader that went away ends nothing.
fn print_line(text: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{text}");
}
