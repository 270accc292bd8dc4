//! `ota completion` and `ota man`: what shells and `man` read, made from the arguments themselves.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Arguments, ToolError};

/// Print the completion of a shell for this command
#[derive(Debug, Args)]
pub struct Completion {
    /// The shell
    shell: Shell,
}

impl Completion {
    /// Prints it.
    pub fn run(&self) -> Result<(), ToolError> {
        let mut text = Vec::new();
        clap_complete::generate(self.shell, &mut Arguments::command(), "ota", &mut text);
        super::print_bytes(&text)
    }
}

/// Write the manual pages of this command
#[derive(Debug, Args)]
pub struct Man {
    /// Folder for `ota.1` and a page of each command; created if missing
    folder: PathBuf,
}

impl Man {
    /// Writes them.
    pub fn run(&self) -> Result<(), ToolError> {
        std::fs::create_dir_all(&self.folder).map_err(|error| ToolError::file(&self.folder, &error))?;
        let written = clap_mangen::generate_to(Arguments::command().name("ota"), &self.folder);
        written.map_err(|error| ToolError::file(&self.folder, &error))
    }
}
