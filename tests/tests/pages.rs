//! The pages match the tree: links lead to files, and the map of the tests names all of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What links of the published packages begin with: they are read outside the repository.
const REPOSITORY: &str = "https://github.com/ota-agent/ota-agent/blob/main/";

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The files of a folder whose names end so, without those of folders in it.
fn files(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("it can be listed").path());
    entries.filter(|path| path.extension().is_some_and(|found| found == ending)).collect()
}

/// The targets of the links of a page, code blocks included.
fn links(page: &str) -> impl Iterator<Item = &str> {
    page.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target)
}

/// The file that a link of a page in `folder` leads to; `None` if it leads out of the repository.
fn file(folder: &Path, target: &str) -> Option<PathBuf> {
    let path = target.split('#').next().unwrap_or(target);
    match path.strip_prefix(REPOSITORY) {
        Some(path) => Some(top().join(path)),
        None if path.contains("://") || path.is_empty() => None,
        None => Some(folder.join(path)),
    }
}

#[test]
fn every_link_of_a_page_leads_to_a_file() {
    let folders = ["", "docs", "jobs", "pal", "agent", "boot", "tests"].map(|folder| top().join(folder));
    let pages = folders.iter().flat_map(|folder| files(folder, "md"));
    let mut checked = 0;
    for page in pages {
        let text = fs::read_to_string(&page).expect("pages are text");
        for target in links(&text) {
            let Some(path) = file(page.parent().expect("a folder"), target) else { continue };
            assert!(path.exists(), "{}: {target}", page.display());
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} links were found");
}

#[test]
fn a_link_that_leads_nowhere_is_found() {
    let targets: Vec<&str> = links("[a](b.md), [c](https://d) and `[e](f#g)`").collect();
    assert_eq!(targets, ["b.md", "https://d", "f#g"]);
    let folder = Path::new("docs");
    assert_eq!(file(folder, "b.md#c"), Some(folder.join("b.md")));
    assert_eq!(file(folder, "https://d"), None);
    assert_eq!(file(folder, "https://github.com/ota-agent/ota-agent/blob/main/a"), Some(top().join("a")));
}

/// The tests that a row of the page about the C library names: a file, and functions in it.
fn tests_of(row: &str) -> Option<(&str, Vec<&str>)> {
    let mut names = row.rsplit(" | ").next()?.split('`').skip(1).step_by(2);
    Some((names.next()?, names.collect()))
}

#[test]
fn every_case_of_the_c_library_has_tests() {
    let page = fs::read_to_string(top().join("docs/c-library.md")).expect("a page");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).skip(1).collect();
    assert!(rows.len() > 20, "only {} rows were found", rows.len());
    for row in rows.iter().filter(|row| !row.contains("| the same |")) {
        let (file, names) = tests_of(row).unwrap_or_else(|| panic!("a row without tests: {row}"));
        let source = fs::read_to_string(top().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(!names.is_empty(), "{row}");
        for name in names {
            assert!(
                source.contains(&format!("#[test]\n    fn {name}("))
                    || source.contains(&format!("#[test]\nfn {name}(")),
                "{file} has no test {name}"
            );
        }
    }
}

#[test]
fn the_map_of_the_tests_names_every_file() {
    let map = fs::read_to_string(top().join("tests/README.md")).expect("a map");
    let named: BTreeSet<&str> = map.split('`').skip(1).step_by(2).collect();
    for folder in ["tests/src", "tests/tests"] {
        for path in files(&top().join(folder), "rs") {
            let name = path.file_name().and_then(|name| name.to_str()).expect("a plain name");
            assert!(name == "lib.rs" || named.contains(name), "tests/README.md does not name {folder}/{name}");
        }
    }
}
