//! Tools of others that tests compare us with, where `.ci/tools` installed them.

use std::io::Write;
use std::path::{Path, PathBuf};

/// The path of the tool `name`. Where it is not installed, prints `skipped: needs` with its name and returns `None`.
///
/// # Panics
/// Without the tool where `CI` is set: a test that is skipped there has failed.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin").join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{name} is not installed: run .ci/tools");
    skipped(&format!("{name}, which .ci/tools installs"));
    None
}

/// Prints that the running test is skipped, bypassing the test harness, which hides the output of tests that pass.
pub fn skipped(needs: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    // One write for the line: tests run side by side. If standard error is closed, there is no one to print it for.
    let _ = std::io::stderr().write_all(format!("skipped: needs {needs}: {test}\n").as_bytes());
}
