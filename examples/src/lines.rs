//! Log lines that the demo's processes print and the demo parses.
//! One line per event, fields separated by tabs, readable without the demo.

use std::io::{self, Write};
use std::process;
use std::time::{SystemTime, UNIX_EPOCH};

/// A log line of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// What kind of event.
    pub kind: Kind,
    /// Topic of a message; empty for other events.
    pub topic: String,
    /// Remaining text.
    pub text: String,
}

/// Kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A program starts.
    Start,
    /// A notice of the agent.
    Notice,
    /// Progress of the download.
    Progress,
    /// A message to the service.
    Out,
    /// A message from the service.
    In,
    /// A decision of the boot selector.
    Boot,
}

const KINDS: [(Kind, &str); 6] = [
    (Kind::Start, "start"),
    (Kind::Notice, "notice"),
    (Kind::Progress, "progress"),
    (Kind::Out, "out"),
    (Kind::In, "in"),
    (Kind::Boot, "boot"),
];

impl Line {
    /// Parses a line; returns `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.splitn(4, '\t');
        let at_ms = fields.next()?.parse().ok()?;
        let name = fields.next()?;
        let (kind, _) = KINDS.into_iter().find(|(_, known)| *known == name)?;
        Some(Self { at_ms, kind, topic: fields.next()?.to_owned(), text: fields.next()?.to_owned() })
    }
}

/// Prints a line with the current time. Exits if standard output is closed, as at the end of the demo.
pub fn print(kind: Kind, topic: &str, text: &str) {
    let (_, name) = KINDS.into_iter().find(|(known, _)| *known == kind).expect("every kind has a name");
    if writeln!(io::stdout(), "{}\t{name}\t{topic}\t{text}", now_ms()).is_err() {
        process::exit(0);
    }
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is set");
    u64::try_from(since.as_millis()).expect("not in this age")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_comes_apart_as_it_was_put_together() {
        let line = Line { at_ms: 7, kind: Kind::Out, topic: "a/b".into(), text: "c\td".into() };
        assert_eq!(Line::parse("7\tout\ta/b\tc\td"), Some(line));
        assert_eq!(Line::parse("panicked at"), None);
    }
}
