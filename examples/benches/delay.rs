//! Prints how long the Linux device takes to download an image of 1 MiB over links with a delay: device program, job service and
//! broker are the real ones, and a proxy between device and broker holds back what passes. It is compared with the transfer at no
//! delay, in the same run. Over MQTT, without TLS; the flash is a file.
//!
//! ```text
//! cargo bench --profile dev -p ota-examples --bench delay
//! ```

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use clap::Parser;
use ota_cloud::serve::{Config, Service};
use ota_cloud::tool;
use ota_examples::bench::Device;
use ota_examples::device::{Error, HARDWARE};
use ota_pal::image::header::BODY_OFFSET_DEFAULT_BYTES;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};

const DEVICE: &str = env!("CARGO_BIN_EXE_device");
const IMAGE_BYTES: usize = 1 << 20;
const ROUND_TRIPS_MS: [u64; 5] = [0, 20, 100, 400, 800];
/// Measurements for each delay, of which the middle one counts.
const ROUNDS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<(), Error> {
    let mut table = "| round trip | download | above the transfer at no delay |\n|---|---|---|\n".to_owned();
    let mut at_no_delay_ms = None;
    for round_trip_ms in ROUND_TRIPS_MS {
        let mut measured = Vec::new();
        for _ in 0..ROUNDS {
            measured.push(download_ms(round_trip_ms).await?);
        }
        measured.sort_unstable();
        let middle_ms = measured[ROUNDS / 2];
        let transfer_ms = *at_no_delay_ms.get_or_insert(middle_ms);
        let above = match round_trip_ms {
            0 => String::new(),
            _ => format!("{:.1} round trips", middle_ms.saturating_sub(transfer_ms) as f64 / round_trip_ms as f64),
        };
        table += &format!("| {round_trip_ms} ms | {middle_ms} ms | {above} |\n");
    }
    println!("{table}"); // behind what `ota` prints
    Ok(())
}

/// The time from the device's first request of a block to its last block, in milliseconds.
async fn download_ms(round_trip_ms: u64) -> Result<u64, Error> {
    let bench = Device::new("delay")?;
    let path = |name: &str| bench.folder().join(name).display().to_string();
    ota(&["keygen", "--out", &path("")])?;
    fs::write(path("program"), vec![0xA5; IMAGE_BYTES - BODY_OFFSET_DEFAULT_BYTES as usize])?;
    let sign = ["sign", "--key", &path("private.pem"), "--version", "9.0.0", "--hardware", HARDWARE];
    ota(&[&sign[..], &[&path("program"), &path("v9.img")]].concat())?;
    let service = Service::start(Config::local(bench.folder())).await?;
    let endpoint = delayed(service.mqtt.clone(), Duration::from_millis(round_trip_ms / 2)).await?;

    let (server, token) = (format!("http://{}", service.http), path("token"));
    ota(&[
        "job",
        "create",
        "--server",
        &server,
        "--token-file",
        &token,
        "--thing",
        "lamp",
        "--image",
        &path("v9.img"),
    ])?;
    let mut device = tokio::process::Command::new(DEVICE);
    device.args(["--flash", &path("flash"), "--endpoint", &endpoint, "--thing", "lamp"]);
    device.args(["--update-key", &path("public.pem")]);
    let mut device = device.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let mut lines = BufReader::new(device.stdout.take().ok_or("no output")?).lines();
    let measure = async {
        let mut started_ms = None;
        while let Some(line) = lines.next_line().await? {
            let time_ms =
                || line.split('\t').next().and_then(|ms| ms.parse::<u64>().ok()).ok_or("a line without a time");
            if line.contains("DownloadStarted") {
                started_ms = Some(time_ms()?);
            } else if line.contains("DownloadSucceeded") {
                return Ok(time_ms()? - started_ms.ok_or("a download that did not start")?);
            }
        }
        Err::<u64, Error>("the device ended".into())
    };
    let measured = timeout(PATIENCE, measure).await.map_err(|_| "no download")?;
    device.kill().await?;
    service.stop().await;
    measured
}

fn ota(arguments: &[&str]) -> Result<(), Error> {
    let arguments = tool::Arguments::try_parse_from([&["ota"], arguments].concat())?;
    tokio::task::block_in_place(|| tool::run(arguments)).map_err(|failed| failed.to_string().into())
}

/// Listens on a free port; what passes to `target`, or back, arrives `delay` later.
async fn delayed(target: String, delay: Duration) -> Result<String, Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = listener.local_addr()?.to_string();
    tokio::spawn(async move {
        while let Ok((near, _)) = listener.accept().await {
            let Ok(far) = TcpStream::connect(&target).await else { return };
            if near.set_nodelay(true).and(far.set_nodelay(true)).is_err() {
                return;
            }
            let ((from_near, to_near), (from_far, to_far)) = (near.into_split(), far.into_split());
            tokio::spawn(forward(from_near, to_far, delay));
            tokio::spawn(forward(from_far, to_near, delay));
        }
    });
    Ok(endpoint)
}

/// Forwards each piece `delay` after it arrived, however many are on their way, until one end closes.
async fn forward(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, delay: Duration) {
    let (pieces, mut due) = mpsc::unbounded_channel::<(Instant, Vec<u8>)>();
    tokio::spawn(async move {
        while let Some((at, piece)) = due.recv().await {
            sleep_until(at).await;
            if to.write_all(&piece).await.is_err() {
                return;
            }
        }
    });
    let mut buffer = vec![0; 1 << 16];
    while let Ok(len @ 1..) = from.read(&mut buffer).await {
        if pieces.send((Instant::now() + delay, buffer[..len].to_vec())).is_err() {
            return;
        }
    }
}
