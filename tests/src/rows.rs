//! The tables of planted bugs: docs/features.md, docs/cuts.md and docs/sabotage.md. A row names a source file, a piece of its
//! text, what to put in its place, and a test that must then fail.

use std::error::Error;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

/// The pages that hold tables.
pub const PAGES: [&str; 3] = ["docs/features.md", "docs/cuts.md", "docs/sabotage.md"];

/// The last three names of a table's header; a table with these is one of planted bugs.
const COLUMNS: [&str; 3] = ["in", "this", "becomes"];
const CELLS: usize = 6;

/// One planted bug.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// A letter and two digits; rows of one promise share it.
    pub id: String,
    /// The arguments of `cargo test`.
    pub test: String,
    /// The source file, from the top of the repository.
    pub file: String,
    /// Its text that changes, which it has exactly once.
    pub this: String,
    /// The text that takes its place.
    pub becomes: String,
}

/// What is wrong with a table or a row.
#[derive(Debug)]
pub struct RowError(String);

impl fmt::Display for RowError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for RowError {}

impl Row {
    /// The source with the bug in it.
    ///
    /// # Errors
    /// [`RowError`] unless `source` has [`this`](Self::this) exactly once, and something else takes its place.
    pub fn plant(&self, source: &str) -> Result<String, RowError> {
        let Self { id, file, this, becomes, .. } = self;
        if this == becomes {
            return Err(RowError(format!("{id}: the change changes nothing")));
        }
        match source.matches(this.as_str()).count() {
            1 => Ok(source.replacen(this.as_str(), becomes, 1)),
            count => Err(RowError(format!("{id}: {file} has {count} times, not once: {this:?}"))),
        }
    }

    /// The part of a name that selects the tests, if the row does not run all of a package or a file.
    pub fn filter(&self) -> Option<&str> {
        let mut words = self.test.split_whitespace();
        let mut filter = None;
        while let Some(word) = words.next() {
            match word {
                "-p" | "--package" | "--test" | "--bin" | "--features" => _ = words.next(),
                "--lib" | "--doc" => {}
                word => filter = Some(word),
            }
        }
        filter
    }

    /// Whether the row's test is one of documentation, which is compiled when it runs.
    pub fn is_documentation(&self) -> bool {
        self.test.split_whitespace().any(|word| word == "--doc")
    }

    /// The package whose tests the row runs.
    pub fn package(&self) -> Option<&str> {
        let mut words = self.test.split_whitespace();
        words.find(|word| matches!(*word, "-p" | "--package"))?;
        words.next()
    }
}

/// The top of the repository.
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All rows of all pages below `top`, in their order.
///
/// # Errors
/// A page that cannot be read; [`RowError`] for the first row that is not one.
pub fn read(top: &Path) -> Result<Vec<Row>, Box<dyn Error>> {
    let mut rows = Vec::new();
    for page in PAGES {
        let text = fs::read_to_string(top.join(page)).map_err(|error| RowError(format!("{page}: {error}")))?;
        let of_page = parse(&text).map_err(|error| RowError(format!("{page}: {error}")))?;
        if of_page.is_empty() {
            return Err(RowError(format!("{page}: no table of planted bugs")).into());
        }
        rows.extend(of_page);
    }
    Ok(rows)
}

/// The rows of every table of planted bugs in a page. In a cell `\|` is a bar and `\n` a new line.
///
/// # Errors
/// [`RowError`] for the first line inside such a table that is not a row of it.
pub fn parse(page: &str) -> Result<Vec<Row>, RowError> {
    let mut rows = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        let cells = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")).map(|line| line.split(" | "));
        let cells: Vec<&str> = cells.into_iter().flatten().map(str::trim).collect();
        if !inside {
            inside = cells.ends_with(&COLUMNS);
        } else if !line.starts_with('|') {
            inside = false;
        } else if !line.starts_with("|--") {
            rows.push(row(&cells).ok_or_else(|| RowError(format!("not a row: {line}")))?);
        }
    }
    Ok(rows)
}

fn row(cells: &[&str]) -> Option<Row> {
    let [id, _, test, file, this, becomes] = *<&[&str; CELLS]>::try_from(cells).ok()?;
    let is_id = id.len() == 3 && id.is_ascii() && id[1..].bytes().all(|byte| byte.is_ascii_digit());
    let (test, file, this, becomes) = (code(test)?, code(file)?, code(this)?, code(becomes)?);
    (is_id && !test.is_empty() && !file.is_empty() && !this.is_empty()).then(|| Row {
        id: id.into(),
        test,
        file,
        this,
        becomes,
    })
}

/// The text between the ticks of a cell.
fn code(cell: &str) -> Option<String> {
    let text = cell.strip_prefix('`')?.strip_suffix('`')?;
    Some(text.replace("\\|", "|").replace("\\n", "\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADER: &str = "| id | bug | test: `cargo test` ... | in | this | becomes |\n|---|---|---|---|---|---|\n";

    fn page(rows: &str) -> String {
        format!("# Title\n\n| a | b |\n|---|---|\n| c | d |\n\n{HEADER}{rows}\n\nMore.\n")
    }

    #[test]
    fn a_row_is_read_with_its_bars_and_new_lines() {
        let rows = parse(&page("| A01 | why | `-p x test` | `a/b.rs` | `\\|_\\| a\\nb` | `` |")).expect("a row");
        let row = |test: &str, this: &str| Row {
            id: "A01".into(),
            test: test.into(),
            file: "a/b.rs".into(),
            this: this.into(),
            becomes: "".into(),
        };
        assert_eq!(rows, [row("-p x test", "|_| a\nb")]);
        assert_eq!(rows[0].package(), Some("x"));
    }

    #[test]
    fn a_line_that_is_no_row_is_refused() {
        for bad in [
            "| A01 | why | `-p x` | `a.rs` | prose | `b` |",
            "| A01 | why | `-p x` | `a.rs` | `` | `b` |",
            "| A1 | why | `-p x` | `a.rs` | `a` | `b` |",
            "| A01 | why | `-p x` | `a.rs` | `a` |",
            "| A01 | why | `-p x` | `a.rs` | `a | b` | `b` |",
            "|A01| why | `-p x` | `a.rs` | `a` | `b` |",
        ] {
            assert!(parse(&page(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_text_that_the_source_has_not_exactly_once_is_refused() {
        let row = |this: &str, becomes: &str| Row {
            id: "A01".into(),
            test: "-p x".into(),
            file: "a.rs".into(),
            this: this.into(),
            becomes: becomes.into(),
        };
        assert_eq!(row("b", "").plant("abc").ok().as_deref(), Some("ac"));
        assert!(row("d", "").plant("abc").is_err());
        assert!(row("b", "").plant("abcb").is_err());
        assert!(row("b", "b").plant("abc").is_err());
    }
}
