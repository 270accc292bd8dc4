//! Tools of others that tests compare us with, where `.ci/tools` installed them.

use std::path::{Path, PathBuf};

/// Where the tool `name` lies; `None`, said aloud, where it was not installed. Panics where `CI` is set: there, what is
/// skipped has failed.
pub fn tool(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin").join(name);
    if path.exists() {
        return Some(path);
    }
    assert!(std::env::var_os("CI").is_none(), "{name} is not installed: run .ci/tools");
    println!("skipped: needs {name}, which .ci/tools installs");
    None
}
