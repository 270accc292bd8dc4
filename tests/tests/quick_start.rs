//! The agent by itself in five steps, as an application has it that owns its connection: no sim around it, only a service
//! at the other end of a function call.

use std::rc::Rc;

use ota_agent::machine::Event;
use ota_agent::{Agent, AgentConfig, Application, FILTERS_BYTES_MAX, Instant, MESSAGE_BYTES_MAX, SelfTest, Start};
use ota_jobs::Status;
use ota_pal::{Platform, RollbackCounters, SlotId, poll_ready};
use ota_tests::device::Device;
use ota_tests::job::{Kind, Order, Route, job};
use ota_tests::nor::{PlainView, View};
use ota_tests::rng::Rng;
use ota_tests::service::Service;
use ota_tests::sim::Setup;
use ota_tests::verifier::Signer;

/// What a user writes.
struct Pump;

impl Application for Pump {
    fn self_test(&mut self, connected: bool) -> SelfTest {
        if connected { SelfTest::Passed } else { SelfTest::Running }
    }
}

/// A blocking platform's futures never wait.
fn done<T>(future: impl Future<Output = T>) -> T {
    poll_ready(future).expect("memory never waits")
}

/// Carries messages in both directions until the agent has none left, or resets.
fn carry<P: Platform>(agent: &mut Agent<'_, P, Pump>, service: &mut Service, at: Instant) {
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    done(agent.work(at));
    while !agent.is_reset()
        && let Some(message) = agent.message(at, &mut buffer)
    {
        for reply in service.handle(message.topic, message.payload, at.as_ms()) {
            done(agent.on_message(&reply.topic, &reply.payload, at));
        }
        done(agent.work(at));
    }
}

#[test]
fn a_device_is_updated_in_five_steps() {
    let mut rng = Rng::new(1);
    let signer = Rc::new(Signer::new("ours", true));
    let config = AgentConfig::new("thing").expect("a plain name");
    let device =
        Device::new(&Setup { config: config.clone(), slot_sectors: 16, ..Setup::new(1) }, signer.clone(), &mut rng);

    // 1. Connect. Here the service is in this process; elsewhere it is behind a broker.
    let mut service = Service::new("thing", Rng::new(2));
    let order = Order {
        id: "job".into(),
        kind: Kind::Good,
        route: Route::Mqtt,
        patch: 2,
        image_bytes: 50_000,
        asks: RollbackCounters::default(),
        component: ota_pal::Component::App,
        by_next_key: false,
    };
    service.create(job(&order, &signer, &mut rng), 0);

    let mut running = Vec::new();
    for at_ms in [0, 10_000] {
        let at = Instant::from_ms(at_ms);
        let boot = device.boot().expect("the power stays").expect("there is an image");
        running.push((boot.slot, boot.header.version.patch));

        // 2. Make the agent: your platform, your application, your thing's name, a buffer for URLs: none without HTTP.
        let flash: PlainView = View(device.nor.clone());
        let (start, mut url) = (Start { seed: at_ms, now: at }, []);
        let start = Agent::start(device.platform(flash, boot.slot, 0), Pump, config.clone(), &mut url, start);
        let mut agent = done(start).expect("the device reads its own flash");

        // 3. Subscribe to its topics, then signal that the connection is up.
        assert_eq!(agent.filters(&mut [0; FILTERS_BYTES_MAX])[0], "$aws/things/thing/jobs/notify");
        done(agent.on(Event::Connected, at));

        // 4. Carry messages; the application is called meanwhile.
        carry(&mut agent, &mut service, at);

        // 5. It activates the image and resets; the new one tests itself and reports the result.
    }
    assert_eq!(running, [(SlotId::A, 1), (SlotId::B, 2)]);
    assert_eq!(service.entries[0].status, Status::Succeeded);
    assert_eq!(device.record().confirmed, SlotId::B);
}
