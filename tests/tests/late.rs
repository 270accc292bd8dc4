//! A response that arrives after its request timed out and was sent again: its state is that of an earlier time. Agent and service
//! are connected by this test, which delivers each message when it likes.

use std::rc::Rc;

use ota_agent::machine::Event;
use ota_agent::{Agent, AgentConfig, Application, Instant, MESSAGE_BYTES_MAX, SelfTest, Start};
use ota_jobs::Status;
use ota_pal::{Platform, poll_ready};
use ota_tests::device::{Board, Device};
use ota_tests::fixtures::order;
use ota_tests::job::{Kind, Order, job};
use ota_tests::nor::{PlainView, View};
use ota_tests::rng::Rng;
use ota_tests::service::{Reply, Service};
use ota_tests::sim::Setup;
use ota_tests::verifier::Signer;

const NOTIFY: &str = "$aws/things/thing/jobs/notify";

struct App;

impl Application for App {
    fn self_test(&mut self, _connected: bool) -> SelfTest {
        SelfTest::Running
    }
}

fn done<T>(future: impl Future<Output = T>) -> T {
    poll_ready(future).expect("memory never waits")
}

fn deliver<P: Platform>(agent: &mut Agent<'_, P, App>, reply: &Reply, at: Instant) {
    done(agent.on_message(&reply.topic, &reply.payload, at));
}

/// The service's replies to all that the agent sends, blocks apart.
fn replies<P: Platform>(agent: &mut Agent<'_, P, App>, service: &mut Service, at: Instant) -> [Vec<Reply>; 2] {
    let mut buffer = [0; MESSAGE_BYTES_MAX];
    let mut replies = [Vec::new(), Vec::new()];
    done(agent.work(at));
    while let Some(message) = agent.message(at, &mut buffer) {
        let is_stream = message.topic.contains("/streams/");
        replies[usize::from(is_stream)].extend(service.handle(message.topic, message.payload, at.as_ms()));
    }
    replies
}

/// Answers all requests until the agent sends none; returns the blocks.
fn settle<P: Platform>(agent: &mut Agent<'_, P, App>, service: &mut Service, at: Instant) -> Vec<Reply> {
    let mut blocks = Vec::new();
    loop {
        let [answers, more] = replies(agent, service, at);
        blocks.extend(more);
        if answers.is_empty() {
            return blocks;
        }
        answers.iter().for_each(|reply| deliver(agent, reply, at));
    }
}

/// A connected agent, and a service with a job for it.
fn connected(url: &mut [u8]) -> (Agent<'_, Board<PlainView>, App>, Service) {
    let (mut rng, signer) = (Rng::new(1), Rc::new(Signer::new("ours", true)));
    let config = AgentConfig::new("thing").expect("a plain name");
    let setup = Setup { config: config.clone(), ..Setup::new(1) };
    let (device, mut service) = (Device::new(&setup, signer.clone(), &mut rng), Service::new("thing", Rng::new(2)));
    service.create(job(&Order { image_bytes: 50_000, ..order("job", Kind::Good, 2) }, &signer, &mut rng), 0);
    let boot = device.boot().expect("the power stays").expect("there is an image");
    let start = Start { seed: 1, now: Instant::from_ms(0) };
    let platform = device.platform(View(device.nor.clone()), boot.slot, 0);
    let mut agent = done(Agent::start(platform, App, config, url, start)).expect("it reads its own flash");
    done(agent.on(Event::Connected, start.now));
    (agent, service)
}

/// Two requests for the job's state, the first of which times out. Its response arrives late, as `change` makes it.
fn late(change: impl Fn(&str) -> String) {
    let (mut url, at) = ([0; 2_048], Instant::from_ms);
    let (mut agent, mut service) = connected(&mut url);
    let blocks = settle(&mut agent, &mut service, at(0));

    done(agent.on_message(NOTIFY, b"{}", at(11_000)));
    let [mut first, _] = replies(&mut agent, &mut service, at(11_000));
    deliver(&mut agent, &blocks[0], at(12_000)); // progress is due
    assert!(replies(&mut agent, &mut service, at(16_000))[0].is_empty(), "the first request times out");
    service.entries[0].version = 9;
    let [second, _] = replies(&mut agent, &mut service, at(17_000));
    assert_eq!((first.len(), second.len()), (1, 1));

    first[0].payload = change(core::str::from_utf8(&first[0].payload).expect("JSON is text")).into_bytes();
    deliver(&mut agent, &first[0], at(18_000));
    assert!(agent.progress().is_some(), "the job goes on");
    assert!(replies(&mut agent, &mut service, at(18_000))[0].is_empty(), "the second request is in flight");
    deliver(&mut agent, &second[0], at(19_000));
    settle(&mut agent, &mut service, at(19_000));
    let last = service.updates.last().expect("a report of progress");
    assert_eq!((last.expected_version, last.taken, last.at_ms), (Some(9), true, 19_000));
    assert_eq!(service.entries[0].status, Status::InProgress);
}

#[test]
fn a_late_response_gives_no_version() {
    late(str::to_owned);
}

#[test]
fn a_late_response_ends_no_job() {
    late(|text| {
        let changed = text.replace("IN_PROGRESS", "CANCELED");
        assert_ne!(changed, text);
        changed
    });
    late(|text| {
        let changed = text.replace(r#""executionNumber":1"#, r#""executionNumber":7"#);
        assert_ne!(changed, text);
        changed
    });
}

#[test]
fn a_late_offer_counts_while_there_is_no_job() {
    let (mut url, at) = ([0; 2_048], Instant::from_ms);
    let (mut agent, mut service) = connected(&mut url);
    let [first, _] = replies(&mut agent, &mut service, at(0));
    let [second, _] = replies(&mut agent, &mut service, at(5_000));
    assert_eq!((first.len(), second.len()), (1, 1));
    deliver(&mut agent, &first[0], at(6_000));
    assert!(agent.progress().is_some(), "the job starts");
}
