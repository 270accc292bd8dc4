//! An image of which the application learns the address, the version and the digest over a topic of its own: no job, no
//! signature, plain HTTP if the device allows it. This is how Microchip's Harmony updates a device.

#[path = "pump/broker.rs"]
mod broker;
#[path = "pump/server.rs"]
mod server;

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::Poll;

use embassy_futures::block_on;
use embassy_futures::select::{Either3, select3};
use embassy_time::Timer;
use ota_agent::transport::http::{AllowedHosts, HttpClient};
use ota_agent::transport::{Activity, QoS};
use ota_agent::{
    Agent, AgentConfig, Application, Command, CommandRefused, Discovery, Notice, Outgoing, SelfTest, Shutdown, Start,
    Update, pump,
};
use ota_jobs::Reason;
use ota_pal::{Digest, RollbackCounters, SlotId, Version, VersionRule, poll_ready};
use ota_tests::device::Device;
use ota_tests::job::{Job, Kind, Order, Route, job};
use ota_tests::nor::{PlainView, View};
use ota_tests::rng::Rng;
use ota_tests::service::Service;
use ota_tests::setup::Setup;
use ota_tests::verifier::Signer;
use sha2::Digest as _;

use broker::Line;
use server::{Requests, Server};

const TOPIC: &str = "kitchen/update";
const URL: &str = "http://192.0.2.1:8000/image.bin";
const HOSTS: AllowedHosts<'_> = AllowedHosts { names: &["192.0.2.1"], plain: true };
const IMAGE_BYTES: u32 = 20_000;
/// How long a device is waited for, at most.
const PATIENCE_S: u64 = 60;

/// What arrived on the topic: address, length, version and digest.
struct Announced(String, u32, Version, Digest);

/// An application that updates the device to what is announced, and stops checking once an image is wrong.
struct App {
    log: Rc<Log>,
    /// What it publishes on its own topic, one by one: the broker sends it back.
    outbox: VecDeque<String>,
    sent: String,
    announced: Option<Announced>,
    commands: VecDeque<Command>,
}

/// What happened.
#[derive(Default)]
struct Log {
    notices: RefCell<Vec<Notice>>,
    refused: RefCell<Vec<(Command, CommandRefused)>>,
}

impl Application for App {
    fn self_test(&mut self, _connected: bool) -> SelfTest {
        SelfTest::Passed
    }

    fn filter(&self, index: usize) -> Option<&str> {
        (index == 0).then_some(TOPIC)
    }

    fn message(&mut self) -> Option<Outgoing<'_>> {
        if !self.sent.is_empty() {
            return None;
        }
        self.sent = self.outbox.pop_front()?;
        Some(Outgoing { topic: TOPIC, payload: self.sent.as_bytes(), qos: QoS::AtLeastOnce, retain: false })
    }

    fn on_message(&mut self, _topic: &str, payload: &[u8]) {
        let text = String::from_utf8_lossy(payload);
        let mut words = text.split(' ');
        let mut word = || words.next().expect("four words");
        let (url, image_bytes, version, digest) = (word(), word(), word(), word());
        let (image_bytes, version) = (image_bytes.parse().expect("a number"), version.parse().expect("a version"));
        self.announced = Some(Announced(url.into(), image_bytes, version, digest.parse().expect("a digest")));
        self.commands.push_back(Command::Update);
    }

    fn update(&mut self) -> Option<Update<'_>> {
        let Announced(url, image_bytes, version, digest) = self.announced.as_ref()?;
        Some(Update::Image { url, image_bytes: *image_bytes, version: *version, digest: *digest })
    }

    fn on_notice(&mut self, notice: Notice) {
        self.log.notices.borrow_mut().push(notice);
        match notice {
            Notice::VerifyFailed(_) => self.commands.push_back(Command::Discover(Discovery::OnDemand)),
            Notice::Settled => self.go_on(),
            _ => {}
        }
    }

    fn on_command(&mut self, command: Command, result: Result<(), CommandRefused>) {
        if let Err(refused) = result {
            self.log.refused.borrow_mut().push((command, refused));
            self.go_on();
        }
    }

    async fn command(&mut self) -> Command {
        match self.commands.pop_front() {
            Some(command) => command,
            None => pending().await,
        }
    }
}

impl App {
    /// Announces the next image, or ends the pump.
    fn go_on(&mut self) {
        self.sent.clear();
        self.commands.push_back(match self.outbox.is_empty() {
            true => Command::Shutdown(Shutdown { unsubscribe: false }),
            false => Command::Publish,
        });
    }
}

/// A device that accepts an image by its digest, and the image for it.
struct Bench {
    device: Device,
    job: Job,
    service: Rc<RefCell<Service>>,
    requests: Requests,
}

impl Bench {
    fn new(signer: Signer, patch: u32) -> Self {
        let (mut rng, signer) = (Rng::new(1), Rc::new(signer));
        let config = AgentConfig::new("thing").expect("a plain name");
        let setup = Setup { config, slot_sectors: 16, ..Setup::new(1) };
        let device = Device::new(&setup, signer.clone(), &mut rng);
        let order = Order {
            id: "image".into(),
            kind: Kind::Good,
            route: Route::Http,
            patch,
            image_bytes: IMAGE_BYTES,
            asks: RollbackCounters::default(),
            component: ota_pal::Component::App,
            by_next_key: false,
        };
        let job = job(&order, &signer, &mut rng);
        let service = Rc::new(RefCell::new(Service::new("thing", Rng::new(2))));
        Self { device, job, service, requests: Rc::default() }
    }

    /// What announces the image, with this version and the digest of `of`.
    fn announcement(&self, version: Version, of: &[u8]) -> String {
        let digest = Digest(sha2::Sha256::digest(of).into());
        format!("{URL} {} {version} {digest}", self.job.file.len())
    }

    fn good(&self, version: Version) -> String {
        self.announcement(version, &self.job.file)
    }

    /// Runs the program that the boot selector starts, until it resets the device or has nothing left to announce.
    fn run(&self, outbox: Vec<String>) -> (SlotId, Rc<Log>, bool) {
        let boot = self.device.boot().expect("the power stays").expect("there is an image");
        let flash: PlainView = View(self.device.nor.clone());
        let (start, mut url) = (Start { seed: 1, now: pump::now() }, [0; 128]);
        let log = Rc::<Log>::default();
        let (outbox, commands) = (outbox.into(), VecDeque::new());
        let app = App { log: log.clone(), outbox, sent: String::new(), announced: None, commands };
        let platform = self.device.platform(flash, boot.slot, 0);
        let agent = Agent::start(platform, app, self.device.config.clone(), &mut url, start);
        let mut agent = poll_ready(agent).expect("memory never waits").expect("the device reads its own flash");
        let (file, requests) = (self.job.file.clone(), self.requests.clone());
        let server = Server { file, piece: 1_000, requests, cut_at: None, record: None };
        let (mut line, activity, mut buffer) = (Line::new(&self.service), Activity::default(), [0; 4_096]);
        let http = HttpClient::new(server, HOSTS, &mut buffer, &activity);
        let driven = pump::run_with_http(&mut agent, &mut line, http);
        let over = poll_fn(|_| match log.notices.borrow().contains(&Notice::Settled) && boot.slot == SlotId::B {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        let ended = block_on(select3(driven, over, Timer::after_secs(PATIENCE_S)));
        assert!(!matches!(ended, Either3::Third(())), "the device waits for ever: {:?}", log.notices);
        (boot.slot, log, agent.is_reset())
    }

    fn confirmed(&self) -> SlotId {
        self.device.record().confirmed
    }
}

#[test]
fn an_image_is_downloaded_and_run_by_address_version_and_digest_alone() {
    let bench = Bench::new(Signer::Digest, 2);
    let (slot, log, reset) = bench.run(vec![bench.good(Version::new(1, 0, 2))]);
    assert_eq!((slot, reset, &log.refused.borrow()[..]), (SlotId::A, true, &[][..]));
    assert_eq!((bench.run(Vec::new()).0, bench.confirmed()), (SlotId::B, SlotId::B));
    let requests = bench.requests.borrow();
    let (host, port, tls, _) = &requests[0];
    assert_eq!((requests.len(), host.as_str(), *port, *tls), (1, "192.0.2.1", 8_000, false));
    assert!(bench.service.borrow().updates.is_empty(), "no job is touched");
}

#[test]
fn an_older_version_is_taken_only_by_a_device_that_takes_any() {
    for rule in [VersionRule::Newer, VersionRule::Any] {
        let mut bench = Bench::new(Signer::Digest, 0);
        bench.device.version_rule = rule;
        let (_, log, reset) = bench.run(vec![bench.good(Version::new(1, 0, 0))]);
        assert_eq!(reset, rule == VersionRule::Any);
        let refused = Notice::DownloadFailed { done_bytes: 4_096, reason: Reason::VersionNotNewer };
        assert_eq!(log.notices.borrow().contains(&refused), rule == VersionRule::Newer, "{:?}", log.notices);
    }
}

#[test]
fn after_a_wrong_digest_the_image_does_not_run_the_checks_end_and_another_one_is_taken() {
    let bench = Bench::new(Signer::Digest, 2);
    let version = Version::new(1, 0, 2);
    let bad = bench.announcement(version, b"another image");
    let (_, log, reset) = bench.run(vec![bad.clone(), bad]);
    assert!(!reset && bench.confirmed() == SlotId::A);
    let notices = log.notices.borrow();
    let failed = Notice::VerifyFailed(Reason::DigestMismatch);
    assert_eq!(notices.iter().filter(|notice| **notice == failed).count(), 2, "{notices:?}");
    let checks = notices.iter().filter(|notice| **notice == Notice::CheckStarted).count();
    assert_eq!(checks, 2, "at the connection, and after the first image: {notices:?}");
    assert!(bench.run(vec![bench.announcement(version, b"another image"), bench.good(version)]).2);
    assert_eq!((bench.run(Vec::new()).0, bench.confirmed()), (SlotId::B, SlotId::B));
}

#[test]
fn an_image_of_another_version_than_the_announced_one_is_refused() {
    let bench = Bench::new(Signer::Digest, 2);
    let (_, log, reset) = bench.run(vec![bench.good(Version::new(1, 0, 3))]);
    let refused = Notice::DownloadFailed { done_bytes: 4_096, reason: Reason::VersionMismatch };
    assert!(!reset && log.notices.borrow().contains(&refused), "{:?}", log.notices);
}

#[test]
fn a_device_that_demands_a_signature_requests_nothing_and_a_url_that_does_not_fit_is_refused() {
    let version = Version::new(1, 0, 2);
    for (signer, url, reason) in [
        (Signer::new("ours", true), URL, Reason::UnknownSignatureKind),
        (Signer::Nobody, URL, Reason::UnknownKey),
        (Signer::Digest, &*format!("{URL}{}", "x".repeat(128 - URL.len() + 1)), Reason::DocumentFieldTooLong),
    ] {
        let bench = Bench::new(signer, 2);
        let (_, log, reset) = bench.run(vec![bench.good(version).replace(URL, url)]);
        assert_eq!(*log.refused.borrow(), [(Command::Update, CommandRefused::Unsuitable(reason))]);
        assert!(!reset && bench.requests.borrow().is_empty());
    }
}
