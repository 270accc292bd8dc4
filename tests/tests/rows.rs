//! The tables of planted bugs match the sources: the program `sabotage` applies them, this test only compares.

use std::fs;

use ota_tests::rows;

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

#[test]
fn every_row_names_a_package_of_the_workspace_and_a_file_of_the_repository() {
    for row in rows::read(&rows::top()).expect("tables of planted bugs") {
        let package = row.package().and_then(|package| package.strip_prefix("ota-"));
        let room = package.unwrap_or_else(|| panic!("{}: no package in: {}", row.id, row.test));
        assert!(rows::top().join(room).join("Cargo.toml").exists(), "{}: no package ota-{room}", row.id);
        assert!(!row.file.contains("..") && !row.file.starts_with('/'), "{}: {}", row.id, row.file);
    }
}
