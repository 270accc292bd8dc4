//! `ota explain`: the meaning of a reason that a device reports.

use super::{ToolError, print_line};
use crate::reason::find;
use clap::Args;

/// Print the meaning of a reason code
#[derive(Debug, Args)]
pub struct Explain {
    /// Code, with or without 0x, or name, as in a job's status details: 0x0305, 305 or HttpForbidden
    reason: String,
}

impl Explain {
    /// Prints code, name, status and meaning, or fails if there is no such reason.
    pub fn run(&self) -> Result<(), ToolError> {
        let reason = find(&self.reason).ok_or_else(|| {
            ToolError::new(format!("{}: no reason has this code or name; docs/codes.md lists them", self.reason))
        })?;
        print_line(format_args!("{reason} ({}): {}", reason.status().as_str(), reason.description()));
        Ok(())
    }
}
