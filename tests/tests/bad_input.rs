//! Bad input, one kind at a time: the device continues, the old image remains, and a named reason is reported; if only a
//! message was bad and not the job, it has no effect.

use ota_agent::Notice;
use ota_jobs::stream::{Data, Rejected};
use ota_jobs::{Reason, Status, StreamRejectCode};
use ota_pal::SlotId;
use ota_tests::corrupt::{noise, truncated};
use ota_tests::device::URL_BYTES;
use ota_tests::fixtures::{WHILE_MS, confirmed, http_order, order, run, sim};
use ota_tests::job::{Job, Kind, Order, Route};
use ota_tests::rng::Rng;
use ota_tests::service::Reply;
use ota_tests::sim::{Act, Ended, Flow, Simulation};

const ROUTES: [Route; 3] = [Route::Mqtt, Route::Http, Route::Both];
/// More steps than an update of a dozen blocks has. Injected messages may cause requests, so the injection has to end.
const DISTURBED_MESSAGES: u64 = 80;
const BELOW_THING: &str = "$aws/things/thing/";

#[test]
fn each_kind_of_bad_job_is_refused_by_name_and_the_old_image_stays() {
    for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Good) {
        for route in ROUTES {
            let mut sim = sim();
            let patch = if kind == Kind::NotNewer { 1 } else { 2 };
            sim.create(&Order { route, ..order("job", kind, patch) });
            run(&mut sim);
            let (status, reason) = sim.verdict("job");
            assert_eq!(reason, kind.reasons().first().copied(), "{kind:?} {route:?}");
            assert_eq!(Some(status), reason.map(Reason::status), "{kind:?} {route:?}");
            assert_eq!(confirmed(&sim), (SlotId::A, 1), "{kind:?} {route:?}");
        }
    }
}

/// The header that names the hardware is in the first block.
#[test]
fn an_image_for_other_hardware_is_rejected_before_a_block_of_its_data_is_written() {
    for route in [Route::Mqtt, Route::Http] {
        let mut sim = sim();
        sim.create(&Order { route, ..order("job", Kind::WrongHardware, 2) });
        run(&mut sim);
        assert_eq!(sim.verdict("job"), (Status::Rejected, Some(Reason::WrongHardware)), "{route:?}");
        let written: Vec<u32> = sim.checks.progress.iter().map(|progress| progress.done_bytes).collect();
        assert_eq!((sim.traffic.requests, written), (1, vec![1_024]), "{route:?}: the header's block, and no other");
    }
}

#[test]
fn a_file_that_ends_anywhere_is_too_short() {
    for (len, route) in
        [(1, Route::Mqtt), (1_024, Route::Mqtt), (50_000, Route::Mqtt), (98_304, Route::Mqtt), (50_000, Route::Http)]
    {
        let mut sim = sim();
        let mut job = sim.job(&Order { route, ..order("job", Kind::Short, 2) });
        let whole = sim.job(&order("whole", Kind::Good, 2)).file;
        job.file = whole[..len].into();
        sim.queue(job);
        run(&mut sim);
        assert_eq!(sim.verdict("job"), (Status::Failed, Some(Reason::ImageTooShort)), "{len} bytes, {route:?}");
    }
}

// Messages.

/// A message on a topic of the thing.
fn message(topic: &str, payload: Vec<u8>) -> Act {
    Act::Inject(Reply { topic: format!("{BELOW_THING}{topic}"), payload, assured: true })
}

fn block(job: &Job, file_id: u32, index: u32, payload: &[u8]) -> Act {
    let mut out = vec![0; payload.len() + 64];
    let data = Data { token: None, file_id, block_bytes: payload.len() as u32, index, payload };
    let len = data.emit(&mut out).expect("there is room");
    out.truncate(len);
    message(&format!("streams/{}/data/cbor", job.stream), out)
}

/// Runs an update of a dozen blocks, with acts of `disturb` before every step.
fn disturbed(disturb: impl FnMut(&Simulation, &Job) -> Vec<Act>) -> (Simulation, Ended) {
    disturbed_badly(&[], disturb)
}

/// As [`disturbed`], except that the job itself may fail.
fn disturbed_badly(
    allowed_failures: &[Reason],
    mut disturb: impl FnMut(&Simulation, &Job) -> Vec<Act>,
) -> (Simulation, Ended) {
    let mut sim = sim();
    let job = sim.job(&Order { image_bytes: 12_002, ..order("job", Kind::Good, 2) });
    sim.queue(job.clone());
    let mut disturbed_at = None;
    sim.checks.allowed_failures = allowed_failures.to_vec();
    let ended = sim.run(WHILE_MS, |sim| {
        // Once per message of the run itself: injected messages cause steps too.
        if sim.messages < DISTURBED_MESSAGES && disturbed_at.replace(sim.messages) != Some(sim.messages) {
            disturb(sim, &job).into_iter().for_each(|act| sim.act(act));
        }
        Flow::Go
    });
    assert_eq!(sim.checks.violations, [] as [String; 0]);
    (sim, ended)
}

fn assert_succeeded((sim, ended): (Simulation, Ended)) {
    assert_eq!((sim.verdict("job"), ended), ((Status::Succeeded, None), Ended::Quiet));
    assert_eq!(confirmed(&sim), (SlotId::B, 2));
}

/// Every topic that the agent subscribes to, for the job.
fn topics(job: &Job) -> Vec<String> {
    let fixed = ["jobs/notify", "jobs/notify-next", "jobs/$next/get/accepted", "jobs/$next/get/rejected"];
    let answers = ["get/accepted", "get/rejected", "update/accepted", "update/rejected"];
    let of_job = answers.iter().map(|answer| format!("jobs/{}/{answer}", job.id));
    let of_stream = ["data", "rejected"].iter().map(|topic| format!("streams/{}/{topic}/cbor", job.stream));
    fixed.iter().map(|topic| (*topic).to_owned()).chain(of_job).chain(of_stream).collect()
}

#[test]
fn noise_on_every_topic_at_every_moment_changes_nothing() {
    let mut rng = Rng::new(1);
    assert_succeeded(disturbed(|_, job| topics(job).iter().map(|topic| message(topic, noise(&mut rng))).collect()));
}

#[test]
fn json_and_cbor_that_end_too_early_change_nothing_on_any_topic() {
    let mut rng = Rng::new(2);
    let json =
        br#"{"timestamp":1,"clientToken":"00000000","execution":{"jobId":"job","status":"QUEUED","versionNumber":1}}"#;
    let cbor = b"\xA4\x61f\x00\x61l\x04\x61i\x00\x61p\x44abcd";
    assert_succeeded(disturbed(|_, job| {
        let of = |topic: &String| if topic.ends_with("cbor") { &cbor[..] } else { &json[..] };
        topics(job).iter().map(|topic| message(topic, truncated(of(topic), &mut rng))).collect()
    }));
}

#[test]
fn one_unreadable_message_does_not_cost_an_idle_device_its_next_job() {
    for topic in ["jobs/notify-next", "jobs/$next/get/accepted"] {
        let mut sim = sim();
        let mut injected = false;
        sim.run(WHILE_MS, |sim| {
            if !injected && sim.notices().contains(&Notice::NoUpdate) {
                let job = sim.job(&order("job", Kind::Good, 2));
                sim.service.create(job, sim.now_ms); // its own notices are lost
                sim.act(message(topic, b"{\"exec".to_vec()));
                injected = true;
            }
            Flow::Go
        });
        let ended = sim.run(WHILE_MS, |_| Flow::Go); // it reconnects and asks, if it did not ask at once
        assert_succeeded((sim, ended));
    }
}

#[test]
fn a_block_of_another_file_or_of_another_stream_is_not_ours() {
    assert_succeeded(disturbed(|sim, job| {
        let index = sim.messages as u32 % 12;
        let other_stream = Job { stream: String::from("another"), ..job.clone() };
        vec![
            block(job, (job.file_id + 1) % 256, index, &[0; 1_024]),
            block(&other_stream, job.file_id, index, &[0; 1_024]),
        ]
    }));
}

#[test]
fn a_block_of_another_length_costs_itself() {
    assert_succeeded(disturbed(|sim, job| {
        let index = sim.messages as u32 % 12;
        let lengths = [0, 1, 738, 1_023, 1_025, 2_048].into_iter().filter(|len| (index, *len) != (11, 738));
        lengths.map(|len| block(job, job.file_id, index, &vec![0; len])).collect()
    }));
}

#[test]
fn a_block_that_states_another_length_than_it_has_costs_itself() {
    assert_succeeded(disturbed(|sim, job| {
        let index = (sim.messages % 12) as u8;
        let head = [b"\xA4\x61f\x18", &[job.file_id as u8][..], b"\x61i", &[index], b"\x61l\x19\x04\x00\x61p"].concat();
        let short = [&head[..], b"\x44abcd"].concat();
        let whole = [&head[..], b"\x59\x04\x01", &[0; 1_025]].concat();
        let topic = format!("streams/{}/data/cbor", job.stream);
        vec![message(&topic, short), message(&topic, whole)]
    }));
}

#[test]
fn a_block_beyond_the_end_costs_itself() {
    assert_succeeded(disturbed(|_, job| {
        [12, 13, 139, 4_194_304, u32::MAX].map(|index| block(job, job.file_id, index, &[0; 1_024])).into()
    }));
}

#[test]
fn duplicates_and_late_blocks_change_nothing_also_after_the_last_one() {
    let mut after_the_last = 0;
    assert_succeeded(disturbed(|sim, job| {
        after_the_last += u32::from(sim.notices().contains(&Notice::DownloadSucceeded));
        let arrived = sim.checks.progress.iter().map(|progress| progress.blocks - 1);
        let whole = (0..12).map(|index| index * 1_024..(index * 1_024 + 1_024).min(job.file.len()));
        let blocks: Vec<&[u8]> = whole.map(|bytes| &job.file[bytes]).collect();
        arrived.map(|index| block(job, job.file_id, index, blocks[index as usize])).collect()
    }));
    assert!(after_the_last > 0);
}

#[test]
fn a_block_with_a_wrong_index_fails_the_verification_and_nothing_else() {
    let mut lied = false;
    let (sim, _) = disturbed_badly(&[Reason::SignatureInvalid], |sim, job| {
        let lie = !lied && sim.notices().contains(&Notice::DownloadStarted { resumed_bytes: 0 });
        lied |= lie;
        if lie { vec![block(job, job.file_id, 3, &job.file[4_096..5_120])] } else { Vec::new() }
    });
    assert_eq!(sim.verdict("job"), (Status::Failed, Some(Reason::SignatureInvalid)));
    assert_eq!(confirmed(&sim), (SlotId::A, 1));
}

#[test]
fn unsolicited_responses_change_nothing() {
    let answers = [
        ("jobs/job/update/accepted", r#"{"clientToken":"0badc0de","timestamp":1}"#),
        ("jobs/job/update/rejected", r#"{"clientToken":"0badc0de","code":"ResourceNotFound","timestamp":1}"#),
        ("jobs/job/get/rejected", r#"{"clientToken":"0badc0de","code":"TerminalStateReached","timestamp":1}"#),
        ("jobs/other/update/accepted", r#"{"timestamp":1}"#),
        (
            "jobs/other/get/accepted",
            r#"{"timestamp":1,"execution":{"jobId":"other","status":"CANCELED","versionNumber":7}}"#,
        ),
    ];
    assert_succeeded(disturbed(|_, _| {
        answers.iter().map(|(topic, payload)| message(topic, payload.as_bytes().to_vec())).collect()
    }));
}

// Refusals of the sources.

fn stream_refusal(job: &Job, code: StreamRejectCode) -> Act {
    let mut out = [0; 64];
    let len = Rejected { code, message: None, token: None }.emit(&mut out).expect("there is room");
    message(&format!("streams/{}/rejected/cbor", job.stream), out[..len].to_vec())
}

#[test]
fn a_refusal_of_the_stream_once_is_an_accident() {
    for code in [StreamRejectCode::ResourceNotFound, StreamRejectCode::Unauthorized, StreamRejectCode::InternalError] {
        let mut refused = false;
        assert_succeeded(disturbed(|_, job| {
            let first = !std::mem::replace(&mut refused, true);
            if first { vec![stream_refusal(job, code)] } else { Vec::new() }
        }));
    }
}

#[test]
fn a_stream_that_is_not_there_fails_the_job_by_name() {
    let mut sim = sim();
    sim.checks.allowed_failures.push(Reason::StreamNotFound);
    let mut job = sim.job(&order("job", Kind::Good, 2));
    job.stream = String::from("elsewhere");
    sim.queue(job);
    run(&mut sim);
    assert_eq!(sim.verdict("job"), (Status::Failed, Some(Reason::StreamNotFound)));
}

#[test]
fn a_stream_that_stops_fails_the_job_in_time() {
    let mut sim = sim();
    sim.checks.allowed_failures.push(Reason::TransferTimedOut);
    sim.create(&order("job", Kind::Good, 2));
    sim.network.silent_until_ms = u64::MAX;
    run(&mut sim);
    assert_eq!(sim.verdict("job"), (Status::Failed, Some(Reason::TransferTimedOut)));
    let entry = sim.service.updates.last().expect("an update arrived");
    assert!((300_000..330_000).contains(&entry.at_ms), "five minutes: {} ms", entry.at_ms);
}

#[test]
fn a_server_that_always_answers_badly_fails_the_job_by_name() {
    for reason in [
        Reason::HttpForbidden,
        Reason::HttpNotFound,
        Reason::HttpRangeNotSatisfiable,
        Reason::HttpRangeIgnored,
        Reason::HttpBodyTooShort,
        Reason::HttpUnreachable,
        Reason::HttpProtocol,
        Reason::HttpStatus,
    ] {
        let mut sim = sim();
        sim.web.always = Some(reason);
        sim.checks.allowed_failures.push(reason);
        sim.create(&Order { route: Route::Http, ..order("job", Kind::Good, 2) });
        run(&mut sim);
        assert_eq!(sim.verdict("job"), (Status::Failed, Some(reason)));
        assert_eq!(confirmed(&sim), (SlotId::A, 1));
    }
}

#[test]
fn a_server_that_answers_badly_once_is_asked_again() {
    for reason in [Reason::HttpForbidden, Reason::HttpBodyTooShort, Reason::HttpUnreachable, Reason::HttpProtocol] {
        let mut sim = sim();
        sim.web.next = vec![reason];
        sim.create(&Order { route: Route::Http, ..order("job", Kind::Good, 2) });
        run(&mut sim);
        assert_eq!(sim.verdict("job"), (Status::Succeeded, None), "{reason}");
    }
}

#[test]
fn a_url_that_expires_again_and_again_is_asked_for_again_and_again() {
    let mut sim = sim();
    sim.create(&http_order("job", Kind::Good, 2));
    let mut expiries = vec![75_000, 50_000, 25_000, 1];
    let ended = sim.run(WHILE_MS, |sim| {
        let done_bytes = sim.checks.progress.last().map_or(0, |progress| progress.done_bytes);
        if expiries.pop_if(|at_bytes| done_bytes >= *at_bytes).is_some() {
            sim.web.expired_before_document = sim.service.documents.get() + 1;
            sim.act(Act::Disconnect { ms: 2_000 });
        }
        Flow::Go
    });
    assert_eq!(sim.checks.violations, [] as [String; 0]);
    assert_eq!((ended, expiries.len(), sim.verdict("job")), (Ended::Quiet, 0, (Status::Succeeded, None)));
}

#[test]
fn a_server_that_is_away_for_minutes_is_waited_for_and_not_for_ever() {
    for (back_ms, verdict) in
        [(200_000, (Status::Succeeded, None)), (u64::MAX, (Status::Failed, Some(Reason::HttpUnreachable)))]
    {
        let mut sim = sim();
        sim.web.always = Some(Reason::HttpUnreachable);
        sim.create(&http_order("job", Kind::Good, 2));
        sim.checks.allowed_failures.push(Reason::HttpUnreachable);
        let ended = sim.run(WHILE_MS, |sim| {
            if sim.now_ms >= back_ms {
                sim.web.always = None;
            }
            Flow::Go
        });
        assert_eq!(sim.checks.violations, [] as [String; 0]);
        assert_eq!((ended, sim.verdict("job")), (Ended::Quiet, verdict));
    }
}

#[test]
fn a_custom_job_of_any_size_that_arrives_is_the_applications() {
    let mut sim = sim();
    let mut job = sim.job(&order("job", Kind::Custom, 2));
    job.document = format!(r#"{{"operation":"{}"}}"#, "x".repeat(URL_BYTES));
    sim.queue(job);
    run(&mut sim);
    assert_eq!(sim.verdict("job"), (Status::Succeeded, None), "the sim's application does custom jobs at once");
}

#[test]
fn a_job_of_another_application_is_left_alone_however_deep_its_document_is() {
    let mut sim = sim();
    let mut job = sim.job(&order("job", Kind::Custom, 2));
    job.document = format!(r#"{{"operation":{}{}}}"#, "[".repeat(1_000), "]".repeat(1_000));
    sim.queue(job);
    run(&mut sim);
    assert_eq!(sim.verdict("job"), (Status::Queued, None));
    assert!(sim.service.updates.is_empty(), "{:?}", sim.service.updates);
    assert!(!sim.notices().contains(&Notice::NoUpdate), "there is a job");
}

#[test]
fn where_one_source_fails_permanently_the_other_one_continues() {
    for prefer_http in [true, false] {
        let mut setup = ota_tests::sim::Setup::new(1);
        setup.config.prefer_http = prefer_http;
        let mut sim = Simulation::new(setup);
        let mut job = sim.job(&Order { route: Route::Both, ..order("job", Kind::Good, 2) });
        if prefer_http {
            sim.web.cut_at_percent = Some((50, Reason::HttpNotFound));
        } else {
            job.stream = String::from("elsewhere");
        }
        sim.queue(job);
        run(&mut sim);
        assert_eq!(sim.verdict("job"), (Status::Succeeded, None), "prefers http: {prefer_http}");
    }
}
