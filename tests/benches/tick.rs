//! An application that ticks every 10 ms beside an update of 4 MiB, on one executor of this machine: prints its longest gap,
//! with the flash as it is and with one that gives way after every operation.

#[path = "../tests/pump/broker.rs"]
#[allow(dead_code)] // the faults of its connection
mod broker;

use std::cell::RefCell;
use std::rc::Rc;

use embassy_futures::block_on;
use embassy_futures::select::select;
use embassy_time::{Duration, Instant as Clock, Ticker};
use ota_agent::{Agent, AgentConfig, Application, SelfTest, Start, pump};
use ota_pal::{Flash, Yielding};
use ota_tests::device::Device;
use ota_tests::fixtures::order;
use ota_tests::job::{Kind, Order, job};
use ota_tests::nor::{PlainView, View};
use ota_tests::rng::Rng;
use ota_tests::service::Service;
use ota_tests::setup::Setup;
use ota_tests::verifier::Signer;

use broker::Line;

const IMAGE_BYTES: u32 = 4 << 20;
const TICK: Duration = Duration::from_millis(10);

struct App;

impl Application for App {
    fn self_test(&mut self, _connected: bool) -> SelfTest {
        SelfTest::Running
    }
}

/// The last tick, and the longest time between two.
struct Gaps {
    last: Clock,
    longest: Duration,
}

impl Gaps {
    fn ticked(&mut self) {
        self.longest = self.longest.max(self.last.elapsed());
        self.last = Clock::now();
    }
}

async fn tick(gaps: &mut Gaps) {
    let mut ticker = Ticker::every(TICK);
    loop {
        ticker.next().await;
        gaps.ticked();
    }
}

/// Downloads, verifies and activates an image; returns the longest gap between two ticks, and the time of it all.
fn longest_gap<F: Flash>(give_way: impl Fn(PlainView) -> F) -> (Duration, Duration) {
    let (mut rng, signer) = (Rng::new(1), Rc::new(Signer::new("ours", true)));
    let config = AgentConfig::new("thing").expect("a plain name");
    let setup = Setup { config: config.clone(), slot_sectors: 5_000, ..Setup::new(1) };
    let device = Device::new(&setup, signer.clone(), &mut rng);
    let order = Order { image_bytes: IMAGE_BYTES, ..order("job", Kind::Good, 2) };
    let (job, mut service) = (job(&order, &signer, &mut rng), Service::new("thing", Rng::new(2)));
    service.create(job, 0);
    let boot = device.boot().expect("the power stays").expect("there is an image");
    let (mut line, mut url) = (Line::new(&Rc::new(RefCell::new(service))), [0; 2_048]);
    let (platform, begun) = (device.platform(give_way(View(device.nor.clone())), boot.slot, 0), Clock::now());
    let mut gaps = Gaps { last: begun, longest: Duration::from_ticks(0) };
    block_on(async {
        let agent = Agent::start(platform, App, config, &mut url, Start { seed: 1, now: pump::now() }).await;
        let mut agent = agent.expect("the device reads its own flash");
        select(pump::run(&mut agent, &mut line), tick(&mut gaps)).await;
        assert!(agent.is_reset(), "the image is activated");
    });
    gaps.ticked();
    (gaps.longest, begun.elapsed())
}

fn main() {
    println!("longest gap of a tick of {} ms during an update of 4 MiB", TICK.as_millis());
    for (name, (gap, all)) in [("blocking", longest_gap(|flash| flash)), ("Yielding", longest_gap(Yielding))] {
        println!("{name:>10} {:>8.1} ms, of {:>6.1} ms", gap.as_micros() as f64 / 1e3, all.as_micros() as f64 / 1e3);
    }
}
