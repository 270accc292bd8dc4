//! `ota explain`: the meaning of a reason that a device reports.

use clap::Args;
use ota_jobs::Reason;

use super::{ToolError, print_line};

/// Print the meaning of a reason code
#[derive(Debug, Args)]
pub struct Explain {
    /// Code or name, as in a job's status details: 0x0305 or HttpForbidden
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

fn find(text: &str) -> Option<Reason> {
    let code =
        text.strip_prefix("0x").or(text.strip_prefix("0X")).and_then(|digits| u16::from_str_radix(digits, 16).ok());
    match code.or_else(|| text.parse().ok()) {
        Some(code) => Reason::from_code(code),
        None => Reason::all().find(|reason| reason.name().eq_ignore_ascii_case(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_found_by_its_code_and_by_its_name() {
        for text in ["0x0305", "0X0305", "773", "HttpForbidden", "httpforbidden"] {
            assert_eq!(find(text), Some(Reason::HttpForbidden), "{text}");
        }
        for text in ["", "0x", "0x0399", "99999", "Forbidden", "x0305"] {
            assert_eq!(find(text), None, "{text}");
        }
    }
}
