//! Validates the command-line arguments before anything is built, so that a typing error is reported at once.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use minimq::{Buffers, ConfigBuilder};
use ota_agent::transport::minimq::Minimq;
use ota_agent::transport::{Activity, Broker};
use ota_examples::connect::Network;
use ota_examples::device::layout;
use ota_pal::SlotId;
use ota_pal::image::header::BODY_OFFSET_DEFAULT_BYTES;
use tokio::net::TcpStream;

use crate::Error;

/// Timeout of the connection to a broker on this machine.
const BROKER_WAIT: Duration = Duration::from_secs(5);

/// Reads the file of `--image`. `program_bytes` is the length of the device program before it, as far as known.
///
/// Errors: the file is not readable or does not fit into the slot.
pub fn image(path: &Path, program_bytes: u64) -> Result<Vec<u8>, Error> {
    let refuse = |why: &dyn std::fmt::Display| format!("--image {}: {why}", path.display());
    let about = fs::metadata(path).map_err(|error| refuse(&error))?;
    if about.is_dir() {
        return Err(refuse(&"a folder, not a file").into());
    }
    if !about.is_file() {
        return Err(refuse(&"not a file").into());
    }
    fits(about.len(), program_bytes).map_err(|error| refuse(&error))?;
    fs::read(path).map_err(|error| refuse(&error).into())
}

/// Checks that a slot holds header, program and payload.
pub fn fits(payload_bytes: u64, program_bytes: u64) -> Result<(), Error> {
    let slot_bytes = u64::from(layout().slot(SlotId::A).len_bytes());
    let room_bytes = slot_bytes.saturating_sub(program_bytes + u64::from(BODY_OFFSET_DEFAULT_BYTES));
    if payload_bytes <= room_bytes {
        return Ok(());
    }
    let beside = format!("at most {room_bytes} fit into a slot of {slot_bytes} with the device program");
    Err(format!("{payload_bytes} bytes, {beside}").into())
}

/// Returns HOST:PORT of the URL of `--broker` after connecting to the MQTT 5 broker there.
pub async fn broker(url: &str) -> Result<String, Error> {
    let address = url.strip_prefix("mqtt://").map(|rest| rest.trim_end_matches('/'));
    let parts = address.and_then(|address| address.rsplit_once(':'));
    let host_port = parts.and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
    let Some((host, port)) = host_port.filter(|(host, _)| !host.is_empty() && !host.contains(['/', '@'])) else {
        return Err(format!("--broker {url}: the format is mqtt://HOST:PORT").into());
    };
    let silent = || format!("no response within {} s", BROKER_WAIT.as_secs()).into();
    let answer = tokio::time::timeout(BROKER_WAIT, answers(host, port)).await;
    answer.unwrap_or_else(|_| Err(silent())).map_err(|why| format!("no broker at {url}: {why}"))?;
    Ok(format!("{host}:{port}"))
}

/// Connects twice: the error of a refused TCP connection is clearer than the MQTT client's.
async fn answers(host: &str, port: u16) -> Result<(), Error> {
    TcpStream::connect((host, port)).await.map_err(|error| describe(&error))?;
    let (mut receive, mut send) = ([0; 512], [0; 512]);
    let session = ConfigBuilder::new(Buffers::new(&mut receive, &mut send)).client_id("ota-demo")?;
    let mut client = Minimq::new(session, 0, Network::plain(), host, port).without_tls();
    let activity = Activity::default();
    let connected = client.connect(&activity).await;
    connected.map(drop).map_err(|error| format!("the server does not accept an MQTT 5 connection: {error:?}").into())
}

/// Returns the error without the operating system's number.
fn describe(error: &io::Error) -> String {
    if error.raw_os_error().is_some() { error.kind().to_string() } else { error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    fn words<T: std::fmt::Debug>(refused: Result<T, Error>) -> String {
        refused.expect_err("this must be refused").to_string()
    }

    #[test]
    fn an_image_that_is_not_there_or_no_file_is_named() {
        assert!(words(image(Path::new("/nonexistent"), 0)).starts_with("--image /nonexistent: No such file"));
        assert_eq!(words(image(Path::new("/proc"), 0)), "--image /proc: a folder, not a file");
        assert_eq!(words(image(Path::new("/dev/zero"), 0)), "--image /dev/zero: not a file");
    }

    #[test]
    fn an_image_that_fits_no_slot_is_refused_with_the_limit() {
        let room_bytes = u64::from(layout().slot(SlotId::A).len_bytes()) - 512 - 1000;
        assert!(fits(room_bytes, 1000).is_ok());
        assert!(words(fits(room_bytes + 1, 1000)).contains(&format!("at most {room_bytes} fit")));
        assert!(words(fits(1, u64::from(u32::MAX))).contains("at most 0 fit"));
    }

    #[tokio::test]
    async fn a_broker_url_of_another_form_is_refused_without_a_connection() {
        for url in ["127.0.0.1:1883", "mqtt://127.0.0.1", "mqtt://:1883", "mqtts://a:1", "mqtt://a:x", "mqtt://u@a:1"] {
            assert_eq!(words(broker(url).await), format!("--broker {url}: the format is mqtt://HOST:PORT"));
        }
    }

    #[tokio::test]
    async fn a_broker_that_is_not_there_is_named_with_what_the_network_said() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("mqtt://{}", listener.local_addr().expect("it is bound"));
        drop(listener);
        assert_eq!(words(broker(&url).await), format!("no broker at {url}: connection refused"));
    }

    #[tokio::test]
    async fn what_closes_the_connection_is_no_broker() {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let url = format!("mqtt://{}", listener.local_addr().expect("it is bound"));
        let closing = async {
            loop {
                drop(listener.accept().await);
            }
        };
        let refused = tokio::select! {
            refused = broker(&url) => refused,
            () = closing => unreachable!("it never ends"),
        };
        assert!(words(refused).starts_with(&format!("no broker at {url}: the server does not accept")));
    }
}
