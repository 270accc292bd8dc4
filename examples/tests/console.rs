//! What the Linux device prints: the exact lines of a good update and of a forged one, as processes of their own. Its image is a
//! script that starts the device program of this build.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use clap::Parser;
use ota_agent::Notice;
use ota_agent::machine::Outcome;
use ota_cloud::serve::{Config, Service};
use ota_cloud::tool;
use ota_examples::bench::Device;
use ota_examples::device::{Error, HARDWARE};
use ota_examples::lines::{Kind, Line};
use ota_jobs::Reason;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

const SELECTOR: &str = env!("CARGO_BIN_EXE_boot-selector");
const DEVICE: &str = env!("CARGO_BIN_EXE_device");
/// Timeout of both jobs, much longer than needed.
const TIMEOUT: Duration = Duration::from_secs(60);

fn ota(arguments: &[&str]) -> Result<(), Error> {
    let arguments = tool::Arguments::try_parse_from([&["ota"], arguments].concat())?;
    tokio::task::block_in_place(|| tool::run(arguments)).map_err(|failed| failed.to_string().into())
}

fn text(path: &Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| "the folder's name is not text".into())
}

/// Signs the images 1.0.0 and 2.0.0, and one in which a bit differs from what was signed.
fn make_images(folder: &Path) -> Result<(), Error> {
    ota(&["keygen", "--out", text(folder)?])?;
    let (key, program) = (folder.join("private.pem"), folder.join("program"));
    fs::write(&program, format!("#!/bin/sh\nexec '{DEVICE}' \"$@\"\n"))?;
    for (version, name) in [("1.0.0", "v1.img"), ("2.0.0", "v2.img"), ("3.0.0", "forged.img")] {
        let sign = ["sign", "--key", text(&key)?, "--version", version, "--hardware", HARDWARE];
        ota(&[&sign[..], &[text(&program)?, text(&folder.join(name))?]].concat())?;
    }
    let mut forged = fs::read(folder.join("forged.img"))?;
    *forged.last_mut().ok_or("an image has bytes")? ^= 1;
    Ok(fs::write(folder.join("forged.img"), forged)?)
}

/// What the device is to print of an update that it downloads and verifies.
fn download(image: &[u8], evicted: Option<Notice>, verified: Notice) -> Vec<(Kind, String)> {
    let image_bytes = image.len() as u32;
    let mut lines = vec![notice(&Notice::UpdateAvailable { image_bytes })];
    lines.extend(evicted.iter().map(notice));
    lines.push(notice(&Notice::DownloadStarted { resumed_bytes: 0 }));
    lines.push((Kind::Progress, format!("{image_bytes} {image_bytes}")));
    lines.extend([Notice::DownloadSucceeded, Notice::VerifyStarted, verified].iter().map(notice));
    lines
}

fn notice(notice: &Notice) -> (Kind, String) {
    (Kind::Notice, format!("{notice:?}"))
}

fn boot(text: &str) -> [(Kind, String); 2] {
    [(Kind::Boot, text.into()), (Kind::Start, env!("CARGO_PKG_VERSION").into())]
}

fn expected(folder: &Path) -> Result<Vec<(Kind, String)>, Error> {
    let [good, forged] = ["v2.img", "forged.img"].map(|name| fs::read(folder.join(name)));
    let (good, forged) = (good?, forged?);
    let reason = Reason::SignatureInvalid;
    let mut lines = boot("boots slot a, version 1.0.0 (Confirmed)").to_vec();
    lines.push(notice(&Notice::CheckStarted));
    lines.extend(download(&good, None, Notice::VerifySucceeded { digest: Sha256::digest(&good).into() }));
    lines.extend([notice(&Notice::Activated), (Kind::Boot, "reset".into())]);
    lines.extend(boot("boots slot b, version 2.0.0 (Trial)"));
    let succeeded = Notice::Concluded(Outcome::Succeeded);
    let confirmed = [Notice::SelfTestStarted, Notice::Confirmed, succeeded, Notice::Settled, Notice::CheckStarted];
    lines.extend(confirmed.iter().map(notice));
    let evicted = Notice::StoreFull { evicted: (1, 0, 0) };
    lines.extend(download(&forged, Some(evicted), Notice::VerifyFailed(reason)));
    let failed = Notice::Concluded(Outcome::Failed(reason));
    lines.extend([failed, Notice::Settled, Notice::CheckStarted, Notice::NoUpdate].iter().map(notice));
    Ok(lines)
}

/// The line without what differs from run to run; `None` for messages, and for progress before the end.
fn event(line: &str) -> Option<(Kind, String)> {
    let Line { kind, text, .. } = Line::parse(line).unwrap_or_else(|| panic!("not a line of the device: {line}"));
    match kind {
        Kind::Out | Kind::In => None,
        Kind::Progress => {
            let numbers: Vec<&str> = text.split(' ').take(2).collect();
            (numbers[0] == numbers[1]).then(|| (kind, numbers.join(" ")))
        }
        Kind::Start | Kind::Notice | Kind::Boot => Some((kind, text)),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn the_device_prints_each_event_of_an_update_once_and_in_order() -> Result<(), Error> {
    let device = Device::new("console")?;
    let folder = device.folder();
    make_images(folder)?;
    let service = Service::start(Config::local(folder)).await?;
    let (server, token, flash) = (format!("http://{}", service.http), folder.join("token"), folder.join("flash"));
    for image in ["v2.img", "forged.img"] {
        let to = ["--server", server.as_str(), "--token-file", text(&token)?];
        let create = ["job", "create", "--thing", "kitchen", "--image", text(&folder.join(image))?].map(str::to_owned);
        ota(&[&to[..], &create.each_ref().map(String::as_str)].concat())?;
    }
    let first = folder.join("v1.img");
    let installed = Command::new(SELECTOR).args(["--flash", text(&flash)?, "--install", text(&first)?]).output()?;
    assert!(installed.status.success(), "{installed:?}");

    let mut process = tokio::process::Command::new(SELECTOR);
    process.args(["--flash", text(&flash)?, "--leave-with-parent", "--endpoint", &service.mqtt, "--thing", "kitchen"]);
    process.args(["--update-key", text(&folder.join("public.pem"))?]);
    // Ends when its standard input is closed, and with it the device.
    let mut process = process.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut output = BufReader::new(process.stdout.take().ok_or("a pipe")?).lines();
    let (mut printed, last) = (Vec::new(), notice(&Notice::NoUpdate));
    while printed.last() != Some(&last) {
        let line =
            timeout(TIMEOUT, output.next_line()).await.map_err(|_| format!("nothing follows {printed:#?}"))??;
        printed.extend(event(&line.ok_or("the device ended")?));
    }
    drop(process.stdin.take());
    process.wait().await?;
    service.stop().await;
    assert_eq!(printed, expected(folder)?);
    Ok(())
}
