//! A job service with an emulated board behind a cable.

use std::error::Error as StdError;
use std::path::{Path, PathBuf};

use clap::Parser;
use minimq::{Buffers, ConfigBuilder};
use ota_agent::transport::minimq::Minimq;
use ota_agent::transport::{Activity, Broker, Mqtt, QoS};
use ota_cloud::api::{ExecutionRow, JobView};
use ota_cloud::model::Event;
use ota_cloud::serve::{Config, Service, TlsFiles};
use ota_cloud::tool;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::board::Board;
use crate::cable::Cable;
use crate::certificates::{Authority, ImageInfo};
use crate::flash::{Flash, HOST, Settings};
use crate::programs::{Programs, Release, text};
use ota_examples::connect::Network;
use ota_examples::device::Error;

/// Addresses of the service: for its operator, and for the board.
const NAMES: [&str; 2] = [LOOPBACK, HOST];
const LOOPBACK: &str = "127.0.0.1";
/// Name of the thing.
pub const THING: &str = "lamp";
/// Name of its operator, at the broker.
const OPERATOR: &str = "operator";

/// Service, cables and the flash of a board.
///
/// Its folder is removed when it is dropped.
pub struct World {
    /// The programs.
    pub programs: Programs,
    /// The flash of the board.
    pub flash: Flash,
    /// Carries MQTT.
    pub mqtt: Cable,
    /// Carries images over HTTP.
    pub http: Cable,
    authority: Authority,
    /// Certificates of the board and of its operator.
    board: ImageInfo,
    operator: ImageInfo,
    service: Service,
    folder: Folder,
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed is left to the system, which empties its folder of temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl World {
    /// Starts a service in a new folder, and manufactures a board with `first` in its factory slot.
    pub async fn start(name: &str, programs: Programs, first: &Release) -> Result<Self, Error> {
        let folder = Folder(std::env::temp_dir().join(format!("ota-{name}-{}", std::process::id())));
        std::fs::create_dir_all(&folder.0)?;
        let (authority, tls, board, operator) = certificates(&folder.0).map_err(|error| -> Error { error })?;
        let (mqtt, http) = (Cable::new().await?, Cable::new().await?);
        let public_http = Some(format!("https://{HOST}:{}", http.port()));
        let config = Config { public_http, tls: Some(tls), ..Config::local(&folder.0) };
        let service = Service::start(config).await?;
        mqtt.lead_to(port(&service.mqtt)?);
        http.lead_to(service.http.port());
        let (port, ca) = (mqtt.port(), &*authority.certificate);
        let settings = Settings { thing: THING, port, block_bytes: None, ca, identity: &board };
        let flash = Flash::manufacture(folder.0.join("flash.bin"), &programs, first, settings)?;
        Ok(Self { programs, flash, mqtt, http, authority, board, operator, service, folder })
    }

    /// Replaces the board by a new one.
    pub fn replace_board(&mut self, first: &Release) -> Result<(), Error> {
        self.replace_board_with(first, None)
    }

    /// Replaces the board by a new one that requests blocks of this many bytes, or of its default.
    pub fn replace_board_with(&mut self, first: &Release, block_bytes: Option<u32>) -> Result<(), Error> {
        let (port, ca) = (self.mqtt.port(), &*self.authority.certificate);
        let settings = Settings { thing: THING, port, block_bytes, ca, identity: &self.board };
        self.flash = Flash::manufacture(self.folder.0.join("flash.bin"), &self.programs, first, settings)?;
        Ok(())
    }

    /// Switches the board on.
    pub fn board(&self) -> Result<Board, Error> {
        Board::start(self.programs.machine(), &self.programs.selector(), self.flash.path())
    }

    /// The folder with its files.
    pub fn folder(&self) -> &Path {
        &self.folder.0
    }

    /// Creates a job that brings `release`.
    pub fn release(&self, job: &str, release: &Release, protocol: &str) -> Result<(), Error> {
        let images: Vec<PathBuf> = release.slots.iter().map(|slot| self.programs.image(release, slot)).collect();
        let images: Vec<&Path> = images.iter().map(PathBuf::as_path).collect();
        self.job(job, &images, protocol)
    }

    /// Creates a job with these images.
    pub fn job(&self, job: &str, images: &[&Path], protocol: &str) -> Result<(), Error> {
        let images: Vec<String> = images.iter().map(|image| text(image)).collect();
        let mut words = vec!["job", "create", "--id", job, "--thing", THING, "--protocol", protocol, "--image"];
        words.extend(images.iter().map(String::as_str));
        self.ota(&words)
    }

    /// Runs a command of `ota` at the service.
    pub fn ota(&self, words: &[&str]) -> Result<(), Error> {
        let (server, token) = (format!("https://{}", self.service.http), text(&self.folder.0.join("token")));
        let ca = text(&self.authority.certificate);
        let words = [&["ota", "--server", &server, "--token-file", &token, "--ca", &ca], words].concat();
        let arguments = tool::Arguments::try_parse_from(words)?;
        tokio::task::block_in_place(|| tool::run(arguments)).map_err(|failed| failed.to_string().into())
    }

    /// The execution of a job on the board.
    pub async fn execution(&self, job: &str) -> Result<ExecutionRow, Error> {
        let job: JobView = serde_json::from_str(&self.get(&format!("/api/jobs/{job}")).await?)?;
        job.executions.into_iter().next().ok_or_else(|| "the job has no execution".into())
    }

    /// How often an execution of the job reached `status`.
    pub async fn count(&self, job: &str, status: &str) -> Result<usize, Error> {
        let events: Vec<Event> = serde_json::from_str(&self.get(&format!("/api/events?job={job}")).await?)?;
        Ok(events.iter().filter(|event| event.kind == "execution" && event.text.contains(status)).count())
    }

    /// Publishes a command for the application of the board.
    pub async fn command(&self, payload: &str) -> Result<(), Error> {
        let (mut receive, mut send) = ([0; 512], [0; 512]);
        let session = ConfigBuilder::new(Buffers::new(&mut receive, &mut send)).client_id(OPERATOR)?;
        let mut broker = Minimq::new(session, 0, self.network()?, LOOPBACK, port(&self.service.mqtt)?);
        let (topic, activity) = (format!("commands/{THING}"), Activity::default());
        let mut connection = broker.connect(&activity).await.map_err(|error| format!("{error:?}"))?;
        let sent = Mqtt::publish(&mut connection, &topic, payload.as_bytes(), QoS::AtLeastOnce, false).await;
        sent.map_err(|error| format!("{error:?}"))?;
        Mqtt::close(&mut connection).await.map_err(|error| format!("{error:?}").into())
    }

    /// The network of the operator.
    fn network(&self) -> Result<Network, Error> {
        let identity = (&*self.operator.certificate, &*self.operator.key);
        Ok(Network::with_tls(&self.authority.certificate, Some(identity))?)
    }

    /// The body of a response of the service.
    async fn get(&self, path: &str) -> Result<String, Error> {
        let token = std::fs::read_to_string(self.folder.0.join("token"))?;
        let head = format!("GET {path} HTTP/1.0\r\nAuthorization: Bearer {}\r\n\r\n", token.trim());
        let activity = Activity::default();
        let stream = self.network()?.open(LOOPBACK, self.service.http.port(), true, &activity).await;
        let mut stream = stream.map_err(|error| format!("{error:?}"))?;
        stream.write_all(head.as_bytes()).await?;
        let mut response = String::new();
        stream.read_to_string(&mut response).await?;
        let (head, body) = response.split_once("\r\n\r\n").ok_or("a response without a head")?;
        if head.contains(" 200 ") { Ok(body.to_owned()) } else { Err(format!("{path}: {response}").into()) }
    }

    /// Ends the service.
    pub async fn stop(self) {
        self.service.stop().await;
    }
}

/// A CA, and certificates of the service, the board and its operator.
fn certificates(folder: &Path) -> Result<(Authority, TlsFiles, ImageInfo, ImageInfo), Box<dyn StdError + Send + Sync>> {
    let authority = Authority::new(folder)?;
    let ImageInfo { certificate: cert, key } = authority.server(folder, &NAMES)?;
    let tls = TlsFiles { cert, key, ca: authority.certificate.clone() };
    let (board, operator) = (authority.client(folder, THING)?, authority.client(folder, OPERATOR)?);
    Ok((authority, tls, board, operator))
}

fn port(address: &str) -> Result<u16, Error> {
    Ok(address.rsplit_once(':').ok_or("an address without a port")?.1.parse()?)
}
