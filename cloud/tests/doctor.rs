//! `ota doctor` at a real service: each thing that can be wrong is named, and the steps before it are printed.

#![allow(clippy::unwrap_used)]

#[path = "common/authority.rs"]
mod authority;
mod common;

use std::path::Path;
use std::process::Command;

use authority::{Authority, secured};
use common::{TempDir, TestService, config};

/// Runs `ota`; returns what it printed, and why it failed, if it did.
async fn ota(arguments: String) -> (String, String) {
    let run = move || Command::new(env!("CARGO_BIN_EXE_ota")).args(arguments.split(' ')).output().unwrap();
    let output = tokio::task::spawn_blocking(run).await.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(output.stdout), if output.status.success() { String::new() } else { text(output.stderr) })
}

/// Stores certificate and key of this name as `NAME.pem` and `NAME.key`, and the CA as `ca.pem`.
fn store(dir: &Path, authority: &Authority, name: &str) {
    let (cert, key) = authority.issue(name, &[]);
    std::fs::write(dir.join(format!("{name}.pem")), cert).unwrap();
    std::fs::write(dir.join(format!("{name}.key")), key).unwrap();
    std::fs::write(dir.join("ca.pem"), authority.pem()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_thing_that_is_wrong_is_named_after_the_steps_that_work() {
    let (dir, authority) = (TempDir::new(), Authority::new());
    let world = TestService::start(secured(dir.path(), &authority)).await;
    store(dir.path(), &authority, "lamp");
    let foreign = TempDir::new();
    store(foreign.path(), &Authority::new(), "lamp");
    let (at, other, port) = (dir.path().display(), foreign.path().display(), world.port());
    let own = format!("--ca {at}/ca.pem --cert {at}/lamp.pem --key {at}/lamp.key");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for (arguments, steps, why) in [
        (format!("--endpoint 127.0.0.1:{port} --thing lamp {own}"), 7, ""),
        ("--endpoint none.invalid:1 --thing lamp".to_owned(), 0, "name: none.invalid"),
        (format!("--endpoint 127.0.0.1:{free} --thing lamp {own}"), 1, "tcp: port"),
        (format!("--endpoint 127.0.0.1:{port} --thing lamp --ca {other}/ca.pem"), 2, "tls: invalid peer certificate"),
        (format!("--endpoint localhost:{port} --thing lamp {own}"), 2, "the name in its certificate localhost"),
        (
            format!("--endpoint 127.0.0.1:{port} --thing lamp --ca {at}/ca.pem"),
            3,
            "mqtt: the broker requires a certificate",
        ),
        (format!("--endpoint 127.0.0.1:{port} --thing lamp"), 2, "or is it one for TLS, with --ca?"),
        (format!("--endpoint {} --thing lamp", world.service.http), 2, "mqtt: the answer is not MQTT"),
        (format!("--endpoint 127.0.0.1:{port} --thing door --client-id lamp {own}"), 4, "subscription: "),
        (format!("--endpoint 127.0.0.1:{port} --thing lamp --client-id door {own}"), 3, "mqtt: "),
    ] {
        let (steps_done, failure) = ota(format!("doctor {arguments}")).await;
        let done = steps_done.lines().filter(|line| line.starts_with("ok    ")).count();
        assert_eq!(done, steps, "{arguments}: {steps_done}{failure}");
        assert!(failure.contains(why) && failure.is_empty() == why.is_empty(), "{arguments}: {failure}");
    }
    world.service.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_keys_of_the_device_are_tried_on_the_signature_of_the_waiting_job() {
    let dir = TempDir::new();
    let world = TestService::start(config(dir.path())).await;
    let (at, endpoint) = (dir.path().display(), format!("127.0.0.1:{}", world.port()));
    std::fs::write(dir.path().join("body"), common::pattern(5_000)).unwrap();
    for folder in ["mine", "other"] {
        assert_eq!(ota(format!("keygen --out {at}/{folder}")).await.1, "");
    }
    let signing = format!("sign --key {at}/mine/private.pem --version 2.1.0 --hardware board-7 {at}/body {at}/fw.img");
    assert_eq!(ota(signing).await.1, "");
    let doctor = format!("doctor --endpoint {endpoint} --thing lamp");
    let (steps, _) = ota(doctor.clone()).await;
    assert!(steps.ends_with("ok    job: none waits for this thing\n") && steps.contains("not encrypted"), "{steps}");
    let server = format!("--server http://{} --token-file {at}/token", world.service.http);
    let created = ota(format!("job create --thing lamp --image {at}/fw.img --id one --key-name main {server}")).await;
    assert!(created.0.contains("one"), "{created:?}");

    let (steps, failure) = ota(doctor.clone()).await;
    assert!(failure.is_empty() && steps.contains("job: one is QUEUED, an update of 1 files"), "{steps}{failure}");
    assert!(steps.contains("sig-sha256-ecdsa, key name main"), "{steps}");
    let keys = format!("{doctor} --image {at}/fw.img --update-key {at}/other/public.pem");
    let (_, failure) = ota(keys.clone()).await;
    assert!(failure.contains("not of") && failure.contains("other/public.pem"), "{failure}");
    let (steps, failure) = ota(format!("{keys} {at}/mine/public.pem")).await;
    assert!(failure.is_empty() && steps.contains(&format!("of {at}/mine/public.pem")), "{steps}{failure}");
    let (_, failure) = ota(format!("{doctor} --image {at}/body --update-key {at}/mine/public.pem")).await;
    assert!(failure.contains("body has 5000 bytes, the job's file 5512"), "{failure}");
    world.service.stop().await;
}

#[tokio::test]
async fn shells_complete_the_command_and_man_describes_it() {
    let dir = TempDir::new();
    let (bash, _) = ota("completion bash".to_owned()).await;
    assert!(bash.contains("complete -F _ota") && bash.contains("doctor"));
    ota(format!("man {}", dir.path().display())).await;
    for (page, text) in [("ota.1", "Keys, images and jobs"), ("ota-job-create.1", "abort")] {
        let page = std::fs::read_to_string(dir.path().join(page)).unwrap();
        assert!(page.contains(text), "{page}");
    }
}
