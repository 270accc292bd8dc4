//! The command `ota` as a process, against a service whose token is in the folder that it runs in.

#![allow(dead_code)] // each test program uses a part of it

use std::process::Command;

use ota_pal::Header;

use crate::common::{TIMEOUT, TempDir, TestService};
use crate::image;

/// Runs `ota` with these arguments, separated by spaces; returns its exit code and both outputs.
pub async fn ota(world: &TestService, dir: &TempDir, arguments: &str) -> (i32, String, String) {
    ota_with(world, dir, arguments.split(' ').collect()).await
}

/// As [`ota`], with arguments that may have spaces in them.
pub async fn ota_with(world: &TestService, dir: &TempDir, arguments: Vec<&str>) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ota"));
    command.current_dir(dir.path()).args(arguments);
    command.args(["--server", &format!("http://{}", world.service.http), "--token-file", "token"]);
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = tokio::time::timeout(TIMEOUT, run).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Runs `ota` with success; returns what it prints.
pub async fn done(world: &TestService, dir: &TempDir, arguments: &str) -> String {
    let (code, text, error) = ota(world, dir, arguments).await;
    assert_eq!(code, 0, "ota {arguments}: {error}");
    text
}

/// Stores an image with this header.
pub fn write(dir: &TempDir, name: &str, header: &Header) {
    std::fs::write(dir.path().join(name), image::image(header)).unwrap();
}
