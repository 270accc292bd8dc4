//! Reads the tables of docs/features.md and docs/cuts.md, makes each of their changes in a copy of the tree, and runs the
//! test beside it: a test that stays green shows nothing. Arguments: the ids to try; all of them without any.

use std::collections::HashSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// Where the tables are.
const PAGES: [&str; 2] = ["docs/features.md", "docs/cuts.md"];

type Outcome<T> = Result<T, Box<dyn Error>>;

/// One row of the table.
struct Row {
    id: String,
    test: String,
    file: String,
    this: String,
    becomes: String,
}

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(green) => {
            eprintln!("{green} tests stayed green");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("sabotage: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns how many changes no test noticed.
fn run() -> Outcome<usize> {
    let top = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let mut rows = Vec::new();
    for page in PAGES {
        rows.extend(rows_of(&fs::read_to_string(top.join(page))?));
    }
    rows.retain(|row| wanted.is_empty() || wanted.contains(&row.id));
    if rows.is_empty() {
        return Err(format!("no such rows in {}", PAGES.join(" and ")).into());
    }
    let copy = copy(&top)?;
    let mut green = 0;
    let mut known_green = HashSet::new();
    for row in &rows {
        let target = top.join("target/sabotage/target");
        if known_green.insert(row.test.clone()) && !passes(row, &copy, &target)? {
            return Err(format!("{}: the test is red without any change", row.id).into());
        }
        let red = is_red(row, &copy, &target)?;
        println!("{}  {}  {}", row.id, if red { "red, as it must be" } else { "STAYED GREEN" }, row.test);
        green += usize::from(!red);
    }
    println!("{} changes, {green} unnoticed", rows.len());
    Ok(green)
}

/// The rows whose first cell is an id, with the code of their cells. A bar inside a cell is written `\|`, a new line `\n`.
fn rows_of(page: &str) -> Vec<Row> {
    let code = |cell: &str| cell.trim().trim_matches('`').replace("\\|", "|").replace("\\n", "\n");
    let row = |line: &str| {
        let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").collect();
        let [id, _, test, file, this, becomes] = cells[..] else { return None };
        let is_id = id.len() == 3 && id[1..].chars().all(|char| char.is_ascii_digit());
        is_id.then(|| Row {
            id: id.into(),
            test: code(test),
            file: code(file),
            this: code(this),
            becomes: code(becomes),
        })
    };
    page.lines().filter_map(row).collect()
}

/// A copy of the files that git knows or would take.
fn copy(top: &Path) -> Outcome<PathBuf> {
    let copy = top.join("target/sabotage/tree");
    let list = Command::new("git").args(["ls-files", "-co", "--exclude-standard"]).current_dir(top).output()?;
    for name in String::from_utf8(list.stdout)?.lines() {
        let (from, to) = (top.join(name), copy.join(name));
        fs::create_dir_all(to.parent().ok_or("a file without a folder")?)?;
        // Written only where it differs, so that cargo builds again only what must be.
        let bytes = fs::read(&from)?;
        if fs::read(&to).ok().as_ref() != Some(&bytes) {
            fs::write(to, bytes)?;
        }
    }
    Ok(copy)
}

/// Whether the row's test fails once the row's change is made; the change is taken back.
fn is_red(row: &Row, copy: &Path, target: &Path) -> Outcome<bool> {
    let file = copy.join(&row.file);
    let before = fs::read_to_string(&file)?;
    let places = before.matches(&row.this).count();
    if places != 1 {
        return Err(format!("{}: {:?} stands {places} times in {}", row.id, row.this, row.file).into());
    }
    fs::write(&file, before.replace(&row.this, &row.becomes))?;
    let passes = passes(row, copy, target);
    fs::write(&file, before)?;
    Ok(!passes?)
}

/// Whether the row's test passes in the copy.
fn passes(row: &Row, copy: &Path, target: &Path) -> Outcome<bool> {
    let mut test = Command::new("cargo");
    test.arg("test").args(row.test.split_whitespace()).arg("--target-dir").arg(target);
    let test = test.current_dir(copy).output()?;
    let said = String::from_utf8_lossy(&test.stdout);
    // A change that does not compile shows nothing, and neither does a test that was not there.
    let ran = said.contains("test result:")
        && (said.contains("1 passed") || said.contains("FAILED") || said.contains("passed;"));
    if !ran {
        let why = String::from_utf8_lossy(&test.stderr);
        return Err(format!("{}: no test ran: {}", row.id, why.lines().last().unwrap_or_default()).into());
    }
    Ok(!said.contains("test result: FAILED"))
}
