//! The walk-throughs of `examples/walkthroughs` end well. Each one checks what it shows.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::process::Command;

/// Set by Cargo for this test; a build that inherits them compiles everything anew.
const OF_THIS_PACKAGE: [&str; 5] = ["CARGO_PKG_", "CARGO_BIN_", "CARGO_CRATE_", "CARGO_MANIFEST_", "CARGO_PRIMARY_"];

/// Runs one; returns what it printed last.
fn last_line(name: &str) -> String {
    let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("walkthroughs").join(name));
    for (name, _) in std::env::vars().filter(|(name, _)| OF_THIS_PACKAGE.iter().any(|start| name.starts_with(start))) {
        script.env_remove(name);
    }
    let target = Path::new(env!("CARGO_BIN_EXE_device")).ancestors().nth(2).unwrap();
    let output = script.env("CARGO_TARGET_DIR", target).output().unwrap();
    let [printed, errors] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert!(output.status.success(), "{name}: {printed}{errors}");
    printed.lines().last().unwrap().to_owned()
}

#[test]
fn a_feature_comes_to_devices_in_use() {
    assert_eq!(last_line("feature"), "all lamps dim");
}

#[test]
fn a_fix_reaches_all_devices_at_once_and_stays() {
    assert_eq!(last_line("hotfix"), "all doors have the fix, and keep it");
}

#[test]
fn a_prototype_is_flashed_again_and_again() {
    assert_eq!(last_line("proto"), "the prototype beeps as before");
}
