//! The life of a device whose pump, MQTT client and HTTP client are the real ones, on a virtual clock: a loop polls the pump and
//! advances the clock. Its connections fail in ways drawn from a seed, and later they do not.

mod broker;
mod line;
#[path = "../../tests/pump/server.rs"]
mod server;

use std::cell::RefCell;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use embassy_futures::poll_once;
use embassy_time::{Duration, MockDriver};
use minimq::{Buffers, ConfigBuilder};
use ota_agent::transport::Activity;
use ota_agent::transport::http::{AllowedHosts, HttpClient};
use ota_agent::transport::minimq::Minimq;
use ota_agent::{Agent, AgentConfig, Application, SelfTest, Start, pump};
use ota_jobs::Status;
use ota_pal::{RollbackCounters, SlotId};
use ota_tests::device::Device;
use ota_tests::job::{Kind, Order, Route, job};
use ota_tests::nor::{PlainView, View};
use ota_tests::rng::Rng;
use ota_tests::service::Service;
use ota_tests::setup::Setup;
use ota_tests::verifier::Signer;

use line::{Faults, Line, Network};
use server::Server;

/// How far the clock advances between two polls.
const STEP: Duration = Duration::from_millis(5);
/// How long connections fail.
const FAULTS_MS: u64 = 300_000;
/// Time within which the device is updated, faults included.
const LIFE_MS_MAX: u64 = 1_200_000;
/// Shorter than the faults, so that an outage is noticed in their midst.
const KEEP_ALIVE_S: u16 = 20;
const HOSTS: AllowedHosts<'_> = AllowedHosts { names: &["bucket.example"], plain: false };

/// What happened in a life.
#[derive(Debug)]
pub struct Life {
    /// Milliseconds until the service received the outcome.
    pub took_ms: u64,
    /// The outcome.
    pub status: Status,
    /// The slot that is confirmed in the end.
    pub confirmed: SlotId,
    /// Connections to the broker, and to the HTTP server.
    pub connections: [usize; 2],
    /// What happened to connections.
    pub faults: Faults,
}

struct App;

impl Application for App {
    fn self_test(&mut self, connected: bool) -> SelfTest {
        if connected { SelfTest::Passed } else { SelfTest::Running }
    }
}

/// The life of the device of `seed`. One at a time: there is one clock.
pub fn live(seed: u64) -> Life {
    MockDriver::get().reset();
    let mut rng = Rng::new(seed);
    let signer = Rc::new(Signer::new("ours", false));
    let config = AgentConfig::new("thing").expect("a plain name");
    let setup = Setup { config, slot_sectors: 16, ..Setup::new(seed) };
    let device = Device::new(&setup, signer.clone(), &mut rng);
    let order = Order {
        id: "job".into(),
        kind: Kind::Good,
        route: rng.pick(&[Route::Mqtt, Route::Http, Route::Both]),
        patch: 2,
        image_bytes: rng.between(20_000, 60_000) as u32 / 8 * 8,
        asks: RollbackCounters::default(),
        component: ota_pal::Component::App,
        by_next_key: false,
    };
    let job = job(&order, &signer, &mut rng);
    let mut service = Service::new("thing", rng.split());
    service.create(job.clone(), 0);
    let line = Rc::new(RefCell::new(Line::new(service, FAULTS_MS, rng.split())));
    let requests = Rc::default();
    let status = || line.borrow().broker.service.entries[0].status;
    while !status().is_terminal() {
        let boot = device.boot().expect("the power stays").expect("there is an image");
        let flash: PlainView = View(device.nor.clone());
        let (mut url, mut receive, mut send, mut body) = ([0; 2_048], [0; 5_120], [0; 2_048], [0; 4_096]);
        let session =
            ConfigBuilder::new(Buffers::new(&mut receive, &mut send)).client_id("thing").expect("it is short");
        let network = Network(line.clone());
        let mut broker = Minimq::new(session, KEEP_ALIVE_S, network, "broker.example", 8883);
        let cut_at = (pump::now().as_ms() < FAULTS_MS && rng.percent(50)).then(|| rng.below(20_000) as usize);
        let piece = rng.between(1, 3_000) as usize;
        let server = Server { file: job.file.clone(), piece, requests: Rc::clone(&requests), cut_at, record: None };
        let activity = Activity::default();
        let http = HttpClient::new(server, HOSTS, &mut body, &activity);
        let start = Start { seed: rng.next_u64(), now: pump::now() };
        let mut run = pin!(async {
            let agent = Agent::start(device.platform(flash, boot.slot, 0), App, device.config.clone(), &mut url, start);
            let mut agent = agent.await.expect("the device reads its own flash");
            pump::run_with_http(&mut agent, &mut broker, http).await;
        });
        while poll_once(run.as_mut()) == Poll::Pending && !status().is_terminal() {
            MockDriver::get().advance(STEP);
            line.borrow_mut().advance(pump::now().as_ms());
            assert!(pump::now().as_ms() < LIFE_MS_MAX, "seed {seed}: the device is not updated: {:?}", status());
        }
    }
    let line = line.borrow();
    let connections = [line.connections, requests.borrow().len()];
    let (status, confirmed) = (status_of(&line), device.record().confirmed);
    Life { took_ms: pump::now().as_ms(), status, confirmed, connections, faults: line.faults.clone() }
}

fn status_of(line: &Line) -> Status {
    line.broker.service.entries[0].status
}
