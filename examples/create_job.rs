//! Creates a job from a signed image and shows it as the device will receive it: `cargo run --example create_job`.
//! The service runs in this program; `ota job create` does the same with an external service.

use std::fs;

use clap::Parser;
use ota_cloud::serve::{Config, Service};
use ota_cloud::tool;
use ota_examples::bench::{Device, HARDWARE};
use ota_examples::device::Error;

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<(), Error> {
    let device = Device::new("create-job")?;
    let folder = device.folder().to_owned();
    let service = Service::start(Config::local(&folder)).await?;
    let server = format!("http://{}", service.http);
    let token = folder.join("token");

    // 1. Make an image from any file: add a header and create a signature.
    let (program, image) = (folder.join("program"), folder.join("v2.img"));
    fs::write(&program, b"what the board runs")?;
    let key = folder.join("private.pem");
    ota(&["keygen", "--out", text(&folder)?])?;
    let about = ["--version", "2.0.0", "--hardware", HARDWARE];
    ota(&[&["sign", "--key", text(&key)?], &about[..], &[text(&program)?, text(&image)?]].concat())?;

    // 2. Create the job: image, thing, protocol.
    let to = ["--server", server.as_str(), "--token-file", text(&token)?];
    let job =
        ["job", "create", "--id", "kitchen-2", "--thing", "kitchen", "--protocol", "both", "--image", text(&image)?];
    tokio::task::block_in_place(|| ota(&[&to[..], &job[..]].concat()))?;

    // 3. Show the stored job.
    tokio::task::block_in_place(|| ota(&[&to[..], &["job", "show", "kitchen-2"]].concat()))?;
    service.stop().await;
    Ok(())
}

/// Runs the command `ota`.
fn ota(arguments: &[&str]) -> Result<(), Error> {
    println!("$ ota {}", arguments.join(" "));
    let words = [&["ota"], arguments].concat();
    tool::run(tool::Arguments::try_parse_from(words)?).map_err(|failed| failed.to_string().into())
}

fn text(path: &std::path::Path) -> Result<&str, Error> {
    path.to_str().ok_or_else(|| "the folder's name is not text".into())
}
