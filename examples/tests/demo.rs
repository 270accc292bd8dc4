//! The demo tells its story and its exit status is the truth about it. Building it takes a while.

#![allow(clippy::unwrap_used)]

use std::process::Command;

#[test]
fn the_story_comes_true() {
    let demo = Command::new(env!("CARGO_BIN_EXE_demo")).args(["--once", "--protocol", "mqtt"]).output().unwrap();
    let (told, complained) = (String::from_utf8_lossy(&demo.stdout), String::from_utf8_lossy(&demo.stderr));
    assert!(demo.status.success(), "{told}\n{complained}");
    for line in [
        "v2-mqtt: job says SUCCEEDED, flash says v2.0.0",
        "v3-mqtt: job says FAILED, flash says v2.0.0",
        "forged-mqtt: job says FAILED, flash says v2.0.0",
    ] {
        assert!(told.contains(line), "{line} is missing:\n{told}");
    }
}
