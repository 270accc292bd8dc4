//! Text of devices and people as it is shown: characters that are not seen, and act on the text around them, as their numbers.

use std::borrow::Cow;
use std::fmt::Write;

/// White space that a page, or JSON between its values, may have.
pub const WHITE_SPACE: [char; 3] = ['\t', '\n', '\r'];

/// Returns the text with `\u202e` in place of each such character, except those in `kept`. In JSON that is the same text.
///
/// Shown so: control characters, separators of lines, and characters that set the direction of what follows, with which a text
/// reads as another one. Source: Unicode Standard Annex #9, "Explicit Directional Embeddings", and the sections after it.
pub fn visible<'a>(text: &'a str, kept: &[char]) -> Cow<'a, str> {
    let is_shown_so = |c: char| is_hidden(c) && !kept.contains(&c);
    if !text.contains(is_shown_so) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match is_shown_so(c) {
            true => write!(shown, "\\u{:04x}", u32::from(c)).expect("a string grows"),
            false => shown.push(c),
        }
    }
    Cow::Owned(shown)
}

fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_character_that_is_not_seen_is_shown_by_its_number() {
        for (text, shown) in [
            ("v2 für Küche 🏠 שלום", "v2 für Küche 🏠 שלום"),
            ("v2.\u{202e}gmi\u{202c}", "v2.\\u202egmi\\u202c"),
            ("a\u{1b}[31m\u{7f}\u{85}", "a\\u001b[31m\\u007f\\u0085"),
            ("a\r\nb", "a\\u000d\\u000ab"),
            ("\u{61c}\u{200f}\u{2028}\u{2066}\u{2069}", "\\u061c\\u200f\\u2028\\u2066\\u2069"),
        ] {
            assert_eq!(visible(text, &[]), shown);
        }
        assert_eq!(visible("a\r\n\tb\u{0}", &WHITE_SPACE), "a\r\n\tb\\u0000");
    }

    #[test]
    fn json_stays_the_same_value() {
        let json = "{\n\"a\": \"\u{202e}b\u{9b}\"}";
        let shown = visible(json, &WHITE_SPACE);
        let read = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert!(shown.contains("\\u202eb\\u009b") && read(&shown) == read(json), "{shown}");
    }
}
