//! What the agent does before there is a connection: nothing that leaves the device.

use embassy_futures::select::select;
use embassy_futures::yield_now;

use super::*;

/// More turns of the pump than it needs for anything that it does at once.
const TURNS: u32 = 1_000;
const HOUR_MS: u64 = 3_600_000;

/// An application that adds its notices to what the broker notes.
struct Tracing(Rc<RefCell<Vec<String>>>);

impl Application for Tracing {
    fn self_test(&mut self, _connected: bool) -> SelfTest {
        SelfTest::Passed
    }

    fn on_notice(&mut self, notice: Notice) {
        self.0.borrow_mut().push(format!("{notice:?}"));
    }
}

#[test]
fn the_first_check_follows_the_network_the_connection_and_the_subscription() {
    let bench = Bench::new(Route::Mqtt);
    let mut line = Line { refusals: 1, network: Rc::default(), ..Line::new(&bench.service) };
    let (network, trace) = (line.network.clone(), line.trace.clone());
    bench.run_application(Tracing(trace.clone()), async |agent| {
        let raise_network = async {
            for _ in 0..TURNS {
                yield_now().await;
            }
            assert_eq!(*trace.borrow(), ["connecting"]);
            network.set(true);
            pending::<()>().await
        };
        select(pump::run(agent, &mut line), raise_network).await;
    });
    let first = ["connecting", "refused", "connecting", "connected", "subscribed"];
    let check = ["CheckStarted", "sent $aws/things/thing/jobs/$next/get"];
    assert_eq!(trace.borrow()[..first.len() + check.len()], [&first[..], &check].concat());
}

#[test]
fn without_a_connection_nothing_is_to_be_sent_for_a_day_whatever_is_commanded() {
    let bench = Bench::new(Route::Mqtt);
    let (mut url, mut buffer) = ([0; 2_048], [0; MESSAGE_BYTES_MAX]);
    let (_, mut agent) = bench.boot(bench.app.clone(), &mut url, Instant::from_ms(0));
    for hour in 0..24 {
        let at = Instant::from_ms(hour * HOUR_MS);
        assert_eq!(poll_ready(agent.execute(Command::Check, at)), Some(Ok(())));
        poll_ready(agent.work(at)).expect("memory never waits");
        assert!(agent.message(at, &mut buffer).is_none() && agent.deadline().is_none(), "hour {hour}");
        assert_eq!((agent.state(), bench.app.notices.borrow().len()), (AgentState::Idle, 0));
    }
    let at = Instant::from_ms(24 * HOUR_MS);
    poll_ready(agent.on(Event::Connected, at)).expect("memory never waits");
    let check = agent.message(at, &mut buffer).expect("one request for all checks");
    let replies = bench.service.borrow_mut().handle(check.topic, check.payload, at.as_ms());
    assert!(agent.message(at, &mut buffer).is_none());
    assert_eq!(*bench.app.notices.borrow(), [Notice::CheckStarted]);
    for reply in replies {
        poll_ready(agent.on_message(&reply.topic, &reply.payload, at)).expect("memory never waits");
    }
    assert_eq!(agent.state(), AgentState::Downloading);
}
