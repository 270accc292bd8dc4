//! Runs the test of a row, with and without its bug.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use ota_tests::rows::Row;

use crate::Outcome;

/// How the tests of a row ended; at least one ran.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tested {
    Passed,
    Failed,
}

/// The copy of the tree and where it is built.
pub struct Bench {
    pub copy: PathBuf,
    pub target: PathBuf,
}

impl Bench {
    /// Runs the row's test with its bug in place, and takes the bug out again.
    pub fn run_with_bug(&self, row: &Row) -> Outcome<Tested> {
        let file = self.copy.join(&row.file);
        let before = fs::read_to_string(&file)?;
        fs::write(&file, row.plant(&before)?)?;
        let tested = self.run(row);
        fs::write(&file, before)?;
        tested
    }

    /// Runs the row's test. An error unless everything compiled and at least one test ran.
    pub fn run(&self, row: &Row) -> Outcome<Tested> {
        let cargo = |more: &str| {
            let mut cargo = Command::new("cargo");
            cargo.arg("test").args(row.test.split_whitespace()).args(more.split_whitespace());
            cargo.arg("--target-dir").arg(&self.target).current_dir(&self.copy);
            // One line changes at a time: where the gate builds without it, this does not.
            cargo.env_remove("CARGO_INCREMENTAL").output()
        };
        // A documentation test is compiled when it runs: there, what does not compile is a failed test.
        if !row.is_documentation() {
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
