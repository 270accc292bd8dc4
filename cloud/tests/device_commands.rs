//! `ota device`, and images for other hardware, as processes.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/console.rs"]
mod console;
#[path = "common/image.rs"]
mod image;

use std::process::Command;

use common::{TIMEOUT, TempDir, TestService};
use console::start;
use ota_pal::{HardwareId, Header};

/// Runs `ota` with these arguments, separated by spaces; returns its exit code and both outputs.
async fn ota(world: &TestService, dir: &TempDir, arguments: &str) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ota"));
    command.current_dir(dir.path()).args(arguments.split(' '));
    command.args(["--server", &format!("http://{}", world.service.http), "--token-file", "token"]);
    let run = tokio::task::spawn_blocking(move || command.output().unwrap());
    let output = tokio::time::timeout(TIMEOUT, run).await.unwrap().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// Runs `ota` with success; returns what it prints.
async fn done(world: &TestService, dir: &TempDir, arguments: &str) -> String {
    let (code, text, error) = ota(world, dir, arguments).await;
    assert_eq!(code, 0, "ota {arguments}: {error}");
    text
}

fn write(dir: &TempDir, name: &str, header: &Header) {
    std::fs::write(dir.path().join(name), image::image(header)).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_listed_and_an_image_for_other_hardware_is_refused_unless_it_is_asked_for() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    write(&dir, "v2.img", &Header { hardware: HardwareId::new("board-8").unwrap(), ..image::header(2, 0) });
    done(&world, &dir, "device set lamp --hardware board-7").await;
    done(&world, &dir, "device pin door").await;
    let list = done(&world, &dir, "device list").await;
    assert_eq!(list, "door  not reported  -  -  pinned\nlamp  not reported  board-7  -\n");
    let create = "job create --unsigned --thing lamp --image v2.img --id v2";
    let refused = ota(&world, &dir, create).await;
    assert!(refused.0 == 1 && refused.2.contains("the image is for board-8, not for lamp (board-7)"), "{}", refused.2);
    assert_eq!(done(&world, &dir, "job list").await, "");
    done(&world, &dir, &format!("{create} --any-hardware")).await;
    done(&world, &dir, "device set lamp --hardware=").await;
    assert!(done(&world, &dir, "device list lamp").await.contains("lamp  not reported  -"));
    world.service.stop().await;
}
