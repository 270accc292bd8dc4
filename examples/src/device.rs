//! The Linux device: the agent over TCP or TLS, with its slots in a flash file. The program `device` consists of this module
//! and a version; every slot of the flash holds one such program.

use std::fs;
use std::path::PathBuf;

use clap::Parser;
use minimq::{Buffers, ConfigBuilder};
use ota_agent::blocking::prelude::*;
use ota_agent::{Direction, Progress};
use ota_pal::blocking::{ImageManagement, Native, OwnSelector};
use ota_pal::{
    Component, FileFlash, Geometry, HardwareId, Key, KeySet, Layout, NoWatchdog, Reset, SlotId, VersionRule,
};

use crate::availability::Availability;
use crate::connect::Network;
use crate::lines::{Kind, now_ms, print};

/// Hardware id of its images.
pub const HARDWARE: &str = "demo-linux";
/// Size of the flash file: two slots of almost 24 MiB, and two sectors for each kind of record. A debug build of the device
/// has 17 MB.
pub const FLASH_BYTES: u32 = 48 * 1024 * 1024;
/// Word size and sector size of the flash file.
pub type Flash = FileFlash<4, 4096>;

/// Exit status that requests a restart through the boot selector.
pub const EXIT_RESET: i32 = 75;

const BLOCK_BYTES: usize = 4096;
/// One block and the overhead of MQTT and CBOR.
const RECEIVE_BYTES: usize = BLOCK_BYTES + 512;
const SEND_BYTES: usize = 2048;
/// The longest URL.
const URL_BYTES: usize = 2048;
const KEEP_ALIVE_S: u16 = 30;
/// When the application is asked again about a step that a hold postponed.
const ASK_AGAIN_MS: u32 = 10_000;

/// Options of the device program. The boot selector adds `--slot`
///
/// Prints a line for each event: milliseconds since 1970, kind, topic and text, separated by tabs. The text of `progress` is the
/// bytes in flash, the bytes of the image, bytes per second, and the milliseconds left, `?` while unknown.
#[derive(Clone, Debug, Parser)]
pub struct Options {
    /// Address of the broker, HOST:PORT
    #[arg(long)]
    pub endpoint: String,
    /// Thing name; also the MQTT client id unless --client-id is given
    #[arg(long)]
    pub thing: String,
    /// MQTT client id
    #[arg(long)]
    pub client_id: Option<String>,
    /// CA certificate of broker and image server (PEM). Without it TLS is disabled
    #[arg(long)]
    pub ca: Option<PathBuf>,
    /// Certificate of the device (PEM)
    #[arg(long, requires = "key")]
    pub cert: Option<PathBuf>,
    /// Private key of the device (PEM)
    #[arg(long, requires = "cert")]
    pub key: Option<PathBuf>,
    /// Public key that verifies images (PEM); may be repeated
    #[arg(long, required = true)]
    pub update_key: Vec<PathBuf>,
    /// Host that images may be downloaded from over HTTP; ".example.com" includes all subdomains. May be repeated
    #[arg(long)]
    pub allow_host: Vec<String>,
    /// Download over HTTP if a job offers both protocols
    #[arg(long)]
    pub prefer_http: bool,
    /// Flash file
    #[arg(long)]
    pub flash: PathBuf,
    /// Slot that this program was booted from; set by the boot selector
    #[arg(long, default_value = "a", value_parser = parse_slot)]
    pub slot: SlotId,
    /// Hold updates while this file exists; its first line is reported as the reason
    #[arg(long)]
    pub hold: Option<PathBuf>,
    /// Exit when standard input ends
    #[arg(long)]
    pub leave_with_parent: bool,
}

/// Error that prevents the start, as a message for the user.
pub type Error = Box<dyn std::error::Error>;

/// Returns the layout of the flash file.
pub fn layout() -> Layout {
    let geometry = Geometry { word_bytes: 4, erase_bytes: 4096, capacity_bytes: FLASH_BYTES };
    Layout::split(geometry).expect("48 MiB hold two slots and six sectors")
}

/// Parses "a" or "b".
pub fn parse_slot(text: &str) -> Result<SlotId, String> {
    match text {
        "a" => Ok(SlotId::A),
        "b" => Ok(SlotId::B),
        _ => Err(format!("{text:?} is not a slot: a or b")),
    }
}

/// Splits `HOST:PORT`, where the host may be an IPv6 address in brackets.
fn host_and_port(endpoint: &str) -> Result<(&str, u16), String> {
    let (host, port) = endpoint.rsplit_once(':').ok_or("the format of --endpoint is HOST:PORT")?;
    let address = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    if address.is_none() && host.contains(':') {
        return Err(format!("--endpoint: an IPv6 address is written in brackets, as [{host}]:{port}"));
    }
    Ok((address.unwrap_or(host), port.parse().map_err(|_| "--endpoint ends with a port number")?))
}

/// Runs the device until it resets, which exits the process with [`EXIT_RESET`].
///
/// Errors: an invalid option.
pub async fn run(options: Options, application: impl Application) -> Result<(), Error> {
    let (host, port) = host_and_port(&options.endpoint)?;
    let identity = options.cert.as_deref().zip(options.key.as_deref());
    let network = match &options.ca {
        Some(ca) => Network::with_tls(ca, identity)?,
        None => Network::plain(),
    };
    let tls = options.ca.is_some();

    let mut url = [0; URL_BYTES];
    let mut agent = start(&options, application, &mut url)?;
    let (mut receive, mut send, mut block) = ([0; RECEIVE_BYTES], [0; SEND_BYTES], [0; BLOCK_BYTES]);
    let activity = Activity::default();
    let client_id = options.client_id.as_deref().unwrap_or(&options.thing);
    let session = ConfigBuilder::new(Buffers::new(&mut receive, &mut send))
        .client_id(client_id)
        .map_err(|error| format!("--client-id: {error}"))?;
    let mut broker = Minimq::new(session, KEEP_ALIVE_S, network.clone(), host, port);
    if !tls {
        broker = broker.without_tls();
    }
    let names: Vec<&str> = options.allow_host.iter().map(String::as_str).collect();
    let hosts = AllowedHosts { names: &names, plain: !tls };
    let http = HttpClient::new(network, hosts, &mut block, &activity);
    pump::run_with_http(&mut agent, &mut broker, http).await;
    Ok(())
}

fn start<'b, A: Application>(
    options: &Options,
    application: A,
    url: &'b mut [u8],
) -> Result<Agent<'b, impl ImageManagement + use<A>, A>, Error> {
    let platform = ota_pal::DeviceConfig {
        layout: layout(),
        hardware: HardwareId::new(HARDWARE)?,
        component: Component::App,
        version_rule: VersionRule::Newer,
        security_counter_min: 0,
        key_epoch: 0,
        system_version: ota_pal::Version::default(),
        trial_attempts: ota_pal::TRIAL_ATTEMPTS_DEFAULT,
    };
    let flash = Flash::open(&options.flash, FLASH_BYTES)?;
    let selector = OwnSelector::new(&platform.layout, options.slot);
    let platform = Native::from_parts(flash, keys(&options.update_key)?, Exit, NoWatchdog, platform, selector)?;
    let mut config = AgentConfig::new(&options.thing).map_err(|error| format!("--thing: {error:?}"))?;
    config.prefer_http = options.prefer_http;
    let start = Start { seed: now_ms(), now: pump::now() };
    let agent = Agent::start(platform, application, config, url, start);
    agent.map_err(|error| format!("the flash cannot be used: {error:?}").into())
}

/// Reads public keys from PEM files; a key's name is its file's name.
fn keys(paths: &[PathBuf]) -> Result<KeySet<4>, Error> {
    use rustls::pki_types::SubjectPublicKeyInfoDer;
    use rustls::pki_types::pem::PemObject;
    let mut keys = KeySet::new();
    for path in paths {
        let name = path.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
        let pem = fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        let der =
            SubjectPublicKeyInfoDer::from_pem_slice(&pem).map_err(|error| format!("{}: {error}", path.display()))?;
        keys.add(Key::new(name, &der)?)?;
    }
    Ok(keys)
}

/// Resets by exiting the process; the boot selector, its parent, starts again.
struct Exit;

impl Reset for Exit {
    fn reset(&mut self) {
        std::process::exit(EXIT_RESET);
    }
}

/// An application that prints all events and reports its availability; the verdict of its self-test is a setting of the build.
pub struct Printing {
    /// Version of the build.
    pub version: &'static str,
    /// Verdict of the self-test.
    pub verdict: SelfTest,
    availability: Availability,
    printed_percent: Option<u64>,
}

impl Printing {
    /// Creates the application of `version`, whose self-test ends with `verdict`.
    pub fn new(options: &Options, version: &'static str, verdict: SelfTest) -> Self {
        let availability = Availability::new(&options.thing, HARDWARE, version, options.hold.clone());
        Self { version, verdict, availability, printed_percent: None }
    }
}

impl Application for Printing {
    fn self_test(&mut self, connected: bool) -> SelfTest {
        // A connection is required: without one the device could not be updated again.
        if connected { self.verdict } else { SelfTest::Running }
    }

    fn consent(&mut self, _step: Step, forced: bool) -> Consent {
        match self.availability.is_held() && !forced {
            true => Consent::Later { ms: ASK_AGAIN_MS, why: WhyLater::Held },
            false => Consent::Now,
        }
    }

    async fn command(&mut self) -> Command {
        self.availability.changed().await
    }

    fn message(&mut self) -> Option<Outgoing<'_>> {
        self.availability.message()
    }

    fn on_notice(&mut self, notice: Notice) {
        print(Kind::Notice, "", &format!("{notice:?}"));
    }

    fn on_progress(&mut self, progress: Progress) {
        let percent = u64::from(progress.done_bytes) * 100 / u64::from(progress.total_bytes);
        if self.printed_percent.replace(percent) != Some(percent) {
            let Progress { done_bytes, total_bytes, rate_bytes_per_s, left_ms, .. } = progress;
            let left = left_ms.map_or_else(|| "?".into(), |left| left.to_string());
            print(Kind::Progress, "", &format!("{done_bytes} {total_bytes} {rate_bytes_per_s} {left}"));
        }
    }

    fn on_disconnected(&mut self, why: &dyn std::fmt::Debug) {
        self.availability.disconnected();
        print(Kind::Notice, "", &format!("disconnected: {why:?}"));
    }

    fn on_traffic(&mut self, direction: Direction, topic: &str, payload: &[u8]) {
        if topic.contains("/streams/") {
            return; // a line per block would hide all others
        }
        let kind = match direction {
            Direction::Out => Kind::Out,
            Direction::In => Kind::In,
        };
        print(kind, topic, &String::from_utf8_lossy(payload));
    }

    fn on_custom_job(&mut self, job: &ota_jobs::JobId, _document: &[u8]) {
        print(Kind::Notice, "", &format!("job {job} is not an update: ignored"));
    }
}

#[cfg(test)]
mod tests {
    use super::host_and_port;

    #[test]
    fn an_endpoint_is_a_name_or_an_address_and_a_port() {
        assert_eq!(host_and_port("broker.example.com:8883"), Ok(("broker.example.com", 8883)));
        assert_eq!(host_and_port("127.0.0.1:1883"), Ok(("127.0.0.1", 1883)));
        assert_eq!(host_and_port("[::1]:1883"), Ok(("::1", 1883)));
        for bad in ["broker", "broker:", "broker:mqtt", "broker:70000", "::1:1883"] {
            assert!(host_and_port(bad).is_err(), "{bad}");
        }
    }
}
