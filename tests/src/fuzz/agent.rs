//! The agent in any state: jobs, answers of the service as they are and damaged, unsolicited messages, blocks, commands,
//! time, lost connections and resets. The flash panics on a word that is written twice; after any input, the device boots.

use std::rc::Rc;

use ota_agent::machine::Event;
use ota_agent::{Command, Discovery, Instant, MESSAGE_BYTES_MAX, Update};
use ota_jobs::{Reason, Status};
use ota_pal::{RollbackCounters, Version, poll_ready};

use super::input::Input;
use crate::device::{App, Device, URL_BYTES};
use crate::job::{Kind, Order, Route, job};
use crate::nor::{PlainView, View};
use crate::rng::Rng;
use crate::service::{Reply, Service};
use crate::setup::Setup;
use crate::verifier::Signer;

/// Maximum resets and steps of one input: more only take time.
const BOOTS_MAX: u32 = 12;
const STEPS_MAX: u32 = 200;
/// Maximum messages of one step.
const MESSAGES_MAX: u32 = 40;
/// Topics of unsolicited messages.
const TOPICS: [&str; 10] = [
    "$aws/things/thing/jobs/notify",
    "$aws/things/thing/jobs/notify-next",
    "$aws/things/thing/jobs/$next/get/accepted",
    "$aws/things/thing/jobs/$next/get/rejected",
    "$aws/things/thing/jobs/job-0/get/accepted",
    "$aws/things/thing/jobs/job-0/update/accepted",
    "$aws/things/thing/jobs/job-0/update/rejected",
    "$aws/things/thing/streams/stream-job-0/data/cbor",
    "$aws/things/thing/streams/stream-job-0/rejected/cbor",
    "$aws/things/other/jobs/notify-next",
];

type Agent<'b> = ota_agent::Agent<'b, crate::device::Board<PlainView>, App>;

/// The environment of the device.
struct Around {
    service: Service,
    signer: Rc<Signer>,
    rng: Rng,
    now_ms: u64,
    jobs: u32,
    /// Messages of the service that the device has not received.
    replies: Vec<Reply>,
    steps: u32,
}

pub fn agent(bytes: &[u8]) {
    let mut input = Input(bytes);
    let mut rng = Rng::new(input.byte().into());
    let signer = Rc::new(Signer::new("ours", false));
    let setup = Setup { slot_sectors: 4, ..Setup::new(1) };
    let device = Device::new(&setup, signer.clone(), &mut rng);
    let service = Service::new("thing", rng.split());
    let mut around = Around { service, signer, rng, now_ms: 0, jobs: 0, replies: Vec::new(), steps: 0 };
    for _ in 0..BOOTS_MAX {
        run_boot(&device, &mut around, &mut input);
        if input.is_empty() || around.steps > STEPS_MAX {
            break;
        }
    }
    device.boot().expect("the power stays").expect("the device boots after any input");
}

/// From a boot to a reset, or to the end of the input.
fn run_boot(device: &Device, around: &mut Around, input: &mut Input<'_>) {
    let boot = device.boot().expect("the power stays").expect("the device boots after any input");
    let mut url = [0; URL_BYTES];
    let flash: PlainView = View(device.nor.clone());
    let started = device.start(flash, &boot, &mut url, 7, Instant::from_ms(around.now_ms)).expect("the power stays");
    let mut agent = started.expect("the device reads its own flash");
    done(agent.on(Event::Connected, around.at()));
    while !agent.is_reset() && !input.is_empty() && around.steps <= STEPS_MAX {
        around.steps += 1;
        if step(&mut agent, around, input) {
            return;
        }
        done(agent.work(around.at()));
    }
}

/// Performs one event; returns whether it is a reset.
fn step(agent: &mut Agent<'_>, around: &mut Around, input: &mut Input<'_>) -> bool {
    let at = around.at();
    match input.byte() % 16 {
        0 => around.order(input),
        1..=3 => around.carry(agent),
        4 => around.now_ms += u64::from(input.u16()),
        5 => around.now_ms += 1_000 * u64::from(input.u16()),
        6 => {
            done(agent.on(Event::Disconnected, at));
            around.replies.clear();
            done(agent.on(Event::Connected, at));
        }
        7 => {
            let topic = TOPICS[usize::from(input.byte()) % TOPICS.len()];
            done(agent.on_message(topic, input.piece(), at));
        }
        8 => {
            let topic = String::from_utf8_lossy(input.piece());
            done(agent.on_message(&topic, input.piece(), at));
        }
        9 => around.damage(agent, input),
        10 => {
            let (index, len) = (input.byte(), input.u16());
            done(agent.on_block(index.into(), &vec![input.byte(); usize::from(len) % 2_048], at));
        }
        11 => {
            let id = format!("job-{}", u32::from(input.byte()) % around.jobs.max(1));
            let status = if input.byte() < 128 { Status::Canceled } else { Status::TimedOut };
            if around.service.entry(&id).is_some() {
                let replies = around.service.take_back(&id, status, around.now_ms);
                around.replies.extend(replies);
            }
        }
        12 => {
            let command = match input.byte() % 14 {
                0 => Command::Abort,
                1 => Command::RollBack,
                2 => Command::FactoryReset,
                3 => Command::Check,
                4 => Command::Download,
                5 => Command::Activate,
                6 => Command::Suspend,
                7 => Command::Resume,
                8 => Command::Accept,
                9 => Command::Reject,
                10 => Command::Statistics,
                11 => Command::Discover(Discovery::OnDemand),
                12 => Command::Discover(Discovery::Notified),
                _ => Command::EraseImages(Version::new(1, 0, input.byte().into())),
            };
            _ = done(agent.execute(command, at));
        }
        13 => done(agent.on(Event::FetchFailed(reason(input.byte())), at)),
        14 => {
            let _ = done(agent.update_now(Update::Document(input.piece()), at));
        }
        _ => return true,
    }
    false
}

fn reason(byte: u8) -> Reason {
    [Reason::HttpForbidden, Reason::HttpNotFound, Reason::HttpUnreachable, Reason::HttpBodyTooShort]
        [usize::from(byte % 4)]
}

impl Around {
    fn at(&self) -> Instant {
        Instant::from_ms(self.now_ms)
    }

    fn order(&mut self, input: &mut Input<'_>) {
        let kind = Kind::ALL[usize::from(input.byte()) % Kind::ALL.len()];
        let route = [Route::Mqtt, Route::Http, Route::Both][usize::from(input.byte() % 3)];
        let order = Order {
            id: format!("job-{}", self.jobs),
            kind,
            route,
            patch: 2 + u32::from(input.byte() % 4),
            image_bytes: 5_000 + u32::from(input.u16() % 9_000),
            asks: RollbackCounters::default(),
            component: ota_pal::Component::App,
            by_next_key: false,
        };
        self.jobs += 1;
        let job = job(&order, &self.signer, &mut self.rng);
        let replies = self.service.create(job, self.now_ms);
        self.replies.extend(replies);
    }

    /// Delivers messages in both directions until none is left.
    fn carry(&mut self, agent: &mut Agent<'_>) {
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        for _ in 0..MESSAGES_MAX {
            for reply in std::mem::take(&mut self.replies) {
                done(agent.on_message(&reply.topic, &reply.payload, self.at()));
                done(agent.work(self.at()));
            }
            if agent.is_reset() {
                return;
            }
            let Some(message) = agent.message(self.at(), &mut buffer) else { return };
            self.replies = self.service.handle(message.topic, message.payload, self.now_ms);
        }
    }

    /// The next answer of the service arrives with one byte changed, or cut short.
    fn damage(&mut self, agent: &mut Agent<'_>, input: &mut Input<'_>) {
        let mut buffer = [0; MESSAGE_BYTES_MAX];
        if self.replies.is_empty()
            && let Some(message) = agent.message(self.at(), &mut buffer)
        {
            self.replies = self.service.handle(message.topic, message.payload, self.now_ms);
        }
        let Some(mut reply) = self.replies.pop() else { return };
        let (at, byte) = (usize::from(input.u16()), input.byte());
        match reply.payload.len() {
            0 => {}
            len if byte == 0 => reply.payload.truncate(at % len),
            len => reply.payload[at % len] ^= byte,
        }
        done(agent.on_message(&reply.topic, &reply.payload, self.at()));
    }
}

fn done<T>(future: impl Future<Output = T>) -> T {
    poll_ready(future).expect("memory never waits")
}
