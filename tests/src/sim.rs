//! The simulation: one device, one service, the network between them and virtual time, in one thread and from one seed. The
//! run loop is in `run_loop`; invariants are checked in `checks`.

use std::collections::VecDeque;
use std::rc::Rc;

use ota_agent::Command;
use ota_agent::machine::Notice;
use ota_jobs::{Reason, Status};
use ota_pal::Link;

use crate::checks::Checks;
use crate::device::{Device, receive_bytes};
use crate::device_clock::DeviceClock;
use crate::job::{self, Job};
use crate::network::Network;
use crate::rng::Rng;
use crate::service::{Reply, Service};
pub use crate::setup::Setup;
use crate::traffic::Traffic;
use crate::verifier::Signer;
use crate::web::Web;

/// An action on the device other than a message of the service.
#[derive(Clone, Debug)]
pub enum Act {
    /// The MQTT connection is lost and comes back after a time.
    Disconnect {
        /// Milliseconds without a connection.
        ms: u64,
    },
    /// The connection is lost, and neither side notices.
    HalfOpen {
        /// Milliseconds until the device notices.
        noticed_ms: u64,
        /// Milliseconds from then on without a connection.
        ms: u64,
    },
    /// The device's clock jumps forward.
    ClockJump {
        /// Milliseconds.
        ms: u64,
    },
    /// The device is reset.
    Reset,
    /// The application executes a command.
    Command(Command),
    /// A factory reset, after the signature of the factory image was verified.
    FactoryReset,
    /// The application starts an update of its own.
    UpdateNow(String),
    /// An unsolicited message reaches the device.
    Inject(Reply),
}

/// Whether a run continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It continues.
    Go,
    /// It ends; the power is off until the next run.
    Stop,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// No event is left.
    Quiet,
    /// The time limit was reached.
    Late,
    /// The hook returned [`Flow::Stop`].
    Stopped,
}

/// The simulation.
pub struct Simulation {
    /// The device.
    pub device: Device,
    /// The service.
    pub service: Service,
    /// The network.
    pub network: Network,
    /// The HTTP server.
    pub web: Web,
    /// Every n-th block takes so many milliseconds to write, during which the device receives nothing: (n, milliseconds).
    pub slow_write: Option<(u32, u64)>,
    /// Requests and blocks that were counted.
    pub traffic: Traffic,
    /// Observations and violated invariants.
    pub checks: Checks,
    /// Milliseconds since the beginning.
    pub now_ms: u64,
    /// Steps since the beginning, each an event or an action.
    pub steps: u64,
    /// Messages that arrived since the beginning, on either side.
    pub messages: u64,
    /// Boots since the beginning.
    pub boots: u32,
    /// Time at which the hook is called even without an event.
    pub alarm_ms: Option<u64>,
    pub(crate) clock: DeviceClock,
    pub(crate) rng: Rng,
    pub(crate) acts: VecDeque<Act>,
    pub(crate) connected: bool,
    /// The HTTP body that is open.
    pub(crate) body: Option<u64>,
    /// HTTP bodies that were requested since the beginning.
    pub bodies: u64,
}

impl Simulation {
    /// A simulation without jobs or faults.
    pub fn new(setup: Setup) -> Self {
        let mut rng = Rng::new(setup.seed);
        let signer = Rc::new(Signer::new("ours", setup.real_signatures));
        let receive_bytes = receive_bytes(setup.config.block_bytes());
        let checks = Checks::new(&setup.config, setup.chip);
        let device = Device::new(&setup, signer, &mut rng);
        let mut sim = Self {
            service: Service::new(&setup.thing, rng.split()),
            network: Network::new(receive_bytes, rng.split()),
            web: Web::default(),
            slow_write: None,
            traffic: Traffic::default(),
            checks,
            now_ms: 0,
            steps: 0,
            messages: 0,
            boots: 0,
            alarm_ms: None,
            clock: DeviceClock::default(),
            acts: VecDeque::new(),
            connected: false,
            body: None,
            bodies: 0,
            device,
            rng,
        };
        sim.checks.factory(&sim.device);
        sim
    }

    /// Creates a job and queues it at the service.
    pub fn create(&mut self, order: &job::Order) {
        let job = self.job(order);
        self.queue(job);
    }

    /// Creates a job without queueing it.
    pub fn job(&mut self, order: &job::Order) -> Job {
        let job = job::job(order, &self.device.signer, &mut self.rng);
        self.checks.released(&job);
        job
    }

    /// Creates a job with a file of each of these types and links, and queues it at the service.
    pub fn create_release(&mut self, order: &job::Order, files: &[(u32, Link)]) -> Job {
        let job = job::release(order, files, &self.device.signer, &mut self.rng);
        self.checks.released(&job);
        self.queue(job.clone());
        job
    }

    /// Queues a job at the service.
    pub fn queue(&mut self, job: Job) {
        let replies = self.service.create(job, self.now_ms);
        self.send_down(&replies);
    }

    /// Cancels or removes a job at the service.
    pub fn take_back(&mut self, id: &str, status: Status) {
        self.checks.taken_back(id, self.now_ms);
        let replies = self.service.take_back(id, status, self.now_ms);
        self.send_down(&replies);
    }

    /// Retries a job at the service: an execution that is open times out, and another one is queued.
    pub fn retry(&mut self, id: &str) {
        self.checks.retried(id);
        let job = self.service.entry(id).expect("the test made this job").job.clone();
        let replies = self.service.take_back(id, Status::TimedOut, self.now_ms);
        self.send_down(&replies);
        self.queue(job);
    }

    /// Deletes a job at the service and creates it again under its id.
    pub fn create_again(&mut self, id: &str) {
        self.checks.retried(id);
        let replies = self.service.create_again(id, self.now_ms);
        self.checks.created_again(self.service.entry(id).expect("it is there again"));
        self.send_down(&replies);
    }

    /// Performs an action on the device at its next step.
    pub fn act(&mut self, act: Act) {
        self.acts.push_back(act);
    }

    /// All notices of the application, in order, since the beginning.
    pub fn notices(&self) -> &[Notice] {
        &self.checks.notices
    }

    /// The status of a job, and the reason that was reported for it.
    pub fn verdict(&self, id: &str) -> (Status, Option<Reason>) {
        let entry = self.service.entry(id).expect("the test made this job");
        let code = entry.detail("code").and_then(|text| u16::from_str_radix(text.strip_prefix("0x")?, 16).ok());
        (entry.status, code.and_then(Reason::from_code))
    }
}
