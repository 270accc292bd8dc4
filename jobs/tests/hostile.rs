//! Bytes from outside, whatever they are, are taken or refused by name: every parser, on a small stack.

use ota_jobs::{
    Describe, DescribeResponse, Document, Get, Notify, ParseError, PendingJobs, RawJson, Rejected, StartNext, Topic,
    Update, UpdateResponse, details, job_of, stream,
};
use proptest::prelude::*;

/// A message of each kind, to be damaged. Written by hand; what real ones look like is tested beside each parser.
const MESSAGES: [&[u8]; 8] = [
    br#"{"clientToken":"t","timestamp":1,"execution":{"jobId":"j","thingName":"t","status":"QUEUED","statusDetails":{"a":"b"},"queuedAt":1,"versionNumber":1,"jobDocument":{"afr_ota":{"protocols":["MQTT","HTTP"],"streamname":"s","files":[{"filepath":"\/\u0061","filesize":1,"fileid":0,"sig-sha256-ecdsa":"QQ=="}]}}}}"#,
    br#"{"timestamp":1,"jobs":{"QUEUED":[{"jobId":"j","queuedAt":1,"versionNumber":1}],"IN_PROGRESS":[]},"queuedJobs":[{"jobId":"j","versionNumber":1}],"inProgressJobs":[]}"#,
    br#"{"status":"FAILED","statusDetails":{"reason":"x"},"expectedVersion":"1","includeJobDocument":true,"stepTimeoutInMinutes":-1,"clientToken":"\ud83d\ude00"}"#,
    br#"{"code":"VersionMismatch","message":"m","executionState":{"status":"FAILED","versionNumber":2},"jobDocument":{}}"#,
    br#"{"c":"t","s":1,"f":0,"l":4,"o":2,"n":3,"b":"0x130080","i":2,"p":"dGVzdA==","d":"x","r":[{"f":0,"z":1}]}"#,
    b"\xa6\x61c\x61t\x61f\x00\x61l\x04\x61i\x02\x61p\x44test\x61r\x81\xa2\x61f\x00\x61z\x01",
    b"\xa6\x61c\x63rdy\x61f\x04\x61l\x19\x10\x00\x61o\x02\x61b\x44MQ==\x61n\x01",
    b"\xbf\x61o\x6cUnauthorized\x61m\x7f\x61a\xff\x61s\x9f\x01\xff\xff",
];

/// Lets every parser read `bytes` to the end, lists and texts included.
fn read_all(bytes: &[u8]) -> usize {
    let mut room = [0; 64];
    let mut taken = 0;
    let mut count = |is_ok: bool| taken += usize::from(is_ok);
    count(Get::parse(bytes).is_ok());
    count(StartNext::parse(bytes).is_ok());
    count(Describe::parse(bytes).is_ok());
    count(Rejected::parse(bytes).is_ok());
    count(UpdateResponse::parse(bytes).is_ok());
    count(
        Update::parse(bytes).is_ok_and(|update| {
            update.status_details.is_none_or(|json| details::details(json).all(|pair| pair.is_ok()))
        }),
    );
    count(PendingJobs::parse(bytes).is_ok_and(|pending| pending.queued.iter().all(|line| line.is_ok())));
    count(
        Notify::parse(bytes)
            .is_ok_and(|notify| notify.in_progress.iter().chain(notify.queued.iter()).all(|line| line.is_ok())),
    );
    if let Ok(DescribeResponse { execution: Some(execution), .. }) = DescribeResponse::parse(bytes) {
        count(execution.document.is_none_or(|document| Document::parse(document).is_ok()));
    }
    count(RawJson::parse(bytes).is_ok_and(|json| Document::parse(json).is_ok()));
    count(job_of(bytes).is_some());
    count(core::str::from_utf8(bytes).is_ok_and(|text| Topic::parse(text).is_ok()));
    count(stream::Get::parse(bytes).is_ok_and(|get| get.wanted().count() > 0));
    count(stream::Get::parse_json(bytes).is_ok_and(|get| get.wanted().count() > 0));
    count(stream::Data::parse(bytes).is_ok());
    count(stream::Data::parse_json(bytes, &mut room).is_ok());
    count(stream::Describe::parse(bytes).is_ok());
    count(stream::Describe::parse_json(bytes).is_ok());
    count(stream::Description::parse(bytes).is_ok_and(|files| files.files.iter().all(|file| file.is_ok())));
    count(stream::Description::parse_json(bytes).is_ok_and(|files| files.files.iter().all(|file| file.is_ok())));
    count(stream::Rejected::parse(bytes).is_ok());
    count(stream::Rejected::parse_json(bytes).is_ok());
    taken
}

#[test]
fn the_messages_to_be_damaged_are_taken_while_they_are_whole() {
    for message in MESSAGES {
        assert!(read_all(message) > 0, "{}", String::from_utf8_lossy(message));
    }
}

/// The stack of a small thread: a parser that recurses does not come back from fifty thousand levels.
#[test]
fn no_nesting_eats_the_stack_of_any_parser() {
    const LEVELS: usize = 50_000;
    let deep = |open: &str, close: &str| open.repeat(LEVELS) + "1" + &close.repeat(LEVELS);
    let messages = [
        deep("[", "]").into_bytes(),
        deep("{\"a\":", "}").into_bytes(),
        format!(
            r#"{{"execution":{{"jobId":"j","status":"QUEUED","versionNumber":1,"jobDocument":{}}}}}"#,
            deep("[", "]")
        )
        .into_bytes(),
        format!(r#"{{"timestamp":1,"unknown":{}}}"#, deep("{\"a\":", "}")).into_bytes(),
        "[".repeat(LEVELS).into_bytes(),
        [vec![0x81; LEVELS], vec![0x01]].concat(),
        [vec![0x9F; LEVELS], vec![0xFF; LEVELS]].concat(),
        [b"\xa1\x61x".repeat(LEVELS), vec![0x01]].concat(),
    ];
    let small = std::thread::Builder::new().stack_size(64 * 1024);
    let named = small.spawn(move || messages.iter().map(|message| read_all(message)).sum::<usize>());
    assert_eq!(
        named.expect("a thread starts").join().expect("no parser panics"),
        1,
        "only the job's name is read from any of them"
    );
    let refused = DescribeResponse::parse(format!(r#"{{"a":{}}}"#, deep("[", "]")).as_bytes()).err();
    assert_eq!(refused, Some(ParseError::TooDeep { max: 16 }));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn random_bytes_are_taken_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_all(&bytes);
    }

    #[test]
    fn damaged_messages_are_taken_or_refused(
        message in 0..MESSAGES.len(), cut: prop::sample::Index, places: [prop::sample::Index; 3], bytes: [u8; 3], whole: bool,
    ) {
        let mut damaged = MESSAGES[message].to_vec();
        for (place, byte) in places.iter().zip(bytes) {
            let at = place.index(damaged.len());
            damaged[at] = byte;
        }
        if !whole {
            damaged.truncate(cut.index(damaged.len()));
        }
        read_all(&damaged);
    }

    #[test]
    fn spliced_messages_are_taken_or_refused(first in 0..MESSAGES.len(), second in 0..MESSAGES.len(), cut: prop::sample::Index) {
        let (first, second) = (MESSAGES[first], MESSAGES[second]);
        let at = cut.index(first.len());
        read_all(&[&first[..at], second, &first[at..]].concat());
    }
}
