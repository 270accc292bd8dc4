//! The tables of planted bugs match the sources: the program `sabotage` applies them, this test only compares.

use std::collections::HashSet;
use std::fs;
use std::path::Path;

use ota_tests::rows::{self, Row};

#[test]
fn every_planted_bug_finds_its_place_exactly_once() {
    let top = rows::top();
    let rows = rows::read(&top).expect("tables of planted bugs");
    let mut bad = Vec::new();
    for row in &rows {
        match fs::read_to_string(top.join(&row.file)) {
            Ok(source) => bad.extend(row.plant(&source).err().map(|error| error.to_string())),
            Err(error) => bad.push(format!("{}: {}: {error}", row.id, row.file)),
        }
    }
    assert!(bad.is_empty(), "{} of {} rows are stale:\n{}", bad.len(), rows.len(), bad.join("\n"));
    println!("{} planted bugs match their sources", rows.len());
}

#[test]
fn no_bug_is_planted_twice_for_the_same_test() {
    let rows = rows::read(&rows::top()).expect("tables of planted bugs");
    for (at, row) in rows.iter().enumerate() {
        let twin = rows[..at].iter().find(|other| {
            (&other.file, &other.this, &other.becomes, &other.test) == (&row.file, &row.this, &row.becomes, &row.test)
        });
        assert!(twin.is_none(), "{}: {} plants it already", row.id, twin.map_or("", |twin| &twin.id));
    }
}

/// The names of all functions in the sources below `folder`.
fn functions(folder: &Path, found: &mut HashSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            functions(&entry, found);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            let source = fs::read_to_string(&entry).expect("a source file");
            let names = source.split("fn ").skip(1);
            found.extend(
                names
                    .map(|rest| rest.split(|char: char| !char.is_alphanumeric() && char != '_'))
                    .filter_map(|mut words| words.next().map(String::from)),
            );
        }
    }
}

#[test]
fn every_row_names_a_test_that_exists() {
    let mut found = HashSet::new();
    for room in ["jobs", "pal", "agent", "boot", "cloud", "examples", "tests"] {
        functions(&rows::top().join(room), &mut found);
    }
    let rows = rows::read(&rows::top()).expect("tables of planted bugs");
    let missing: Vec<&Row> = rows
        .iter()
        .filter(|row| row.filter().is_some_and(|filter| !found.iter().any(|name| name.contains(filter))))
        .collect();
    assert!(missing.is_empty(), "no test has the name in: {missing:#?}");
}

#[test]
fn every_row_names_a_package_of_the_workspace_and_a_file_of_the_repository() {
    for row in rows::read(&rows::top()).expect("tables of planted bugs") {
        let package = row.package().and_then(|package| package.strip_prefix("ota-"));
        let package = package.unwrap_or_else(|| panic!("{}: no package in: {}", row.id, row.test));
        let is_here = |room: &str| rows::top().join(room).join(package).join("Cargo.toml").exists();
        assert!(is_here("") || is_here("examples"), "{}: no package ota-{package}", row.id);
        assert!(!row.file.contains("..") && !row.file.starts_with('/'), "{}: {}", row.id, row.file);
    }
}
