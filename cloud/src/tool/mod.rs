//! The `ota` command: arguments and exit codes. Each command is in a file of its own.
//!
//! Exit codes: 0 success, 1 rejected or failed, 2 wrong usage (from the argument parser).

mod access_key;
mod account;
mod client;
mod command_line;
mod create;
mod device;
mod doctor;
mod explain;
mod flash;
mod group;
mod image;
mod info;
mod job;
mod keygen;
mod manual;
mod private_key;
mod release;
mod rollout_args;
mod sign;
mod verify;

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use ota_pal::Header;
use ota_pal::image::header::HeaderError;

use crate::visible::{WHITE_SPACE, visible};

/// Why a command failed, as a message for the user.
#[derive(Debug)]
pub struct ToolError(String);

impl ToolError {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// A file is not usable.
    fn file(path: &std::path::Path, error: &dyn std::fmt::Display) -> Self {
        Self(format!("{}: {error}", path.display()))
    }
}

impl std::fmt::Display for ToolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&visible(&self.0, &[]))
    }
}

/// Keys, images and jobs of over-the-air updates.
#[derive(Debug, Parser)]
#[command(name = "ota", version)]
pub struct Arguments {
    #[command(flatten)]
    server: client::Server,
    /// Print results of the service as JSON, one value a line
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

/// How results of the service are printed.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

impl Output {
    /// Prints a result as JSON, or by `text`.
    fn print<T: serde::Serialize>(self, result: &T, text: impl FnOnce(&T)) {
        if self.json {
            print_json("", &serde_json::to_string(result).expect("names, numbers and texts"));
        } else {
            text(result);
        }
    }
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Create a key pair for signing images
    Keygen(keygen::Keygen),
    /// Add an image header to a file and sign the result
    Sign(sign::Sign),
    /// Verify the signature of an image
    Verify(verify::Verify),
    /// Inspect images, and list and delete those of the service
    Image {
        #[command(subcommand)]
        command: image::ImageCommand,
    },
    /// Print the meaning of a reason code
    Explain(explain::Explain),
    Doctor(doctor::Doctor),
    /// Update one thing, and follow the update to its end
    Flash(flash::Flash),
    /// Create and follow jobs
    Job {
        #[command(subcommand)]
        command: job::JobCommand,
    },
    /// Release images to devices, watch their health, halt and revert
    Release {
        #[command(subcommand)]
        command: release::ReleaseCommand,
    },
    /// List and pin devices
    Device {
        #[command(subcommand)]
        command: device::DeviceCommand,
    },
    /// Print the completion of a shell for this command
    Completion(manual::Completion),
    /// Write the manual pages of this command
    Man(manual::Man),
    /// Give people access
    Account {
        #[command(subcommand)]
        command: account::AccountCommand,
    },
    /// Give programs access
    Token {
        #[command(subcommand)]
        command: account::TokenCommand,
    },
    /// Put things into groups
    Group {
        #[command(subcommand)]
        command: group::GroupCommand,
    },
    /// Create and delete keys for the tools of AWS
    AccessKey {
        #[command(subcommand)]
        command: access_key::AccessKeyCommand,
    },
}

/// Runs one command; results are printed to stdout.
pub fn run(arguments: Arguments) -> Result<(), ToolError> {
    let output = Output { json: arguments.json };
    match arguments.command {
        Command::Keygen(keygen) => keygen.run(),
        Command::Sign(sign) => sign.run(),
        Command::Verify(verify) => verify.run(),
        Command::Image { command } => command.run(&arguments.server, output),
        Command::Explain(explain) => explain.run(),
        Command::Doctor(doctor) => doctor.run(),
        Command::Completion(completion) => completion.run(),
        Command::Man(man) => man.run(),
        Command::Flash(flash) => flash.run(&arguments.server, output),
        Command::Job { command } => command.run(&arguments.server, output),
        Command::Release { command } => command.run(&arguments.server, output),
        Command::Device { command } => command.run(&arguments.server, output),
        Command::Account { command } => command.run(&arguments.server, output),
        Command::Token { command } => command.run(&arguments.server, output),
        Command::Group { command } => command.run(&arguments.server, output),
        Command::AccessKey { command } => command.run(&arguments.server, output),
    }
}

/// Reads a file.
fn read(path: &std::path::Path) -> Result<Vec<u8>, ToolError> {
    std::fs::read(path).map_err(|error| ToolError::file(path, &error))
}

/// Writes a file.
fn write(path: &std::path::Path, bytes: &[u8]) -> Result<(), ToolError> {
    std::fs::write(path, bytes).map_err(|error| ToolError::file(path, &error))
}

/// Returns whether the bytes start with an image header; the rest may be damaged.
fn is_image(bytes: &[u8]) -> bool {
    !matches!(Header::parse(bytes), Err(HeaderError::NotAnImage { .. } | HeaderError::TooShort { .. }))
}

/// Returns the path of an image's signature: the image's path with `.sig`.
fn signature_path(image: &std::path::Path) -> PathBuf {
    let mut name = image.as_os_str().to_owned();
    name.push(".sig");
    PathBuf::from(name)
}

/// Prints a note to stderr; the command continues.
fn print_note(text: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "ota: note: {}", visible(&text.to_string(), &[]));
}

/// Prints a result of many lines.
fn print_bytes(bytes: &[u8]) -> Result<(), ToolError> {
    use std::io::Write;
    std::io::stdout().write_all(bytes).map_err(|error| ToolError::new(format!("stdout: {error}")))
}

/// Prints a line of the result, with whatever a device or a person named [`visible`]; errors of stdout are ignored.
fn print_line(text: impl std::fmt::Display) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{}", visible(&text.to_string(), &[]));
}

/// As [`print_line`], with JSON behind a name. The white space between its values is its own.
fn print_json(name: &str, json: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout(), "{name}{}", visible(json, &WHITE_SPACE));
}
