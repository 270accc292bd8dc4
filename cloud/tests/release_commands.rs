//! `ota release` as processes, and the buttons of the console for a release.

#![allow(clippy::unwrap_used)]

mod common;
#[path = "common/console.rs"]
mod console;
#[path = "common/fleet.rs"]
mod fleet;
#[path = "common/image.rs"]
mod image;
#[path = "common/tool.rs"]
mod tool;

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use common::{Device, TIMEOUT, TempDir, TestService, config};
use console::{Console, start};
use fleet::{Fleet, Outcome, Versions, name};
use ota_cloud::serve::Config;
use tool::{done, ota, write};

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_created_watched_halted_and_taken_back_on_the_command_line() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    for (name, version) in [("v2.img", 2), ("v3.img", 3)] {
        write(&dir, name, &image::header(version, 0));
    }
    let versions = Versions::default();
    let fleet = Fleet::connect(world.port(), (0..3).map(name), &versions, |_, _| Outcome::Succeeds).await;
    done(&world, &dir, "group create lights").await;
    done(&world, &dir, "group add lights device-000 device-001 device-002").await;
    let create = "release create --unsigned --group lights";
    let created = ota(&world, &dir, &format!("{create} --id v2 --image v2.img --mode immediate")).await;
    assert_eq!((created.0, created.1.as_str()), (0, "v2\n"), "{}", created.2);
    assert!(created.2.contains("the hardware of 3 things is unknown"), "{}", created.2);
    assert!(created.2.contains("nothing halts a release for 3 devices: its rule needs 20"), "{}", created.2);
    assert!(done(&world, &dir, "release watch v2").await.contains("device-002  SUCCEEDED"));

    done(&world, &dir, &format!("{create} --id v3 --image v3.img --halt-failed 4.5")).await;
    let list = done(&world, &dir, "release list").await;
    assert_eq!(list.lines().next(), Some("v3  IN_PROGRESS  on_session  waiting 3"), "{list}");
    drop(fleet);
    let _fleet = Fleet::connect(world.port(), (0..2).map(name), &versions, |_, _| Outcome::Succeeds).await;
    while !done(&world, &dir, "release show v3").await.contains("SUCCEEDED 2") {}
    let refused = ota(&world, &dir, "release halt v3 --reason smoke\u{1b}[31m").await;
    assert!(refused.0 == 1 && refused.2.contains("without control characters"), "{}", refused.2);
    let halted = done(&world, &dir, "release halt v3 --reason smoke").await;
    assert!(halted.starts_with("v3  HALTED") && halted.contains("halted: smoke\n"), "{halted}");
    assert!(halted.contains(r#""failed_percent":4.5"#), "{halted}");
    assert_eq!(ota(&world, &dir, "release watch v3").await.0, 1, "it was halted");
    let again = ota(&world, &dir, "release halt v3").await;
    assert!(again.0 == 1 && again.2.contains("release v3 is HALTED already: smoke"), "{}", again.2);
    assert!(halted.contains("not reached 1") && halted.contains("not reached: device-002\n"), "{halted}");
    assert_eq!(done(&world, &dir, "release show v3 --unreached").await, "device-002\n");
    done(&world, &dir, "device pin device-001").await;
    let (code, reverted, note) = ota(&world, &dir, "release revert v3").await;
    assert_eq!((code, reverted.as_str()), (0, "v3-revert  1 devices\n"), "{note}");
    assert!(note.contains("an image is older") && note.contains("thing device-001 is pinned"), "{note}");
    done(&world, &dir, "release watch v3-revert").await;
    done(&world, &dir, "device unpin device-001").await;
    assert_eq!(done(&world, &dir, "release revert v3").await, "v3-revert-2  1 devices\n");
    done(&world, &dir, "release watch v3-revert-2").await;
    let (code, _, error) = ota(&world, &dir, "release revert v3").await;
    assert!(code == 1 && error.contains("v3 is REVERTED"), "{error}");
    assert_eq!(versions.counts(), [("v2.img".to_owned(), 3)].into());
    let shown = done(&world, &dir, "release show v3 --json").await;
    assert!(shown.contains(r#""status":"REVERTED""#), "{shown}");
    world.service.stop().await;
}

/// Devices that accept newer versions only are taken to one that was signed for the purpose.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_taken_back_to_an_image_that_is_named() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    write(&dir, "v3.img", &image::header(3, 1));
    write(&dir, "v4.img", &image::header(4, 1));
    let versions = Versions::default();
    let _fleet = Fleet::connect(world.port(), (0..2).map(name), &versions, |_, _| Outcome::Succeeds).await;
    let create = "release create --unsigned --id v3 --image v3.img --mode immediate --thing device-000 device-001";
    done(&world, &dir, create).await;
    done(&world, &dir, "release watch v3").await;
    let (code, printed, note) = ota(&world, &dir, "release revert v3").await;
    assert_eq!((code, printed.as_str()), (1, ""), "there is no earlier image: {note}");
    assert!(note.contains("no device was taken back from v3"), "{note}");
    assert!(note.contains("no earlier image of thing device-001 is known"), "{note}");
    let reverted = done(&world, &dir, "release revert v3 --unsigned --to v4.img").await;
    assert_eq!(reverted, "v3-revert  2 devices\n");
    done(&world, &dir, "release watch v3-revert").await;
    assert_eq!(versions.counts(), [("v4.img".to_owned(), 2)].into());
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_follows_a_release_outlives_a_restart_of_the_service() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    write(&dir, "v2.img", &image::header(2, 0));
    done(&world, &dir, "release create --unsigned --id v2 --image v2.img --mode immediate --thing device-000").await;
    let http = world.service.http;
    let mut watch = Command::new(env!("CARGO_BIN_EXE_ota"));
    watch.current_dir(dir.path()).args(["release", "watch", "v2", "--token-file", "token"]);
    watch.args(["--server", &format!("http://{http}")]).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut watch = watch.spawn().unwrap();
    let mut error = BufReader::new(watch.stderr.take().unwrap());
    let mut printed = BufReader::new(watch.stdout.take().unwrap());
    printed.read_line(&mut String::new()).unwrap(); // the service has answered
    world.service.stop().await;
    let mut note = String::new();
    error.read_line(&mut note).unwrap();
    assert!(note.ends_with(": trying again\n"), "{note}");
    let world = TestService::start(Config { http, ..config(dir.path()) }).await;
    let _fleet =
        Fleet::connect(world.port(), [name(0)].into_iter(), &Versions::default(), |_, _| Outcome::Succeeds).await;
    let code = tokio::task::spawn_blocking(move || watch.wait().unwrap().code());
    assert_eq!(tokio::time::timeout(TIMEOUT, code).await.unwrap().unwrap(), Some(0));
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_halts_a_release_and_takes_it_back_with_the_console() {
    let dir = TempDir::new();
    let world = start(&dir).await;
    write(&dir, "v2.img", &image::header(2, 0));
    let (lamp, _) = Device::connect(world.port(), "lamp", "$aws/things/lamp/jobs/notify").await;
    let create = "release create --unsigned --id v2 --image v2.img --mode immediate --thing lamp door";
    done(&world, &dir, create).await;
    let console = Console::sign_in(&world).await;
    let page = console.page("/releases/v2").await;
    assert!(page.contains("id=\"halt-confirm\"") && page.contains("id=\"revert-confirm\""), "{page}");
    assert!(page.contains("when 10 % failed, or 3 % failed their self-test or went back, or 10 % report nothing"));
    let halted = console.post("/releases/v2/halt", "reason=%3Csmoke%3E").await;
    assert_eq!((halted.status, halted.header("location")), (303, Some("/releases/v2")), "{}", halted.text());
    let page = console.page("/releases/v2").await;
    assert!(
        page.contains("Halted") && page.contains("&#60;smoke&#62;") && !page.contains("id=\"halt-confirm\""),
        "{page}"
    );
    for name in ["door", "lamp"] {
        assert!(page.contains(&format!("<li><a href=\"/devices/{name}\">")), "{name} did not begin it: {page}");
    }
    let again = console.post("/releases/v2/halt", "reason=").await;
    assert!(again.status == 409 && again.text().contains("is HALTED already: &#60;smoke&#62;"), "{}", again.text());
    let reverted = console.post("/releases/v2/revert", "").await;
    assert!(reverted.status == 200 && reverted.text().contains("No device was taken back."), "{}", reverted.text());
    assert_eq!(console.post("/releases/none/revert", "").await.status, 404);
    assert_eq!(console.get("/releases/none").await.status, 404);
    drop(lamp);
    world.service.stop().await;
}
