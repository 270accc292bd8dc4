//! The world: one device, one service, the network between them and the time that passes, in one thread and from one
//! seed. How it runs is in `course`; what should never happen in it is judged in `checks`.

use std::collections::VecDeque;
use std::rc::Rc;

use ota_agent::Command;
use ota_agent::machine::Notice;
use ota_jobs::{Reason, Status};

use crate::checks::Checks;
use crate::device::{Device, receive_bytes};
use crate::dice::Dice;
use crate::job::{self, Job};
use crate::network::Network;
use crate::service::{Reply, Service};
pub use crate::setup::Setup;
use crate::verifier::Signer;
use crate::web::Web;

/// What is done to the device from outside its messages.
#[derive(Clone, Debug)]
pub enum Act {
    /// The MQTT connection breaks, and comes back after so long.
    Disconnect {
        /// Until it is back.
        ms: u64,
    },
    /// The device is reset.
    Reset,
    /// The application commands.
    Command(Command),
    /// The user wants the factory's image back, and nothing else; first its signature is verified.
    FactoryReset,
    /// The application starts an update of its own.
    UpdateNow(String),
    /// A message reaches the device that nobody sent.
    Inject(Reply),
}

/// Whether a run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It does.
    Go,
    /// Here it ends: the power is off until the next run.
    Stop,
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Nothing is left that could happen by itself.
    Quiet,
    /// The time is over.
    Late,
    /// The hook said so.
    Stopped,
}

/// The world.
pub struct World {
    /// The device.
    pub device: Device,
    /// The service.
    pub service: Service,
    /// The network.
    pub network: Network,
    /// The HTTP server.
    pub web: Web,
    /// What was seen, and what should not have been.
    pub checks: Checks,
    /// Milliseconds since the beginning.
    pub now_ms: u64,
    /// Steps since the beginning: a message, a block, a moment.
    pub steps: u64,
    /// Messages that arrived since the beginning, on either side.
    pub messages: u64,
    /// Boots since the beginning.
    pub boots: u32,
    /// When the hook wants to be asked even if nothing else happens.
    pub alarm_ms: Option<u64>,
    pub(crate) dice: Dice,
    pub(crate) acts: VecDeque<Act>,
    pub(crate) connected: bool,
    /// The HTTP body that is open.
    pub(crate) body: Option<u64>,
    pub(crate) bodies: u64,
}

impl World {
    /// A calm world in which nothing is to be done.
    pub fn new(setup: Setup) -> Self {
        let mut dice = Dice::new(setup.seed);
        let signer = Rc::new(Signer::new("ours", setup.real_signatures));
        let receive_bytes = receive_bytes(setup.config.block_bytes());
        let checks = Checks::new(&setup.config, setup.chip);
        let device = Device::new(&setup, signer, &mut dice);
        let mut world = Self {
            service: Service::new(&setup.thing, dice.split()),
            network: Network::new(receive_bytes, dice.split()),
            web: Web::default(),
            checks,
            now_ms: 0,
            steps: 0,
            messages: 0,
            boots: 0,
            alarm_ms: None,
            acts: VecDeque::new(),
            connected: false,
            body: None,
            bodies: 0,
            device,
            dice,
        };
        world.checks.factory(&world.device);
        world
    }

    /// Makes a job and queues it at the service.
    pub fn create(&mut self, order: &job::Order) {
        let job = self.job(order);
        self.queue(job);
    }

    /// Makes a job that nobody knows of yet.
    pub fn job(&mut self, order: &job::Order) -> Job {
        let job = job::job(order, &self.device.signer, &mut self.dice);
        self.checks.released(&job);
        job
    }

    /// Queues a job at the service.
    pub fn queue(&mut self, job: Job) {
        let replies = self.service.create(job, self.now_ms);
        self.send_down(&replies);
    }

    /// The service takes a job back.
    pub fn take_back(&mut self, id: &str, status: Status) {
        self.checks.taken_back(id, self.now_ms);
        let replies = self.service.take_back(id, status, self.now_ms);
        self.send_down(&replies);
    }

    /// Does something to the device at its next step.
    pub fn act(&mut self, act: Act) {
        self.acts.push_back(act);
    }

    /// Everything that the application heard, in order, since the beginning.
    pub fn notices(&self) -> &[Notice] {
        &self.checks.notices
    }

    /// Where a job stands, and the reason that the service was told.
    pub fn verdict(&self, id: &str) -> (Status, Option<Reason>) {
        let entry = self.service.entry(id).expect("the test made this job");
        let code = entry.detail("code").and_then(|text| u16::from_str_radix(text.strip_prefix("0x")?, 16).ok());
        (entry.status, code.and_then(Reason::from_code))
    }
}
