//! Applies the tables of planted bugs, one row at a time, in a copy of the tree, and runs the test beside each: a test that
//! passes with the bug in place shows nothing. Arguments: the ids to try. Without any, `SABOTAGE` rows (a number, ten by
//! default, or `all`) are drawn from `SABOTAGE_SEED`. After `SABOTAGE_MINUTES` no further row is begun.

use std::collections::HashSet;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ota_tests::rng::Rng;
use ota_tests::rows::{self, Row};

/// Rows that are drawn where `SABOTAGE` is not set.
const ROWS: usize = 10;

/// Slow rows among those that are drawn.
const SLOW_ROWS_MAX: usize = 1;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(unnoticed) => {
            eprintln!("{unnoticed} planted bugs were not noticed");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("sabotage: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the number of bugs that no test noticed.
fn run() -> Outcome<usize> {
    let top = rows::top();
    let rows = chosen(rows::read(&top)?)?;
    let bench = Bench { copy: copy(&top)?, target: top.join("target/sabotage/target") };
    share_dependencies(&top.join("target/debug"), &bench.target.join("debug"))?;
    let minutes = number("SABOTAGE_MINUTES")?.unwrap_or(u64::MAX / 60);
    let begun = Instant::now();
    let (mut tried, mut unnoticed) = (0, 0);
    let mut known_to_pass = HashSet::new();
    for row in &rows {
        if begun.elapsed().as_secs() >= 60 * minutes {
            println!("out of time: {} rows were not tried", rows.len() - tried);
            break;
        }
        tried += 1;
        let start = Instant::now();
        if known_to_pass.insert(&row.test) && bench.run(row)? != Tested::Passed {
            return Err(format!("{}: the test fails without any change: {}", row.id, row.test).into());
        }
        let noticed = bench.run_with_bug(row)? == Tested::Failed;
        let verdict = if noticed { "noticed" } else { "NOT NOTICED" };
        println!("{}  {verdict}  {:>4} s  {}", row.id, start.elapsed().as_secs(), row.test);
        unnoticed += usize::from(!noticed);
    }
    println!("{tried} planted bugs, {unnoticed} not noticed");
    Ok(unnoticed)
}

/// The rows that the arguments or the environment ask for.
fn chosen(mut rows: Vec<Row>) -> Outcome<Vec<Row>> {
    let ids: Vec<String> = std::env::args().skip(1).collect();
    if let Some(missing) = ids.iter().find(|id| !rows.iter().any(|row| row.id == **id)) {
        return Err(format!("no row {missing} in {}", rows::PAGES.join(", ")).into());
    }
    if !ids.is_empty() {
        rows.retain(|row| ids.contains(&row.id));
        return Ok(rows);
    }
    let count = match std::env::var("SABOTAGE") {
        Ok(all) if all == "all" => return Ok(rows),
        Ok(count) => count.parse().map_err(|_| format!("SABOTAGE={count}: a number, or all"))?,
        Err(_) => ROWS,
    };
    let seed = match number("SABOTAGE_SEED")? {
        Some(seed) => seed,
        None => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    };
    println!("SABOTAGE={count} SABOTAGE_SEED={seed}: of {} rows", rows.len());
    let mut rng = Rng::new(seed);
    let mut drawn = Vec::new();
    while drawn.len() < count && !rows.is_empty() {
        let row = rows.swap_remove(rng.below(rows.len() as u64) as usize);
        if !is_slow(&row) || drawn.iter().filter(|row| is_slow(row)).count() < SLOW_ROWS_MAX {
            drawn.push(row);
        }
    }
    // Rows of one package together, so that less is built; the slow ones last.
    drawn.sort_by_key(|row| (is_slow(row), row.test.clone()));
    Ok(drawn)
}

/// Whether the row's test takes minutes: every power cut of every scenario.
fn is_slow(row: &Row) -> bool {
    row.test.ends_with("--test cuts")
}

/// The number in an environment variable, if it is set.
fn number(name: &str) -> Outcome<Option<u64>> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    Ok(Some(text.parse().map_err(|_| format!("{name}={text}: a number"))?))
}

/// Copies the files that git tracks or would add, and removes what an earlier copy has beyond them.
fn copy(top: &Path) -> Outcome<PathBuf> {
    let copy = top.join("target/sabotage/tree");
    let list = Command::new("git").args(["ls-files", "-co", "--exclude-standard"]).current_dir(top).output()?;
    let list = String::from_utf8(list.stdout)?;
    let names: HashSet<&Path> = list.lines().map(Path::new).filter(|name| top.join(name).exists()).collect();
    remove_others(&copy, &copy, &names)?;
    for name in names {
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

/// Removes the files of `folder` whose path from `copy` on is not among the names.
fn remove_others(copy: &Path, folder: &Path, names: &HashSet<&Path>) -> Outcome<()> {
    let Ok(entries) = fs::read_dir(folder) else { return Ok(()) };
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(copy, &path, names)?;
        } else if !names.contains(path.strip_prefix(copy)?) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

/// Links what cargo built of other projects' crates into a new target folder, so that it is not built again.
fn share_dependencies(from: &Path, to: &Path) -> Outcome<()> {
    if to.exists() {
        return Ok(());
    }
    for folder in ["deps", "build", ".fingerprint"] {
        link_all(&from.join(folder), &to.join(folder))?;
    }
    Ok(())
}

fn link_all(from: &Path, to: &Path) -> Outcome<()> {
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    fs::create_dir_all(to)?;
    for entry in entries {
        let (entry, to) = entry.map(|entry| (entry.path(), to.join(entry.file_name())))?;
        let name = to.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("ota") || name.starts_with("libota") {
            continue;
        }
        match entry.is_dir() {
            true => link_all(&entry, &to)?,
            false => fs::hard_link(&entry, &to)?,
        }
    }
    Ok(())
}

/// How the tests of a row ended; at least one ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tested {
    Passed,
    Failed,
}

/// The copy of the tree and where it is built.
struct Bench {
    copy: PathBuf,
    target: PathBuf,
}

impl Bench {
    /// Runs the row's test with its bug in place, and takes the bug out again.
    fn run_with_bug(&self, row: &Row) -> Outcome<Tested> {
        let file = self.copy.join(&row.file);
        let before = fs::read_to_string(&file)?;
        fs::write(&file, row.plant(&before)?)?;
        let tested = self.run(row);
        fs::write(&file, before)?;
        tested
    }

    /// Runs the row's test. An error unless everything compiled and at least one test ran.
    fn run(&self, row: &Row) -> Outcome<Tested> {
        let cargo = |more: &str| {
            let mut cargo = Command::new("cargo");
            cargo.arg("test").args(row.test.split_whitespace()).args(more.split_whitespace());
            cargo.arg("--target-dir").arg(&self.target).current_dir(&self.copy);
            // One line changes at a time: where the gate builds without it, this does not.
            cargo.env_remove("CARGO_INCREMENTAL").output()
        };
        // A documentation test is compiled when it runs: there, what does not compile is a failed test.
        if !row.test.split_whitespace().any(|word| word == "--doc") {
            let built = cargo("--no-run --quiet")?;
            if !built.status.success() {
                let why = String::from_utf8_lossy(&built.stderr);
                let why = why.lines().find(|line| line.starts_with("error")).unwrap_or("cargo failed");
                return Err(format!("{}: does not compile: {why}", row.id).into());
            }
        }
        let output = cargo("")?;
        let text = String::from_utf8_lossy(&output.stdout);
        tested(&text, output.status.success()).ok_or_else(|| format!("{}: no test ran: {}", row.id, row.test).into())
    }
}

/// Reads what `cargo test` printed; `None` if no test ran, or cargo failed although all that ran passed.
fn tested(text: &str, success: bool) -> Option<Tested> {
    let count = |line: &str, what: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let at = words.iter().position(|word| word.trim_end_matches(';') == what)?;
        words.get(at.checked_sub(1)?)?.parse::<u32>().ok()
    };
    let results = text.lines().filter(|line| line.starts_with("test result: "));
    let sum = |what| results.clone().filter_map(|line| count(line, what)).sum::<u32>();
    let begun = text.lines().filter(|line| line.starts_with("running ")).count();
    if !success && begun > results.clone().count() {
        return Some(Tested::Failed); // the process of the tests ended before they did
    }
    match (sum("passed"), sum("failed"), success) {
        (_, 1.., false) => Some(Tested::Failed),
        (1.., 0, true) => Some(Tested::Passed),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: &str =
        "test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 12 filtered out; finished in 0.00s\n";
    const ONE: &str =
        "test result: ok. 1 passed; 0 failed; 0 ignored; 0 measured; 12 filtered out; finished in 0.00s\n";
    const RED: &str =
        "test result: FAILED. 3 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s\n";

    #[test]
    fn a_run_without_a_test_is_not_a_result() {
        assert_eq!(tested("", true), None);
        assert_eq!(tested(NONE, true), None);
        assert_eq!(tested(&[NONE, NONE].concat(), true), None);
        assert_eq!(tested(&[NONE, ONE].concat(), true), Some(Tested::Passed));
    }

    #[test]
    fn only_a_failed_test_is_a_noticed_bug() {
        assert_eq!(tested(&[ONE, RED].concat(), false), Some(Tested::Failed));
        assert_eq!(tested(NONE, false), None);
        assert_eq!(tested("running 1 test\n", false), Some(Tested::Failed));
        assert_eq!(tested(&["running 1 test\n", ONE].concat(), false), None);
        assert_eq!(tested("error: could not compile `ota-pal`\n", false), None);
    }
}
