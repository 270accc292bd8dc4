//! The AWS control API, as the tools of AWS use it: boto3 and the command line against a running service, and what its devices
//! receive. The calls are in `aws/calls.py`.

#![allow(clippy::unwrap_used)]

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Device, TempDir, TestService, config, skip};
use ota_cloud::serve::{Config, TlsFiles};

/// A service with an access key.
struct World {
    dir: TempDir,
    service: TestService,
    key: (String, String),
    scheme: &'static str,
}

/// Where `.ci/tools` installs boto3 and the command line.
fn tool(name: &str) -> Option<PathBuf> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin").join(name);
    let boto3 = || Command::new(&path).args(["-c", "import boto3"]).output().is_ok_and(|done| done.status.success());
    let is_there = path.exists() && (name != "python" || boto3());
    if !is_there {
        skip(&format!("{name} with boto3: .ci/tools"));
    }
    is_there.then_some(path)
}

impl World {
    async fn start() -> Self {
        let dir = TempDir::new();
        let service = TestService::start(config(dir.path())).await;
        let created = service.admin("POST", "/api/access-keys", "Content-Type: application/json\r\n", b"{}").await;
        let created: serde_json::Value = serde_json::from_slice(&created).unwrap();
        let text = |name: &str| created[name].as_str().unwrap().to_owned();
        let key = (text("id"), text("secret"));
        Self { dir, service, key, scheme: "http" }
    }

    /// Restarts the service with TLS, over the same data directory.
    async fn secured(self) -> Self {
        let Self { dir, service, key, .. } = self;
        service.service.stop().await;
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        let at = |name: &str| dir.path().join(name);
        let files = TlsFiles { cert: at("cert.pem"), key: at("key.pem"), ca: at("cert.pem") };
        std::fs::write(&files.cert, made.cert.pem()).unwrap();
        std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
        let service = TestService::start(Config { tls: Some(files), ..config(dir.path()) }).await;
        Self { dir, service, key, scheme: "https" }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        let endpoint = format!("{}://{}", self.scheme, self.service.service.http);
        let none = std::env::temp_dir().join("there-is-no-configuration");
        for (name, value) in [
            ("AWS_ENDPOINT_URL", endpoint.as_str()),
            ("AWS_ACCESS_KEY_ID", &self.key.0),
            ("AWS_SECRET_ACCESS_KEY", &self.key.1),
            ("AWS_DEFAULT_REGION", "eu-central-1"),
            ("AWS_EC2_METADATA_DISABLED", "true"),
        ] {
            command.env(name, value);
        }
        if self.scheme == "https" {
            command.env("AWS_CA_BUNDLE", self.dir.path().join("cert.pem"));
        }
        command.env("AWS_CONFIG_FILE", &none).env("AWS_SHARED_CREDENTIALS_FILE", &none);
        command
    }

    /// Runs a step of `aws/calls.py`, which must succeed.
    fn step(&self, python: &Path, step: &str, arguments: &[&str]) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/aws/calls.py");
        let done = self.command(python).arg(script).arg(step).args(arguments).output().unwrap();
        assert!(done.status.success(), "{step}: {}", String::from_utf8_lossy(&done.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_is_served_with_an_access_key_until_it_is_deleted() {
    let Some(python) = tool("python") else { return };
    let mut world = World::start().await;
    world.step(&python, "identity", &[]);
    let secret = std::mem::replace(&mut world.key.1, "x".repeat(40));
    world.step(&python, "wrong_secret", &[]);
    world.key.1 = secret;
    world.service.admin("DELETE", &format!("/api/access-keys/{}", world.key.0), "", b"").await;
    world.step(&python, "unknown_key", &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_creates_things_groups_and_jobs_and_devices_receive_them() {
    let Some(python) = tool("python") else { return };
    let world = World::start().await;
    let mut lamp = Device::lamp(&world.service).await;
    for step in ["things", "groups", "create_job", "invalid_jobs"] {
        world.step(&python, step, &[]);
    }
    let next = lamp.json("jobs/notify-next").await;
    assert_eq!(
        (&next["execution"]["jobId"], &next["execution"]["jobDocument"]["do"]),
        (&"one".into(), &"blink".into())
    );
    lamp.publish("$aws/things/lamp/jobs/$next/get", "{}").await;
    assert_eq!(lamp.json("$next/get/accepted").await["execution"]["jobId"], "one");
    let started = r#"{"status":"IN_PROGRESS","statusDetails":{"step":"1"}}"#;
    lamp.publish("$aws/things/lamp/jobs/one/update", started).await;
    lamp.next("one/update/accepted").await;

    world.step(&python, "in_progress", &[]);
    assert!(lamp.json("jobs/notify-next").await.get("execution").is_none(), "cancelled");
    lamp.publish("$aws/things/lamp/jobs/one/update", r#"{"status":"SUCCEEDED"}"#).await;
    assert_eq!(lamp.json("one/update/rejected").await["code"], "ResourceNotFound", "deleted");

    world.step(&python, "continuous", &[]);
    assert_eq!(lamp.json("jobs/notify-next").await["execution"]["jobId"], "all", "associated");
    world.step(&python, "lists", &[&start_time()]);
    world.step(&python, "cancel", &[]);
    assert!(lamp.json("jobs/notify-next").await.get("execution").is_none());

    world.step(&python, "delete_pending", &[]);
    assert_eq!(lamp.json("jobs/notify-next").await["execution"]["jobId"], "gone");
    world.step(&python, "delete_by_force", &[]);
    assert!(lamp.json("jobs/notify-next").await.get("execution").is_none());

    world.step(&python, "data_plane", &[]);
    assert_eq!(lamp.json("jobs/notify-next").await["execution"]["jobId"], "data");
    assert!(lamp.json("jobs/notify-next").await.get("execution").is_none(), "it succeeded over HTTP");
    world.step(&python, "templates", &[]);
}

#[tokio::test(flavor = "multi_thread")]
async fn boto3_uploads_objects_of_which_streams_documents_and_updates_are_made() {
    let Some(python) = tool("python") else { return };
    let world = World::start().await;
    let mut lamp = Device::lamp(&world.service).await;
    let image = common::pattern(10_000);
    let path = world.dir.path().join("v1.img");
    std::fs::write(&path, &image).unwrap();
    world.step(&python, "objects", &[]);

    world.step(&python, "streams", &[path.to_str().unwrap()]);
    assert_eq!(lamp.json("jobs/notify-next").await["execution"]["jobId"], "streamed");
    let get = r#"{"s":1,"f":3,"l":4096,"o":2,"n":1}"#;
    lamp.publish("$aws/things/lamp/streams/first/get/json", get).await;
    let block = lamp.json("first/data/json").await;
    assert_eq!((&block["i"], &block["l"]), (&2.into(), &(10_000 - 2 * 4096).into()));

    world.step(&python, "placeholders", &[]);
    lamp.publish("$aws/things/lamp/streams/first/get/json", get).await;
    assert_eq!(lamp.json("first/rejected/json").await["o"], "ResourceNotFound", "the stream was deleted");
    lamp.publish("$aws/things/lamp/jobs/url/get", "{}").await;
    let document = lamp.json("url/get/accepted").await;
    let url = document["execution"]["jobDocument"]["url"].as_str().unwrap().to_owned();
    let got = common::request(world.service.service.http, "GET", common::path_of(&url), "", b"").await;
    assert!(got.status == 200 && got.body == image, "{url}");

    world.step(&python, "ota_update", &[]);
    let mut next = lamp.json("jobs/notify-next").await;
    while next["execution"]["jobId"] != "AFR_OTA-2-0-0" {
        next = lamp.json("jobs/notify-next").await;
    }
    let document = &next["execution"]["jobDocument"]["afr_ota"];
    assert_eq!(document["protocols"], serde_json::json!(["MQTT", "HTTP"]));
    let file = &document["files"][0];
    assert_eq!((&file["filepath"], &file["certfile"]), (&"app.img".into(), &"update.pub".into()));
    assert_eq!((&file["filesize"], &file["sig-sha256-ecdsa"]), (&10_000.into(), &"MEUCIf/+".into()));
    let stream = document["streamname"].as_str().unwrap();
    lamp.publish(&format!("$aws/things/lamp/streams/{stream}/describe/json"), "{}").await;
    assert_eq!(lamp.json("description/json").await["r"][0]["z"], 10_000);
    world.step(&python, "delete_ota_update", &[]);
    lamp.publish(&format!("$aws/things/lamp/streams/{stream}/get/json"), r#"{"s":1,"f":0,"l":4096}"#).await;
    assert_eq!(lamp.json("rejected/json").await["o"], "ResourceNotFound", "its job was deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_an_upload_in_chunks_is_decoded_and_keys_are_those_of_the_data_directory() {
    let Some(python) = tool("python") else { return };
    let world = World::start().await.secured().await;
    let path = world.dir.path().join("v1.img");
    std::fs::write(&path, common::pattern(300_000)).unwrap();
    world.step(&python, "upload_over_tls", &[path.to_str().unwrap()]);
}

/// Those of docs/aws.md that are not about accounts, roles and certificates, and that version 1 of the command line can run.
#[tokio::test(flavor = "multi_thread")]
async fn the_scripts_of_the_examples_run_unchanged() {
    let Some(aws) = tool("aws") else { return };
    let world = World::start().await;
    let (mut device, _) = Device::connect(world.service.port(), "my-thing", "$aws/things/my-thing/#").await;
    let image = common::pattern(10_000);
    let scripts = Scripts::new(world.dir.path(), &image);
    let created = world.command(&aws).args(["iot", "create-thing", "--thing-name", "my-thing"]).output().unwrap();
    assert!(created.status.success(), "{}", String::from_utf8_lossy(&created.stderr));

    for script in ["09-upload", "10-stream", "11-job-mqtt"] {
        scripts.run(&world, &aws, "2.0.0", script);
    }
    let next = device.json("jobs/notify-next").await;
    let document = &next["execution"]["jobDocument"]["afr_ota"];
    assert_eq!((&document["streamname"], &document["protocols"][0]), (&"AFR_OTA-2-0-0".into(), &"MQTT".into()));
    assert_eq!(document["files"][0]["sig-sha256-ecdsa"], "MEUC");
    let get = r#"{"s":1,"f":0,"l":4096,"o":2,"n":1}"#;
    device.publish("$aws/things/my-thing/streams/AFR_OTA-2-0-0/get/json", get).await;
    assert_eq!(device.json("data/json").await["l"], 10_000 - 2 * 4096);
    assert!(scripts.run(&world, &aws, "2.0.0", "14-watch").contains("QUEUED"));
    scripts.run(&world, &aws, "2.0.0", "15-cancel");
    assert!(device.json("jobs/notify-next").await.get("execution").is_none());

    for script in ["09-upload", "12-job-http"] {
        scripts.run(&world, &aws, "2.1.0", script);
    }
    let next = device.json("jobs/notify-next").await;
    let url = next["execution"]["jobDocument"]["afr_ota"]["files"][0]["update_data_url"].as_str().unwrap().to_owned();
    let got = common::request(world.service.service.http, "GET", common::path_of(&url), "", b"").await;
    assert!(got.status == 200 && got.body == image, "{url}");
}

/// A copy of the scripts with an image of each version.
struct Scripts(PathBuf);

impl Scripts {
    fn new(dir: &Path, image: &[u8]) -> Self {
        let (root, copy) = (dir.join("root"), dir.join("root/examples/aws"));
        std::fs::create_dir_all(copy.join("files")).unwrap();
        for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/aws")).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "sh") {
                std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
            }
        }
        for version in ["2.0.0", "2.1.0"] {
            std::fs::write(copy.join(format!("files/v{version}.img")), image).unwrap();
            std::fs::write(copy.join(format!("files/v{version}.img.sig")), "MEUC").unwrap();
        }
        Self(root)
    }

    /// Runs a script, which must succeed; returns what it prints.
    fn run(&self, world: &World, aws: &Path, version: &str, script: &str) -> String {
        let path = format!("{}:{}", aws.parent().unwrap().display(), std::env::var("PATH").unwrap());
        let mut command = world.command(Path::new("sh"));
        command.arg(format!("examples/aws/{script}.sh")).current_dir(&self.0);
        command.env("PATH", path).env("OTA_VERSION", version).env_remove("OTA_ROOT").env_remove("OTA_ACCOUNT");
        let done = command.output().unwrap();
        assert!(done.status.success(), "{script}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }
}

/// A time within a year.
fn start_time() -> String {
    let done = Command::new("date").args(["-u", "-d", "+30 days", "+%Y-%m-%d %H:%M"]).output().unwrap();
    String::from_utf8(done.stdout).unwrap().trim().to_owned()
}
