//! The agent without the pump: a test gives it events and messages, and sends what it has to send.

use super::*;
use ota_agent::machine::{ExecutionId, Outcome, Phase, Record};
use ota_pal::{BootRecord, BootRecords, Digest, Trial};

#[test]
fn during_a_download_progress_is_that_of_the_last_block_and_other_jobs_are_not_looked_at() {
    const OTHER: &str = concat!(
        r#"{"timestamp":1,"execution":{"jobId":"other","status":"QUEUED","queuedAt":1,"lastUpdatedAt":1,"#,
        r#""versionNumber":1,"executionNumber":1,"jobDocument":{"operation":"reboot"}}}"#
    );
    let bench = Bench::new(Route::Mqtt);
    let (at, mut url, mut buffer) = (Instant::from_ms(0), [0; 2_048], [0; MESSAGE_BYTES_MAX]);
    let (_, mut agent) = bench.boot(bench.app.clone(), &mut url, at);
    assert_eq!(agent.progress(), None);
    poll_ready(agent.on(Event::Connected, at)).expect("memory never waits");
    while let Some(message) = agent.message(at, &mut buffer) {
        let replies = bench.service.borrow_mut().handle(message.topic, message.payload, 0);
        for reply in replies {
            poll_ready(agent.on_message(&reply.topic, &reply.payload, at)).expect("memory never waits");
            if bench.app.progress.borrow().last().is_some_and(|progress| progress.done_bytes < IMAGE_BYTES) {
                assert_eq!(agent.progress(), bench.app.progress.borrow().last().copied());
                let topic = "$aws/things/thing/jobs/notify-next";
                poll_ready(agent.on_message(topic, OTHER.as_bytes(), at)).expect("memory never waits");
            }
        }
        poll_ready(agent.work(at)).expect("memory never waits");
        if agent.is_reset() {
            break;
        }
    }
    assert!(bench.app.progress.borrow().len() > 10);
    assert!(bench.app.custom.borrow().is_empty());

    let (app, mut url) = (App { asked: Some(Rc::default()), ..App::default() }, [0; 2_048]);
    let (_, mut agent) = bench.boot(app.clone(), &mut url, at);
    assert!(agent.awaits_application());
    let images = poll_ready(agent.images()).expect("memory never waits").expect("the device reads its own flash");
    assert_eq!(images, bench.device.record().images);
    assert!(images.iter().count() > 1);
    for event in [Event::Connected, Event::Disconnected, Event::Connected] {
        poll_ready(agent.on(event, at)).expect("memory never waits");
    }
    let asked = app.asked.expect("a list");
    asked.borrow_mut().dedup();
    assert_eq!(*asked.borrow(), [true, false, true]);
}

/// An empty notification is no answer to a request that is in flight.
#[test]
fn a_check_on_demand_gets_its_job_whatever_is_notified_meanwhile() {
    for notified in [r#"{"timestamp":1}"#, r#"{"timestamp":1,"execution":{}}"#, "noise"] {
        let mut bench = Bench::new(Route::Mqtt);
        bench.device.config.discovery = Discovery::OnDemand;
        let (at, mut url, mut buffer) = (Instant::from_ms(0), [0; 2_048], [0; MESSAGE_BYTES_MAX]);
        let mut agent = connected(&bench, &mut url, at);
        assert_eq!(poll_ready(agent.execute(Command::Check, at)), Some(Ok(())));
        let request = agent.message(at, &mut buffer).expect("a request");
        let replies = bench.service.borrow_mut().handle(request.topic, request.payload, 0);
        let topic = "$aws/things/thing/jobs/notify-next";
        poll_ready(agent.on_message(topic, notified.as_bytes(), at)).expect("memory never waits");
        assert!(!bench.app.notices.borrow().contains(&Notice::NoUpdate), "{notified}: it answers nothing");
        for reply in replies {
            poll_ready(agent.on_message(&reply.topic, &reply.payload, at)).expect("memory never waits");
        }
        assert_eq!(agent.state(), AgentState::Downloading, "{notified}");
    }
}

fn offer(job: &Job, document: &str) -> (String, String) {
    let execution = format!(
        r#""jobId":"{}","status":"QUEUED","queuedAt":1,"lastUpdatedAt":1,"versionNumber":1,"executionNumber":1"#,
        job.id
    );
    let payload = format!(r#"{{"timestamp":1,"execution":{{{execution},"jobDocument":{document}}}}}"#);
    (String::from("$aws/things/thing/jobs/notify-next"), payload)
}

#[test]
fn the_watchdog_is_fed_after_every_operation_and_a_document_of_another_file_replaces_no_url() {
    let bench = Bench::new(Route::Http);
    let boot = bench.device.boot().expect("the power stays").expect("there is an image");
    let flash: PlainView = View(bench.device.nor.clone());
    let (at, mut url, watchdog) = (Instant::from_ms(0), [0; 2_048], Counting::default());
    let platform = bench.device.platform(flash, boot.slot, 0).with_watchdog(watchdog.clone());
    let start = Start { seed: 1, now: at };
    let agent = Agent::start(platform, bench.app.clone(), bench.device.config.clone(), &mut url, start);
    let mut agent = poll_ready(agent).expect("memory never waits").expect("the device reads its own flash");
    let fed = || watchdog.0.take();
    fed();
    poll_ready(agent.on(Event::Connected, at)).expect("memory never waits");
    assert_eq!(fed(), 1, "nothing was done");
    let (topic, payload) = offer(&bench.job, &bench.job.document);
    poll_ready(agent.on_message(&topic, payload.as_bytes(), at)).expect("memory never waits");
    assert!(fed() >= 4, "the journal, the slot and the first sector");
    assert_eq!(agent.url(), bench.job.url.as_bytes());

    let moved = bench.job.document.replace("bucket.example", "moved.example");
    let other = moved.replace(r#""filesize":50000"#, r#""filesize":40000"#);
    assert!(moved != bench.job.document && other != moved);
    let fresh = bench.job.url.replace("bucket.example", "moved.example");
    for (document, url) in [(other, &bench.job.url), (moved, &fresh)] {
        let (topic, payload) = offer(&bench.job, &document);
        poll_ready(agent.on_message(&topic, payload.as_bytes(), at)).expect("memory never waits");
        assert_eq!(std::str::from_utf8(agent.url()), Ok(url.as_str()));
    }
}

/// The agent of the booted program, which gets its events from the test.
fn connected<'b>(bench: &Bench, url: &'b mut [u8], at: Instant) -> Agent<'b, Board<PlainView>, App> {
    let (_, mut agent) = bench.boot(bench.app.clone(), url, at);
    poll_ready(agent.on(Event::Connected, at)).expect("memory never waits");
    agent
}

#[test]
fn a_message_of_the_application_is_taken_while_there_is_a_connection() {
    let bench = Bench::new(Route::Mqtt);
    let (at, mut url) = (Instant::from_ms(0), [0; 2_048]);
    let mut agent = connected(&bench, &mut url, at);
    assert_eq!(poll_ready(agent.execute(Command::Publish, at)), Some(Ok(())));
    poll_ready(agent.on(Event::Disconnected, at)).expect("memory never waits");
    assert_eq!(poll_ready(agent.execute(Command::Publish, at)), Some(Err(CommandRefused::NotNow)));
}

fn record(phase: Phase) -> Record {
    let execution = ExecutionId::of(JobId::new("job").expect("a plain id"));
    Record { execution, local: false, fingerprint: 1, image_bytes: IMAGE_BYTES, digest: [0; 32], phase, ran: None }
}

/// An agent that is newer and was rolled back may have stored fields behind those of this one.
#[test]
fn a_longer_record_in_the_journal_is_read_up_to_the_known_fields() {
    let bench = Bench::new(Route::Mqtt);
    let boot = bench.device.boot().expect("the power stays").expect("there is an image");
    let view: PlainView = View(bench.device.nor.clone());
    let mut platform = bench.device.platform(view, boot.slot, 0);
    let record = record(Phase::Concluded(Outcome::Failed(Reason::SignatureInvalid)));
    let longer = [&record.encode()[..], &[1; 8]].concat();
    assert_eq!(poll_ready(platform.store_journal(&longer)), Some(Ok(())));
    let mut url = [0; 2_048];
    assert_eq!(connected(&bench, &mut url, Instant::from_ms(0)).state(), AgentState::Reporting);
}

/// Another program chose an image, which waits for its trial, while that of the job is gone.
#[test]
fn the_trial_of_another_image_is_no_activation_of_the_jobs() {
    let bench = Bench::new(Route::Mqtt);
    let boot = bench.device.boot().expect("the power stays").expect("there is an image");
    let mut view: PlainView = View(bench.device.nor.clone());
    let trial = Trial::Pending { slot: SlotId::B, digest: Digest([2; 32]), image_bytes: 1, attempts_left: 1 };
    let pending = BootRecord { trial, ..bench.device.record() };
    poll_ready(BootRecords::new(&bench.device.layout).store(&mut view, &pending)).expect("ready").expect("stored");
    let mut platform = bench.device.platform(view, boot.slot, 0);
    let record = Record { digest: [1; 32], ..record(Phase::Activating { slot: SlotId::B.number(), boots: 0 }) };
    assert_eq!(poll_ready(platform.store_journal(&record.encode())), Some(Ok(())));
    let (at, mut url) = (Instant::from_ms(0), [0; 64]);
    let (app, config) = (bench.app.clone(), bench.device.config.clone());
    let agent = Agent::start(platform, app, config, &mut url, Start { seed: 1, now: at });
    let mut agent = poll_ready(agent).expect("memory never waits").expect("the device reads its own flash");
    poll_ready(agent.work(at)).expect("memory never waits");
    assert_eq!((agent.state(), agent.is_reset()), (AgentState::Reporting, false));
}

#[test]
fn responses_that_the_agent_does_not_request_are_the_applications() {
    let bench = Bench::new(Route::Mqtt);
    let (at, mut url) = (Instant::from_ms(0), [0; 2_048]);
    let mut agent = connected(&bench, &mut url, at);
    let (_, payload) = offer(&bench.job, &bench.job.document);
    for (topic, is_own) in [
        ("jobs/other/update/accepted", false),
        ("jobs/other/update/rejected", false),
        ("jobs/job/get/accepted", false), // the application asked: it is not the next job
        ("jobs/notify-next", true),
        ("jobs/job/get/accepted", true), // now it is the active one
        ("jobs/other/get/accepted", false),
        ("jobs/get/accepted", false),
        ("jobs/start-next/accepted", false),
        ("streams/other/data/json", false),
        ("streams/other/data/cbor", true),
    ] {
        let topic = format!("$aws/things/thing/{topic}");
        poll_ready(agent.on_message(&topic, payload.as_bytes(), at)).expect("memory never waits");
        let passed: Vec<String> = bench.app.inbox.take();
        assert_eq!(
            passed.iter().map(|text| text.starts_with(&topic)).collect::<Vec<_>>(),
            vec![true; usize::from(!is_own)]
        );
    }
    assert_eq!(agent.state(), AgentState::Downloading);
}

/// The simulated network delivers only what was subscribed to, so these messages go to the agent directly.
#[test]
fn a_job_for_another_thing_is_not_taken_whatever_its_name() {
    let bench = Bench::new(Route::Mqtt);
    let (at, mut url) = (Instant::from_ms(0), [0; 2_048]);
    let mut agent = connected(&bench, &mut url, at);
    let (topic, payload) = offer(&bench.job, &bench.job.document);
    for (thing, is_taken) in [("another", false), ("thinh", false), ("Thing", false), ("thing", true)] {
        let topic = topic.replace("/thing/", &format!("/{thing}/"));
        poll_ready(agent.on_message(&topic, payload.as_bytes(), at)).expect("memory never waits");
        assert_eq!(agent.progress().is_some(), is_taken, "{topic}");
    }
}
