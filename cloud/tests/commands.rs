//! Tests of both programs: exit codes, files, the ready line, signals.

#![allow(clippy::unwrap_used)]

mod common;

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use common::{Device, TempDir};

/// Runs `ota` with these arguments, separated by spaces.
fn ota(arguments: &str) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ota"));
    for name in ["OTA_SERVER", "OTA_TOKEN_FILE", "OTA_CA"] {
        command.env_remove(name);
    }
    command.args(arguments.split(' ')).output().unwrap()
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn done(arguments: &str) -> String {
    let output = ota(arguments);
    assert!(output.status.success(), "ota {arguments}: {}", String::from_utf8_lossy(&output.stderr));
    stdout(&output)
}

/// Creates a key pair and a signed image in `dir`.
fn signed(dir: &Path) {
    let at = dir.display();
    std::fs::write(dir.join("body"), common::pattern(50_000)).unwrap();
    done(&format!("keygen --out {at}"));
    done(&format!("sign --key {at}/private.pem --version 2.1.0 --hardware board-7 {at}/body {at}/fw.img"));
}

#[test]
fn a_signed_image_verifies_and_a_changed_one_does_not() {
    let dir = TempDir::new();
    let at = dir.path().display();
    signed(dir.path());
    let mode = std::fs::metadata(dir.path().join("private.pem")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(done(&format!("verify --key {at}/public.pem {at}/fw.img")).starts_with("good: version 2.1.0 for board-7"));
    let info = done(&format!("image info {at}/fw.img"));
    for line in ["version: 2.1.0", "hardware: board-7", "component: app", "body: 50000 bytes at 512"] {
        assert!(info.contains(line), "{info}");
    }
    let note = |file: &str| String::from_utf8(ota(&format!("image info {at}/{file}")).stderr).unwrap();
    assert_eq!(note("fw.img"), "");
    let mut image = std::fs::read(dir.path().join("fw.img")).unwrap();
    std::fs::write(dir.path().join("cut.img"), &image[..10_000]).unwrap();
    assert!(note("cut.img").ends_with("cut.img is truncated: 10000 bytes, its header states 50512\n"));
    assert!(image[512..] == common::pattern(50_000));
    *image.last_mut().unwrap() ^= 1;
    std::fs::write(dir.path().join("bad.img"), image).unwrap();
    let sign = format!("sign --key {at}/private.pem --version 2.1.0 --hardware b --system-min");
    done(&format!("{sign} 3.4 {at}/body {at}/needs.img"));
    assert!(done(&format!("image info {at}/needs.img")).contains("system at least: 3.4"));
    let refused = failed(&format!("{sign} 3.4 --component system {at}/body {at}/system.img"));
    assert!(refused.contains("images of the component app"), "{refused}");
    let output = ota(&format!("verify --key {at}/public.pem {at}/bad.img {at}/fw.img.sig"));
    assert_eq!((output.status.code(), stdout(&output)), (Some(1), String::new()));
    let output = ota(&format!("keygen --out {at}"));
    assert_eq!(output.status.code(), Some(1), "a key is never overwritten");
}

#[test]
fn a_body_starts_where_its_vector_table_needs_it() {
    let dir = TempDir::new();
    let at = dir.path().display();
    signed(dir.path());
    let sign =
        format!("sign --key {at}/private.pem --version 2.1.0 --hardware b {at}/body {at}/moved.img --body-offset");
    done(&format!("{sign} 1024"));
    assert!(done(&format!("image info {at}/moved.img")).contains("body: 50000 bytes at 1024"));
    assert!(done(&format!("verify --key {at}/public.pem {at}/moved.img")).starts_with("good: version 2.1.0"));
    assert!(std::fs::read(dir.path().join("moved.img")).unwrap()[1024..] == common::pattern(50_000));
    for offset in ["63", "65537"] {
        let output = ota(&format!("{sign} {offset}"));
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && text.contains("is not in 64..=65536"), "{text}");
    }
}

/// Runs a command that must fail; returns its error message.
fn failed(arguments: &str) -> String {
    let output = ota(arguments);
    assert_eq!(output.status.code(), Some(1), "ota {arguments}");
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn a_key_pair_has_the_public_half_as_a_device_takes_it() {
    use p256::pkcs8::DecodePublicKey;
    let dir = TempDir::new();
    let output_text = done(&format!("keygen --out {}", dir.path().display()));
    let der = std::fs::read(dir.path().join("public.der")).unwrap();
    assert!(
        der.len() == 91 && output_text.contains("public.der (the same key, 91 bytes of DER"),
        "{} {output_text}",
        der.len()
    );
    let pem = std::fs::read_to_string(dir.path().join("public.pem")).unwrap();
    let key = p256::PublicKey::from_public_key_pem(&pem).unwrap();
    assert_eq!(p256::PublicKey::from_public_key_der(&der).unwrap(), key);
}

#[test]
fn ed25519_and_rsa_keys_sign_and_no_key_verifies_anothers_signature() {
    if Command::new("openssl").arg("version").output().is_err() {
        return common::skip("openssl");
    }
    let dir = TempDir::new();
    let at = dir.path().display();
    std::fs::write(dir.path().join("body"), common::pattern(5_000)).unwrap();
    let openssl = |arguments: String| {
        let done = Command::new("openssl").args(arguments.split(' ')).output().unwrap();
        assert!(done.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&done.stderr));
    };
    done(&format!("keygen --out {at}/ecdsa"));
    done(&format!("keygen --kind ed25519 --out {at}/ed25519"));
    for (name, bits) in [("rsa", 2048), ("weak", 1024)] {
        std::fs::create_dir(dir.path().join(name)).unwrap();
        openssl(format!("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:{bits} -out {at}/{name}/private.pem"));
        openssl(format!("pkey -in {at}/{name}/private.pem -pubout -out {at}/{name}/public.pem"));
    }
    let names = ["ecdsa", "ed25519", "rsa"];
    for name in names {
        done(&format!("sign --key {at}/{name}/private.pem --version 2.1.0 --hardware b {at}/body {at}/{name}.img"));
    }
    for signer in names {
        for key in names {
            let arguments = format!("verify --key {at}/{key}/public.pem {at}/{signer}.img");
            assert_eq!(ota(&arguments).status.success(), key == signer, "{key} over {signer}");
        }
    }
    // OpenSSL derives the same public key from our private key.
    openssl(format!("pkey -in {at}/ed25519/private.pem -pubout -outform DER -out {at}/theirs.der"));
    let ours = std::fs::read(dir.path().join("ed25519/public.der")).unwrap();
    assert_eq!((std::fs::read(dir.path().join("theirs.der")).unwrap(), ours.len()), (ours, 44));
    let sign = format!("sign --key {at}/weak/private.pem --version 2.1.0 --hardware b {at}/body {at}/weak.img");
    assert!(failed(&sign).contains("weak/private.pem: "));
    assert!(failed(&format!("verify --key {at}/weak/public.pem {at}/rsa.img")).contains("RsaUnsupported"));
    assert!(failed(&format!("verify --key {at}/rsa/private.pem {at}/rsa.img")).contains("this is a private key"));
    openssl(format!("req -x509 -key {at}/ecdsa/private.pem -subj /CN=device -out {at}/certificate.pem"));
    openssl(format!("ec -in {at}/ecdsa/private.pem -pubout -conv_form compressed -out {at}/compressed.pem"));
    for (key, hint) in [("certificate", "openssl x509 -pubkey"), ("compressed", "-conv_form uncompressed")] {
        let refused = failed(&format!("verify --key {at}/{key}.pem {at}/ecdsa.img"));
        assert!(refused.contains(hint), "{refused}");
    }
    let signature = std::fs::read_to_string(dir.path().join("ecdsa.img.sig")).unwrap();
    let (start, end) = signature.split_at(64);
    std::fs::write(dir.path().join("ecdsa.img.sig"), format!("{start}\r\n{end}\r\n")).unwrap();
    done(&format!("verify --key {at}/ecdsa/public.pem {at}/ecdsa.img"));
}

#[test]
fn a_reason_of_a_job_is_explained() {
    let explained = ota("explain 0x0305");
    let text = String::from_utf8(explained.stdout).unwrap();
    assert_eq!(text, "HttpForbidden 0x0305 (FAILED): The HTTP server returned 401 or 403; the URL may have expired.\n");
    assert!(failed("explain 0x0399").contains("docs/codes.md"));
}

#[test]
fn signing_overwrites_nothing_that_it_reads_and_signs_nothing_twice() {
    let dir = TempDir::new();
    let at = dir.path().display();
    signed(dir.path());
    let body = std::fs::read(dir.path().join("body")).unwrap();
    let secret = std::fs::read(dir.path().join("private.pem")).unwrap();
    std::fs::copy(dir.path().join("body"), dir.path().join("x.sig")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("body"), dir.path().join("link")).unwrap();
    let sign = |key: &str, names: &str| {
        failed(&format!(
            "sign --key {at}/{key}.pem --version 2.1.0 --hardware board-7 {}",
            names.replace('@', &format!("{at}"))
        ))
    };
    for names in ["@/body @/body", "@/body @/./body", "@/body @/link", "@/x.sig @/x"] {
        assert!(sign("private", names).contains("the input would be overwritten"), "{names}");
    }
    assert!(sign("private", "@/body @/private.pem").contains("the key would be overwritten"));
    assert!(sign("private", "@/fw.img @/twice.img").contains("has an image header already"));
    assert!(sign("public", "@/body @/other.img").contains("this is a public key"));
    assert!(std::fs::read(dir.path().join("body")).unwrap() == body);
    assert!(std::fs::read(dir.path().join("private.pem")).unwrap() == secret);
}

#[test]
fn invalid_arguments_of_a_job_are_reported_before_anything_is_sent() {
    let dir = TempDir::new();
    let at = dir.path().display();
    signed(dir.path());
    std::fs::write(dir.path().join("token"), "00\n").unwrap();
    std::fs::write(dir.path().join("bad.img"), std::fs::read(dir.path().join("fw.img")).unwrap()).unwrap();
    std::fs::write(dir.path().join("bad.img.sig"), "not base64 of DER").unwrap();
    let cut = &std::fs::read(dir.path().join("fw.img")).unwrap()[..10_000];
    std::fs::write(dir.path().join("cut.img"), cut).unwrap();
    std::fs::copy(dir.path().join("fw.img.sig"), dir.path().join("cut.img.sig")).unwrap();
    let create = |image: &str, more: &str| {
        failed(&format!("job create --thing lamp --image {at}/{image} --token-file {at}/token --server {more}"))
    };
    let nowhere = "http://127.0.0.1:1";
    for (image, more, words) in [
        ("none.img", nowhere, "none.img: No such file"),
        ("body", nowhere, "body: not an image made by `ota sign`"),
        ("bad.img", nowhere, "bad.img.sig: not a signature"),
        ("cut.img", nowhere, "cut.img is truncated: 10000 bytes, its header states 50512"),
        ("fw.img", "127.0.0.1:8080", "127.0.0.1:8080: the URL must start with http://"),
        ("fw.img", "http://127.0.0.1:1 --thing lamp/2", "thing 1, \"lamp/2\": "),
        ("fw.img", "http://127.0.0.1:1 --id a.b", "job id: "),
        ("fw.img", "http://127.0.0.1:1 --timeout-minutes 0", "timeout of 0 minutes"),
        ("fw.img", "http://127.0.0.1:1 --per-minute 0", "maximumPerMinute of 0"),
        ("fw.img", "http://127.0.0.1:1 --abort-percent 101", "thresholdPercentage of 101"),
        ("fw.img", "http://127.0.0.1:1 --retries 11", "11 retries"),
        ("fw.img", "http://127.0.0.1:1 --start tomorrow", "\"tomorrow\""),
        ("fw.img", "http://127.0.0.1:1 --start 2100-01-01T10:00 --end 2100-01-01T10:20", "30 minutes"),
        // These pass all checks and fail to connect.
        ("body", "http://127.0.0.1:1 --raw --unsigned", "http://127.0.0.1:1: "),
        ("bad.img", "http://127.0.0.1:1 --raw", "http://127.0.0.1:1: "),
    ] {
        let output_text = create(image, more);
        assert!(output_text.contains(words), "{image} {more}: {output_text}");
    }
    for text in ["", "-----BEGIN PRIVATE KEY-----"] {
        std::fs::write(dir.path().join("token"), text).unwrap();
        let output_text = create("fw.img", nowhere);
        assert!(output_text.contains("token: not a token") && !output_text.contains("BEGIN"), "{output_text}");
    }
}

#[test]
fn wrong_usage_and_a_missing_server_have_exit_codes_of_their_own() {
    assert_eq!(ota("sign --version x").status.code(), Some(2));
    assert_eq!(ota("nonsense").status.code(), Some(2));
    assert_eq!(ota("job list").status.code(), Some(1), "no token");
    let mut without_id = Command::new(env!("CARGO_BIN_EXE_ota"));
    without_id.args(["job", "cancel"]).env("OTA_SERVER", "http://127.0.0.1:1").env("OTA_TOKEN_FILE", "token");
    let error = String::from_utf8(without_id.output().unwrap().stderr).unwrap();
    assert!(error.contains("Usage: ota job cancel [OPTIONS] <ID>\n"), "{error}");
    let dir = TempDir::new();
    std::fs::write(dir.path().join("token"), "00").unwrap();
    let token = format!("--token-file {}/token", dir.path().display());
    assert_eq!(ota(&format!("job list {token} --server http://127.0.0.1:1")).status.code(), Some(1));
    assert_eq!(ota(&format!("job list {token} --server https://127.0.0.1:1")).status.code(), Some(1), "no authority");
}

/// `ota-cloud serve` as a process; killed when dropped.
struct Served {
    child: Child,
    lines: BufReader<std::process::ChildStdout>,
    mqtt: u16,
    http: String,
}

impl Served {
    fn start(dir: &Path) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_ota-cloud"))
            .args(["serve", "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0", "--log", "json", "--data"])
            .arg(dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut ready = String::new();
        lines.read_line(&mut ready).unwrap();
        let (mqtt, http) = ready.trim().strip_prefix("ready mqtt=").unwrap().split_once(" http=").unwrap();
        let (mqtt, http) = (mqtt.rsplit_once(':').unwrap().1.parse().unwrap(), http.to_owned());
        Self { child, lines, mqtt, http }
    }

    /// Terminates it; returns the output since the ready line, and the duration.
    fn terminate(mut self) -> (String, Duration) {
        let begin = Instant::now();
        // The shell's builtin: the program `kill` may not be installed.
        let kill = format!("kill {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().unwrap().success());
        assert!(self.child.wait().unwrap().success());
        let took = begin.elapsed();
        let mut rest = String::new();
        while self.lines.read_line(&mut rest).unwrap() > 0 {}
        (rest, took)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_command_updates_one_thing_and_follows_it() {
    let dir = TempDir::new();
    let at = dir.path().display();
    signed(dir.path());
    let served = Served::start(&dir.path().join("data"));
    let server = format!("--server http://{} --token-file {at}/data/token", served.http);
    let (mut lamp, _) = Device::connect(served.mqtt, "lamp", "$aws/things/lamp/#").await;
    let (mut door, _) = Device::connect(served.mqtt, "door", "$aws/things/door/#").await;
    for (status, code) in [("SUCCEEDED", 0), ("FAILED", 1)] {
        let flash = format!("flash lamp {at}/fw.img {server}");
        let flash = tokio::task::spawn_blocking(move || ota(&flash));
        let id = loop {
            let notification = lamp.json("/notify-next").await;
            if let Some(id) = notification["execution"]["jobId"].as_str() {
                break id.to_owned();
            }
        };
        lamp.publish(&format!("$aws/things/lamp/jobs/{id}/update"), format!(r#"{{"status":"{status}"}}"#)).await;
        let output = tokio::time::timeout(common::TIMEOUT, flash).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(code), "{status}");
        let text = stdout(&output);
        assert!(text.starts_with(&id) && text.contains("QUEUED") && text.contains(status), "{text}");
    }
    assert!(!door.receives("/notify-next", std::time::Duration::from_millis(300)).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_is_created_and_watched_to_its_end_good_or_bad() {
    let dir = TempDir::new();
    let at = dir.path().display();
    signed(dir.path());
    let served = Served::start(&dir.path().join("data"));
    let server = format!("--server http://{} --token-file {at}/data/token", served.http);
    let mut ended = String::new();
    for (status, code) in [("SUCCEEDED", 0), ("FAILED", 1)] {
        let id = done(&format!("job create --thing lamp --image {at}/fw.img --protocol both {server}"));
        let id = id.trim().to_owned();
        let (mut device, granted) = Device::connect(served.mqtt, "lamp", "$aws/things/lamp/#").await;
        assert!(granted);
        let watch = format!("job watch {id} {server}");
        let watch = tokio::task::spawn_blocking(move || ota(&watch));
        device.publish("$aws/things/lamp/jobs/start-next", "{}").await;
        device.next("/start-next/accepted").await;
        let report = format!(r#"{{"status":"{status}","statusDetails":{{"reason":"because","code":"0x0601"}}}}"#);
        device.publish(&format!("$aws/things/lamp/jobs/{id}/update"), report).await;
        device.next("/update/accepted").await;
        let output = tokio::time::timeout(common::TIMEOUT, watch).await.unwrap().unwrap();
        assert_eq!(output.status.code(), Some(code), "{status}");
        let output_text = stdout(&output);
        for word in ["QUEUED", "IN_PROGRESS", status, "because"] {
            assert!(output_text.contains(word), "no {word} in {output_text}");
        }
        let error_text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(
            error_text.contains(r#""0x0601"}  The self-test of the new image failed."#),
            code == 1,
            "{error_text}"
        );
        assert!(done(&format!("job show {id} {server}")).contains(status));
        assert!(done(&format!("job list {server}")).contains(&format!("{id}  COMPLETED")));
        ended = id;
    }
    assert_eq!(ota(&format!("job show none {server}")).status.code(), Some(1));
    let over = failed(&format!("job cancel {ended} --force {server}"));
    assert!(over.contains(&format!("job {ended} is COMPLETED")), "{over}");
    let create = |things: &str, id: &str| {
        let output = ota(&format!("job create --thing {things} --image {at}/fw.img --id {id} {server}"));
        assert_eq!(stdout(&output), format!("{id}\n"));
        String::from_utf8(output.stderr).unwrap()
    };
    let note = create("door lamp", "late");
    assert!(note.contains("thing door sent no request") && !note.contains("lamp"), "{note}");
    let (mut device, _) = Device::connect(served.mqtt, "lamp", "$aws/things/lamp/#").await;
    device.publish("$aws/things/lamp/jobs/start-next", "{}").await;
    device.next("/start-next/accepted").await;
    assert_eq!(create("door lamp", "later"), note);
    for command in ["job list", "job show late", "group list"] {
        let printed = done(&format!("{command} --json {server}"));
        let value: serde_json::Value = serde_json::from_str(&printed).unwrap();
        assert!(printed.lines().count() == 1 && value.is_object(), "{command}: {printed}");
    }
    let canceled = done(&format!("job cancel late {server}"));
    assert_eq!(canceled, "1 cancelled\n1 left IN_PROGRESS, use --force to cancel them\n");
    assert_eq!(done(&format!("job cancel late --force {server}")), "1 cancelled\n");
    assert_eq!(ota(&format!("job watch late {server}")).status.code(), Some(1));
    let key = done(&format!("access-key create --label ci {server}"));
    let id = key.lines().next().unwrap().strip_prefix("AWS_ACCESS_KEY_ID=").unwrap();
    assert!(id.len() == 20 && key.contains("\nAWS_SECRET_ACCESS_KEY="), "{key}");
    assert_eq!(done(&format!("access-key list {server}")), format!("{id}  operator  ci\n"));
    done(&format!("access-key delete {id} {server}"));
    assert!(failed(&format!("access-key delete {id} {server}")).contains(id));
    let empty = done(&format!("group create lights {server}"));
    assert_eq!((empty.as_str(), done(&format!("group list {server}"))), ("", "lights  0\n".to_owned()));
    done(&format!("group add lights lamp bulb {server}"));
    done(&format!("group remove lights bulb {server}"));
    assert_eq!(done(&format!("group show lights {server}")), "lamp\n");
    done(&format!("job create --group lights --continuous --image {at}/fw.img --id lit {server}"));
    done(&format!("group add lights star {server}"));
    let shown = done(&format!("job show lit {server}"));
    assert!(
        shown.contains("lit  IN_PROGRESS") && shown.contains("lamp  QUEUED") && shown.contains("star  QUEUED"),
        "{shown}"
    );
    assert_eq!(done(&format!("job cancel lit --json {server}")), "{\"canceled\":2,\"left_in_progress\":0}\n");
    let watched = ota(&format!("job watch lit --json {server}"));
    let events: Vec<serde_json::Value> =
        stdout(&watched).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(watched.status.code() == Some(1) && events.iter().any(|event| event["text"] == "CANCELED"), "{events:?}");
    done(&format!("group delete lights {server}"));
    for command in ["show lights", "delete lights", "add lights lamp", "remove lights lamp"] {
        let refused = ota(&format!("group {command} {server}"));
        let text = String::from_utf8(refused.stderr).unwrap();
        assert!(refused.status.code() == Some(1) && text.contains("there is no group lights"), "{text}");
    }
    done(&format!("device pin lamp {server}"));
    assert_eq!(done(&format!("device pinned {server}")), "lamp\n");
    let refused = ota(&format!("job create --thing lamp --image {at}/fw.img {server}"));
    assert!(String::from_utf8(refused.stderr).unwrap().contains("all things of the job are pinned"));
    assert!(create("door lamp", "pinned").contains("thing lamp is pinned"));
    assert!(!done(&format!("job show pinned {server}")).contains("lamp  QUEUED"));
    done(&format!("device unpin lamp {server}"));
    let rate = "--per-minute 1 --abort-percent 12.5 --abort-min 4 --retries 2";
    done(&format!("job create --thing door lamp --image {at}/fw.img --id slow {rate} {server}"));
    let shown = done(&format!("job show slow {server}"));
    for text in [
        r#"{"maximumPerMinute":1}"#,
        r#"[{"failureType":"ALL","action":"CANCEL","thresholdPercentage":12.5,"minNumberOfExecutedThings":4}]"#,
        r#"[{"failureType":"ALL","numberOfRetries":2}]"#,
        "waiting ",
    ] {
        assert!(shown.contains(text), "{shown}");
    }
    assert!(done(&format!("job list {server}")).contains("waiting "));
    assert_eq!(done(&format!("job cancel slow {server}")), "2 cancelled\n");

    let second = Command::new(env!("CARGO_BIN_EXE_ota-cloud"))
        .args(["serve", "--mqtt", "127.0.0.1:0", "--http", "127.0.0.1:0", "--data", &format!("{at}/data")])
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let output_text = String::from_utf8(second.stderr).unwrap();
    assert!(output_text.contains(&format!("data directory {at}/data is in use")), "{output_text}");

    let (lines, took) = served.terminate();
    assert!(took < Duration::from_secs(1), "{took:?}");
    let lines: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let started = lines.iter().find(|line| line["topic"] == "$aws/things/lamp/jobs/start-next").unwrap();
    assert_eq!((&started["dir"], &started["thing"], &started["text"]), (&"in".into(), &"lamp".into(), &"{}".into()));
    assert!(started["t"].as_u64().unwrap() > 1_700_000_000_000);
    assert!(lines.iter().any(|line| line["dir"] == "out" && line["topic"] == "$aws/things/lamp/jobs/notify-next"));
}

/// Signs `body` as an image of version `version` that is linked for `link`.
fn sign_linked(dir: &Path, body: &str, version: &str, link: &str, image: &str) {
    let at = dir.display();
    let fixed = format!("sign --key {at}/private.pem --hardware board-7");
    done(&format!("{fixed} --version {version} --link {link} {at}/{body} {at}/{image}"));
}

/// Creates the images `a.img` and `b.img` of one release in `dir`, linked for these slots, and what does not belong to it.
fn release(dir: &Path) {
    signed(dir);
    std::fs::write(dir.join("other"), common::pattern(60_000)).unwrap();
    sign_linked(dir, "body", "2.1.0", "a", "a.img");
    sign_linked(dir, "other", "2.1.0", "b", "b.img");
    sign_linked(dir, "body", "2.1.1", "b", "newer.img");
    sign_linked(dir, "body", "2.1.0", "factory", "factory.img");
}

#[test]
fn images_that_are_not_one_release_are_refused_before_anything_is_sent() {
    let dir = TempDir::new();
    let at = dir.path().display();
    release(dir.path());
    std::fs::write(dir.path().join("token"), "00").unwrap();
    let server = format!("--token-file {at}/token --server http://127.0.0.1:1");
    for (images, more, words) in [
        ("a.img a.img", "", "a.img and a.img are both linked for slot A"),
        ("a.img newer.img", "", "a.img and newer.img are not one release: version 2.1.0 and version 2.1.1"),
        ("fw.img b.img", "", "fw.img is linked for any slot"),
        ("fw.img fw.img", "", "fw.img and fw.img are for the same component and any slot"),
        ("factory.img", "", "factory.img is linked for the factory slot"),
        ("b.img body", "--raw --unsigned ", "body has no valid image header"),
        // These pass all checks and fail to connect.
        ("b.img a.img", "", "http://127.0.0.1:1: "),
        ("b.img", "", "http://127.0.0.1:1: "),
        ("fw.img", "", "http://127.0.0.1:1: "),
    ] {
        let images: Vec<String> = images.split(' ').map(|image| format!("{at}/{image}")).collect();
        let images = images.join(" ");
        let output_text = failed(&format!("job create --thing lamp --image {images} {more}{server}"));
        assert!(output_text.contains(words), "{images}: {output_text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_for_two_slots_is_one_job_whose_files_come_by_id_and_by_url() {
    let dir = TempDir::new();
    let at = dir.path().display();
    release(dir.path());
    let served = Served::start(&dir.path().join("data"));
    let server = format!("--server http://{} --token-file {at}/data/token", served.http);
    let images = format!("{at}/b.img {at}/a.img");
    done(&format!("job create --id both --thing lamp --image {images} --protocol both {server}"));
    let (mut device, _) = Device::connect(served.mqtt, "lamp", "$aws/things/lamp/#").await;
    device.publish("$aws/things/lamp/jobs/both/get", "{}").await;
    let described = device.json("/both/get/accepted").await;
    let document = &described["execution"]["jobDocument"]["afr_ota"];
    let stream = document["streamname"].as_str().unwrap();
    for (file_id, (name, file_type)) in [("b.img", 11), ("a.img", 10)].into_iter().enumerate() {
        let file = &document["files"][file_id];
        let image = std::fs::read(dir.path().join(name)).unwrap();
        let signature = std::fs::read_to_string(dir.path().join(format!("{name}.sig"))).unwrap();
        assert_eq!((&file["fileType"], &file["fileid"]), (&file_type.into(), &file_id.into()));
        assert_eq!((&file["filesize"], &file["filepath"]), (&image.len().into(), &name.into()));
        assert_eq!(file["sig-sha256-ecdsa"], signature.trim());
        let request = format!(r#"{{"f":{file_id},"l":65536,"o":0,"n":1}}"#);
        device.publish(&format!("$aws/things/lamp/streams/{stream}/get/json"), request).await;
        let block = device.json("/data/json").await;
        let mut bytes = vec![0; 65_536];
        let len = ota_jobs::base64::decode(block["p"].as_str().unwrap().as_bytes(), &mut bytes).unwrap();
        assert!(block["f"] == file_id && bytes[..len] == image, "{name} over MQTT");
        let path = common::path_of(file["update_data_url"].as_str().unwrap());
        let fetched = common::request(served.http.parse().unwrap(), "GET", path, "", b"").await;
        assert!(fetched.status == 200 && fetched.body == image, "{name} over HTTP");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_asks_devices_not_to_postpone_it_only_if_it_is_forced() {
    let dir = TempDir::new();
    let at = dir.path().display();
    signed(dir.path());
    let served = Served::start(&dir.path().join("data"));
    let server = format!("--server http://{} --token-file {at}/data/token", served.http);
    let (mut device, _) = Device::connect(served.mqtt, "lamp", "$aws/things/lamp/#").await;
    for (id, option, forced) in [("calm", "", None), ("urgent", " --forced", Some(true))] {
        done(&format!("job create{option} --id {id} --thing lamp --image {at}/fw.img {server}"));
        device.publish(&format!("$aws/things/lamp/jobs/{id}/get"), "{}").await;
        let described = device.json(&format!("/{id}/get/accepted")).await;
        assert_eq!(described["execution"]["jobDocument"]["afr_ota"]["forced"].as_bool(), forced, "{id}");
    }
}

#[test]
fn invalid_options_are_reported() {
    let dir = TempDir::new();
    let serve = |more: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ota-cloud"));
        let fixed = format!("serve --data {} {more}", dir.path().display());
        let output = command.args(fixed.split(' ')).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    for (more, code, word) in [
        ("--http 0.0.0.0:0", 1, "--public-http"),
        ("--http 127.0.0.1:0 --broker mqtts://localhost:1", 1, "--broker-ca"),
        ("--http 127.0.0.1:0 --broker tcp://localhost:1", 1, "mqtt://host:port"),
        ("--http 127.0.0.1:0 --public-http ftp://x", 1, "http://host:port"),
        ("--http 127.0.0.1:0 --tls-cert none --tls-key none --tls-ca none", 1, "none"),
        ("--tls-cert only", 2, "--tls-key"),
        ("--url-seconds 0", 2, "--url-seconds"),
    ] {
        let (got, output_text) = serve(more);
        assert!(got == Some(code) && output_text.contains(word), "{more}: {got:?} {output_text}");
    }
    let output = Command::new(env!("CARGO_BIN_EXE_ota-cloud")).args(["serve", "--data", "/proc/x"]).output().unwrap();
    let output_text = String::from_utf8(output.stderr).unwrap();
    assert!(output_text.contains("data directory /proc/x: "), "{output_text}");
}
