//! Compiles every bug, many at once: a row whose change no longer compiles is stale.

use std::collections::HashMap;
use std::fs;
use std::process::Command;

use ota_tests::rows::Row;

use crate::Outcome;
use crate::bench::Bench;

/// Prints the rows that do not compile and returns how many they are. Documentation tests are left out: there, a change
/// that does not compile is a failed test.
pub fn compile(bench: &Bench, rows: &[Row]) -> Outcome<usize> {
    let rows: Vec<&Row> = rows.iter().filter(|row| !row.is_documentation()).collect();
    let stale = stale(bench, &rows)?;
    for row in &stale {
        println!("{}  does not compile: {}: {:?}", row.id, row.file, row.becomes);
    }
    println!("{} planted bugs, {} do not compile", rows.len(), stale.len());
    Ok(stale.len())
}

/// The rows that do not compile: none if all compile together, else those of each half.
fn stale<'a>(bench: &Bench, rows: &[&'a Row]) -> Outcome<Vec<&'a Row>> {
    let (together, rest) = plant(bench, rows)?;
    let mut found = match (compiles(bench, together)?, rows) {
        (true, _) => Vec::new(),
        (false, [row]) => return Ok(vec![row]),
        (false, rows) => {
            let (first, second) = rows.split_at(rows.len() / 2);
            return Ok([stale(bench, first)?, stale(bench, second)?].concat());
        }
    };
    if !rest.is_empty() {
        found.extend(stale(bench, &rest)?);
    }
    Ok(found)
}

/// Files from the top of the copy, each with its text before the bugs.
type Before<'a> = HashMap<&'a str, String>;

/// Plants the bugs that do not change each other's place, and returns the rows that are left.
fn plant<'a>(bench: &Bench, rows: &[&'a Row]) -> Outcome<(Before<'a>, Vec<&'a Row>)> {
    let (mut before, mut rest) = (HashMap::new(), Vec::new());
    for row in rows {
        let file = bench.copy.join(&row.file);
        let source = fs::read_to_string(&file)?;
        match row.plant(&source) {
            Ok(planted) => {
                fs::write(file, planted)?;
                before.entry(row.file.as_str()).or_insert(source);
            }
            Err(error) if !before.contains_key(row.file.as_str()) => return Err(error.into()),
            Err(_) => rest.push(*row),
        }
    }
    Ok((before, rest))
}

/// Whether everything compiles with what was planted, which is taken out again.
fn compiles(bench: &Bench, planted: Before<'_>) -> Outcome<bool> {
    let mut cargo = Command::new("cargo");
    cargo.args(["check", "--quiet", "--workspace", "--all-targets", "--target-dir"]).arg(&bench.target);
    let output = cargo.current_dir(&bench.copy).env_remove("CARGO_INCREMENTAL").output()?;
    for (file, before) in planted {
        fs::write(bench.copy.join(file), before)?;
    }
    Ok(output.status.success())
}
