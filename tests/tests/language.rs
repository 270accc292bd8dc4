//! Comments and pages are in plain technical English: they have none of the words below. Text between ticks and in code
//! blocks does not count.

use std::fs;
use std::path::{Path, PathBuf};

use ota_tests::rows;

/// Words and phrases that no comment and no page has.
const BANNED: [&str; 30] = [
    "at hand",
    "believe",
    "believed",
    "believes",
    "comes true",
    "doubt",
    "doubts",
    "dropped:",
    "for good",
    "hear",
    "heard",
    "hears",
    "know",
    "knows",
    "nobody",
    "said",
    "say",
    "says",
    "somebody",
    "stand",
    "stands",
    "stood",
    "tell",
    "tells",
    "the way",
    "told",
    "want",
    "wants",
    "what is none",
    "whoever",
];

/// Where comments and pages are; `.` is the pages at the top.
const ROOMS: [&str; 9] = ["jobs", "pal", "agent", "boot", "cloud", "examples", "tests", "docs", "."];

/// A banned word and where it is.
struct Place {
    file: String,
    line: usize,
    word: &'static str,
    text: String,
}

/// The text of each line that is for people: comments of a source, prose of a page. As many lines as the file has.
fn prose(path: &Path, text: &str) -> Vec<String> {
    let lines = if path.extension().is_some_and(|ending| ending == "rs") { comments(text) } else { text.into() };
    let mut in_block = false;
    let mut prose = Vec::new();
    for line in lines.lines() {
        let bare = line.trim_start_matches(['/', '!', '*', ' ', '\t']);
        let fence = bare.starts_with("```");
        prose.push(if in_block || fence { String::new() } else { without_code(line) });
        in_block ^= fence;
    }
    prose
}

/// A line without what is between ticks.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join("`")
}

/// A source with everything but its comments and line ends left out.
fn comments(source: &str) -> String {
    let mut out = String::new();
    let mut rest = source;
    while let Some(char) = rest.chars().next() {
        let len = if rest.starts_with("//") {
            let len = rest.find('\n').unwrap_or(rest.len());
            out.push_str(&rest[..len]);
            len
        } else if rest.starts_with("/*") {
            let len = rest.find("*/").map_or(rest.len(), |end| end + 2);
            out.push_str(&rest[..len]);
            len
        } else {
            let len = literal(rest).unwrap_or(char.len_utf8());
            out.extend(rest[..len].chars().filter(|char| *char == '\n'));
            len
        };
        rest = &rest[len..];
    }
    out
}

/// Bytes of the literal of text or of one character that `rest` starts with.
fn literal(rest: &str) -> Option<usize> {
    let raw = rest.strip_prefix('r').map(|rest| rest.trim_start_matches('#')).filter(|rest| rest.starts_with('"'));
    if let Some(text) = raw {
        let hashes = rest.len() - 1 - text.len();
        let end = format!("\"{}", "#".repeat(hashes));
        let open = 1 + hashes + 1;
        return Some(rest[open..].find(&end).map_or(rest.len(), |at| open + at + end.len()));
    }
    if let Some(text) = rest.strip_prefix('"') {
        let mut escaped = false;
        let end = text.char_indices().find(|(_, char)| {
            let ends = !escaped && *char == '"';
            escaped = !escaped && *char == '\\';
            ends
        });
        return Some(end.map_or(rest.len(), |(at, _)| at + 2));
    }
    // A lifetime has no second quote behind its first character.
    let char = rest.strip_prefix('\'')?;
    match char.strip_prefix('\\') {
        Some(escape) => escape.get(1..)?.find('\'').map(|at| at + 4),
        None => {
            let len = char.chars().next()?.len_utf8();
            char[len..].starts_with('\'').then_some(len + 2)
        }
    }
}

/// The banned words of a line, each as often as it is there.
fn banned(line: &str) -> impl Iterator<Item = &'static str> {
    let line = line.to_lowercase();
    let is_letter = |char: Option<char>| char.is_some_and(|char| char.is_alphanumeric() || char == '_');
    BANNED.into_iter().flat_map(move |word| {
        let ends = |at: usize| {
            let after = line[at + word.len()..].chars().next();
            !is_letter(line[..at].chars().next_back()) && (word.ends_with(':') || !is_letter(after))
        };
        let count = line.match_indices(word).filter(|(at, _)| ends(*at)).count();
        std::iter::repeat_n(word, count)
    })
}

fn files(folder: &Path, deep: bool, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("it can be listed").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
        if path.is_dir() {
            if deep && name != "target" && name != "corpus" {
                files(&path, deep, found);
            }
        } else if name.ends_with(".md") || name.ends_with(".rs") {
            found.push(path);
        }
    }
}

fn places(room: &str) -> Vec<Place> {
    let top = rows::top();
    let mut paths = Vec::new();
    files(&top.join(room), room != ".", &mut paths);
    paths.sort();
    // This file names the words.
    paths.retain(|path| !path.ends_with("tests/tests/language.rs"));
    let mut places = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).expect("it is text");
        let file = path.strip_prefix(&top).expect("below the top").display().to_string();
        for (line, text) in prose(&path, &text).into_iter().enumerate() {
            let place = |word| Place { file: file.clone(), line: line + 1, word, text: text.trim().into() };
            places.extend(banned(&text).map(place));
        }
    }
    places
}

#[test]
fn comments_and_pages_use_plain_words() {
    let places = ROOMS.into_iter().flat_map(places);
    let bad: Vec<String> =
        places.map(|Place { file, line, word, text }| format!("{file}:{line}: {word}: {text}")).collect();
    assert!(bad.is_empty(), "{} banned words\n{}", bad.len(), bad.join("\n"));
}

#[test]
fn words_in_comments_are_found_and_those_in_code_are_not() {
    let source = "//! It knows.\nlet told = \"// she told\"; // told\n/* he\n  hears */ r#\"\"// says\"#; '\"'; '\\''; // a tells\n\
        // `told` untold\n/// ```\n/// // nobody\n/// ```\nfn f<'a>() {} // for good: stands, STANDS";
    let found: Vec<(usize, &str)> = prose(Path::new("a.rs"), source)
        .iter()
        .enumerate()
        .flat_map(|(line, text)| banned(text).map(move |word| (line + 1, word)).collect::<Vec<_>>())
        .collect();
    let want = [(1, "knows"), (2, "told"), (4, "hears"), (4, "tells"), (9, "for good"), (9, "stands"), (9, "stands")];
    assert_eq!(found, want);
}
