//! The lines that the demo's processes print and the demo reads: what happened, on which topic, since when.
//! One line an event, fields between tabs, so that a person can read them as they are.

use std::time::{SystemTime, UNIX_EPOCH};

/// One line of a device's log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Milliseconds since 1970.
    pub at_ms: u64,
    /// What kind of event.
    pub kind: Kind,
    /// The topic of a message; empty for everything else.
    pub topic: String,
    /// The rest.
    pub text: String,
}

/// Kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A program starts.
    Start,
    /// Something that the agent noticed.
    Notice,
    /// How far the download is.
    Progress,
    /// A message to the service.
    Out,
    /// A message from the service.
    In,
    /// The boot selector's word.
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
    /// The line that `text` is; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let mut fields = text.splitn(4, '\t');
        let at_ms = fields.next()?.parse().ok()?;
        let name = fields.next()?;
        let (kind, _) = KINDS.into_iter().find(|(_, known)| *known == name)?;
        Some(Self { at_ms, kind, topic: fields.next()?.to_owned(), text: fields.next()?.to_owned() })
    }
}

/// Prints a line now.
pub fn print(kind: Kind, topic: &str, text: &str) {
    let (_, name) = KINDS.into_iter().find(|(known, _)| *known == kind).expect("every kind has a name");
    println!("{}\t{name}\t{topic}\t{text}", now_ms());
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
