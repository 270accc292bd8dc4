//! Tests of the download by exact values: sources, refusals, waits, and the order of its operations.

use super::super::event::Sources;
use super::super::service::NO_IMAGE;
use super::*;

const NOW: Instant = Instant::from_ms(1_000);
const BLOCK_BYTES: u32 = 1_024;
const STREAM: Sources = Sources { stream: true, http: false };
const HTTP: Sources = Sources { stream: false, http: true };
const BOTH: Sources = Sources { stream: true, http: true };

fn later(ms: u64) -> Instant {
    NOW.plus_ms(ms)
}

fn of_bytes(image_bytes: u32, sources: Sources, prefer_http: bool) -> Transfer {
    let config = AgentConfig::new("thing").and_then(|config| config.with_block_bytes(BLOCK_BYTES));
    let config = AgentConfig { prefer_http, ..config.expect("valid") };
    let mut transfer = Transfer::new(&config, Plan { image_bytes, sources, ..NO_IMAGE });
    transfer.begin(0, NOW);
    transfer
}

fn transfer(sources: Sources) -> Transfer {
    of_bytes(8 * BLOCK_BYTES, sources, false)
}

fn arrives(transfer: &mut Transfer, index: u32, now: Instant) {
    let block = transfer.block(index, BLOCK_BYTES, now).expect("the block is missing");
    transfer.done(Done::Written(block));
}

#[test]
fn progress_has_the_rate_and_the_time_that_is_left() {
    let mut transfer = transfer(STREAM);
    assert!(transfer.request(NOW).is_some());
    let unknown = Progress { total_bytes: 8_192, done_bytes: 0, blocks: 0, rate_bytes_per_s: 0, left_ms: None };
    assert_eq!(transfer.progress(), Some(unknown));
    for index in 0..3 {
        arrives(&mut transfer, index, later(100 * u64::from(index)));
    }
    let left_ms = Some(500); // 5,120 bytes at 10,240 bytes/s
    let known = Progress { done_bytes: 3_072, blocks: 3, rate_bytes_per_s: 10_240, left_ms, ..unknown };
    assert_eq!(transfer.progress(), Some(known));
    assert_eq!((transfer.blocks(), transfer.done_bytes()), ((3, 8), 3_072));
    let config = AgentConfig::new("thing").expect("a plain name");
    assert_eq!(Transfer::new(&config, NO_IMAGE).progress(), None);
}

/// A message of another topic, parts of which arrive every 500 ms until `until`; returns the deadline after it.
fn foreign(transfer: &mut Transfer, from_ms: u64, until_ms: u64) -> Option<Instant> {
    for ms in (from_ms..=until_ms).step_by(500) {
        transfer.incoming(later(ms));
        transfer.expire(later(ms));
        assert_eq!(transfer.request(later(ms)), None, "a block may be arriving at {ms} ms");
    }
    transfer.received();
    transfer.deadline()
}

#[test]
fn a_lost_block_is_requested_after_one_other_message_and_a_timeout_however_busy_the_link() {
    let mut transfer = transfer(STREAM);
    assert!(transfer.request(NOW).is_some());
    let response_ms = 3_000;
    assert_eq!(foreign(&mut transfer, 500, 8_000), Some(later(8_000 + response_ms)), "the block may be behind it");
    assert_eq!(foreign(&mut transfer, 8_500, 20_000), Some(later(8_000 + response_ms)));
    transfer.expire(later(20_000));
    assert!(transfer.request(later(20_000)).is_some());
    for (from_ms, until_ms) in [(20_500, 150_000), (150_500, 307_500)] {
        foreign(&mut transfer, from_ms, until_ms);
        transfer.expire(later(until_ms));
        assert_eq!((transfer.request(later(until_ms)).is_some(), transfer.failure()), (true, None));
    }
    foreign(&mut transfer, 308_500, 309_000);
    transfer.expire(later(309_000));
    assert_eq!(transfer.failure(), Some(Reason::TransferTimedOut), "no block for five minutes");
}

#[test]
fn a_part_counts_after_a_timeout_too_and_not_on_the_next_connection() {
    let mut transfer = transfer(STREAM);
    assert!(transfer.request(NOW).is_some());
    transfer.incoming(later(400_000));
    transfer.expire(later(410_000));
    assert!(transfer.request(later(410_000)).is_some());
    transfer.expire(later(699_999));
    assert_eq!(transfer.failure(), None);
    transfer.received(); // the end of the message, with the last part
    transfer.expire(later(699_999));
    assert_eq!(transfer.failure(), None);
    transfer.incoming(later(700_000));
    transfer.restart(later(700_000));
    assert!(transfer.request(later(701_000)).is_some());
    assert_eq!(foreign(&mut transfer, 701_500, 702_000), Some(later(713_000)), "the third timeout; no part is counted");
    transfer.expire(later(999_999));
    assert_eq!(transfer.failure(), None);
    transfer.expire(later(1_000_000));
    assert_eq!(transfer.failure(), Some(Reason::TransferTimedOut));
}

#[test]
fn a_block_restores_that_another_message_may_precede_the_next_one() {
    let mut transfer = transfer(STREAM);
    assert!(transfer.request(NOW).is_some());
    foreign(&mut transfer, 500, 1_000);
    transfer.incoming(later(1_500));
    transfer.received();
    arrives(&mut transfer, 0, later(2_000));
    assert_eq!(foreign(&mut transfer, 2_500, 40_000), Some(later(40_000 + 2_000)), "a round trip");
}

#[test]
fn three_refusals_without_a_block_between_them_end_a_stream_and_internal_errors_do_not() {
    for (code, reason) in [
        (StreamRejectCode::ResourceNotFound, Some(Reason::StreamNotFound)),
        (StreamRejectCode::OffsetOutOfBounds, Some(Reason::ImageTooShort)),
        (StreamRejectCode::Unauthorized, Some(Reason::StreamRefused)),
        (StreamRejectCode::InternalError, None),
    ] {
        let mut transfer = transfer(STREAM);
        assert!(transfer.request(NOW).is_some());
        for index in 0..2 {
            transfer.stream_rejected(code, NOW);
            transfer.stream_rejected(code, NOW);
            assert_eq!(transfer.failure(), None, "{code:?}");
            assert_eq!(transfer.request(NOW).is_some(), reason.is_some(), "{code:?}: requested again at once");
            arrives(&mut transfer, index, NOW);
        }
        for refusal in 1..=3 {
            transfer.stream_rejected(code, NOW);
            assert_eq!(transfer.failure(), reason.filter(|_| refusal == 3), "{code:?}");
        }
    }
}

#[test]
fn blocks_are_requested_of_a_stream_and_bodies_of_a_server() {
    let mut http = transfer(HTTP);
    assert_eq!((http.request(NOW), http.fetch(NOW)), (None, Some(0)));
    http.stream_rejected(StreamRejectCode::ResourceNotFound, NOW);
    http.expire(later(999_999));
    assert_eq!((http.failure(), http.deadline()), (None, Some(Instant::default())));

    let mut stream = transfer(STREAM);
    assert!(stream.request(NOW).is_some());
    assert_eq!(stream.fetch(NOW), None);
    assert!(!stream.fetch_failed(Reason::HttpNotFound, NOW, 0));
    assert_eq!(stream.failure(), None);

    for mut done in [http, stream] {
        for index in 0..8 {
            arrives(&mut done, index, NOW);
        }
        assert_eq!((done.request(NOW), done.fetch(NOW)), (None, None));
        assert!(!done.is_complete(), "its header is not checked");
        done.done(Done::HeaderAccepted);
        assert!(done.is_complete());
    }
}

#[test]
fn a_job_of_both_sources_starts_with_the_preferred_one_and_continues_with_the_other() {
    let mut stream_first = of_bytes(8 * BLOCK_BYTES, BOTH, false);
    for _ in 0..3 {
        assert_eq!(stream_first.fetch(NOW), None);
        stream_first.stream_rejected(StreamRejectCode::ResourceNotFound, NOW);
    }
    assert_eq!((stream_first.fetch(NOW), stream_first.failure()), (Some(0), None));
    stream_first.fetch_failed(Reason::HttpNotFound, NOW, 0);
    assert_eq!(stream_first.failure(), Some(Reason::HttpNotFound));
    assert_eq!(stream_first.deadline(), None);

    let mut http_first = of_bytes(8 * BLOCK_BYTES, BOTH, true);
    assert_eq!((http_first.request(NOW), http_first.fetch(NOW)), (None, Some(0)));
    http_first.fetch_failed(Reason::HttpNotFound, NOW, 0);
    assert_eq!(http_first.fetch(NOW), None);
    assert!(http_first.request(NOW).is_some());
    http_first.expire(later(300_000));
    assert_eq!(http_first.failure(), Some(Reason::TransferTimedOut));
}

#[test]
fn a_stream_numbers_98_304_blocks_and_a_longer_file_needs_a_server() {
    let most_bytes = 98_304 * BLOCK_BYTES;
    assert!(of_bytes(most_bytes, STREAM, false).request(NOW).is_some());
    assert_eq!(of_bytes(most_bytes + 1, STREAM, false).failure(), Some(Reason::TooManyBlocks));
    assert_eq!(of_bytes(most_bytes + 1, BOTH, false).fetch(NOW), Some(0));
}

#[test]
fn a_failed_body_is_requested_again_after_a_wait_until_the_other_source_or_the_end_of_silence() {
    for (sources, spare) in [(BOTH, true), (HTTP, false)] {
        let mut transfer = of_bytes(8 * BLOCK_BYTES, sources, true);
        let mut now = NOW;
        for wait_ms in [1_000, 2_000, 4_000, 8_000] {
            assert!(!transfer.fetch_failed(Reason::HttpUnreachable, now, 0));
            now = now.plus_ms(wait_ms);
            assert_eq!(transfer.deadline(), Some(now));
            let just_before = Instant::from_ms(now.as_ms() - 1);
            assert_eq!((transfer.fetch(just_before), transfer.fetch(now)), (None, Some(0)));
        }
        transfer.fetch_failed(Reason::HttpUnreachable, now, 0);
        assert_eq!(transfer.request(now).is_some(), spare, "the fifth failure");
        assert_eq!(transfer.failure(), None);
    }
    for (ms, failure) in [(299_999, None), (300_000, Some(Reason::HttpUnreachable))] {
        let mut transfer = transfer(HTTP);
        for _ in 0..5 {
            transfer.fetch_failed(Reason::HttpUnreachable, NOW, 0);
            assert_eq!(transfer.failure(), None);
        }
        transfer.fetch_failed(Reason::HttpUnreachable, later(ms), 0);
        assert_eq!(transfer.failure(), failure, "after {ms} ms");
    }
}

#[test]
fn failures_of_bodies_before_a_block_do_not_count_after_it() {
    let mut transfer = of_bytes(8 * BLOCK_BYTES, BOTH, true);
    for index in 0..2 {
        for _ in 1..FETCHES_MAX {
            transfer.fetch_failed(Reason::HttpUnreachable, NOW, 0);
        }
        arrives(&mut transfer, index, NOW);
    }
    assert_eq!(transfer.fetch(later(60_000)), Some(2 * BLOCK_BYTES), "the other source is not needed");
}

#[test]
fn what_a_retry_cannot_change_ends_http_at_once_and_what_is_not_http_after_five_failures() {
    for reason in [
        Reason::UrlNotAllowed,
        Reason::ImageTooShort,
        Reason::ImageLengthMismatch,
        Reason::HttpNotFound,
        Reason::HttpRangeNotSatisfiable,
        Reason::HttpRangeIgnored,
        Reason::HttpStatus,
        Reason::HttpEncoding,
        Reason::HttpRedirectRefused,
    ] {
        let mut transfer = transfer(HTTP);
        transfer.fetch_failed(reason, NOW, 0);
        assert_eq!(transfer.failure(), Some(reason));
    }
    for (reason, failure) in [
        (Reason::HttpProtocol, Some(Reason::HttpProtocol)),
        (Reason::HttpServerBusy, None),
        (Reason::HttpBodyTooShort, None),
    ] {
        let mut transfer = transfer(HTTP);
        for _ in 0..4 {
            transfer.fetch_failed(reason, NOW, 0);
            assert_eq!(transfer.failure(), None, "{reason:?}");
        }
        transfer.fetch_failed(reason, NOW, 0);
        assert_eq!(transfer.failure(), failure, "{reason:?}");
    }
}

#[test]
fn a_forbidden_url_waits_a_minute_for_a_fresh_one_and_the_second_url_that_is_refused_is_the_last() {
    let mut transfer = transfer(HTTP);
    assert!(transfer.fetch_failed(Reason::HttpForbidden, NOW, 0));
    assert_eq!((transfer.fetch(later(59_999)), transfer.fetch(later(60_000))), (None, Some(0)));
    transfer.document_refreshed(later(100));
    assert_eq!(transfer.fetch(NOW), Some(0));
    arrives(&mut transfer, 0, NOW);
    assert!(transfer.fetch_failed(Reason::HttpForbidden, later(200), 0), "a block arrived from the fresh URL");
    transfer.document_refreshed(later(300));
    assert!(!transfer.fetch_failed(Reason::HttpForbidden, later(400), 0));
    assert_eq!(transfer.failure(), Some(Reason::HttpForbidden));
}

#[test]
fn a_url_that_is_refused_again_before_a_fresh_one_arrives_counts_once() {
    let mut transfer = transfer(HTTP);
    for minutes in 0..4 {
        assert!(transfer.fetch_failed(Reason::HttpForbidden, later(60_000 * minutes), 0), "{minutes}");
    }
    // A request of the old URL is in flight while the fresh one arrives: its refusal does not count.
    transfer.document_refreshed(later(240_000));
    assert!(!transfer.fetch_failed(Reason::HttpForbidden, later(240_100), 0));
    assert_eq!((transfer.failure(), transfer.fetch(later(240_100))), (None, Some(0)));
    assert!(!transfer.fetch_failed(Reason::HttpForbidden, later(240_200), 0), "before the silence is too long");
    assert_eq!(transfer.failure(), Some(Reason::HttpForbidden));
}

#[test]
fn without_a_fresh_url_a_refused_one_fails_once_no_block_has_arrived_for_five_minutes() {
    let mut transfer = transfer(HTTP);
    for minutes in 0..5 {
        transfer.fetch_failed(Reason::HttpForbidden, later(60_000 * minutes), 0);
        assert_eq!(transfer.failure(), None);
    }
    assert!(!transfer.fetch_failed(Reason::HttpForbidden, later(300_000), 0));
    assert_eq!(transfer.failure(), Some(Reason::HttpForbidden));
}

#[test]
fn the_silence_of_the_second_source_begins_with_it() {
    let mut transfer = of_bytes(8 * BLOCK_BYTES, BOTH, true);
    for _ in 0..5 {
        transfer.fetch_failed(Reason::HttpUnreachable, later(400_000), 0);
    }
    transfer.expire(later(400_000));
    assert_eq!(transfer.failure(), None);
    assert!(transfer.request(later(400_000)).is_some(), "the stream is asked");
    transfer.expire(later(699_999));
    assert_eq!(transfer.failure(), None);
    transfer.expire(later(700_000));
    assert_eq!(transfer.failure(), Some(Reason::TransferTimedOut));
}

#[test]
fn three_blocks_of_a_wrong_length_at_one_index_are_another_file_once_its_block_times_out() {
    for (len_bytes, reason) in [(1_023, Reason::ImageTooShort), (1_025, Reason::ImageLengthMismatch)] {
        for (indices, failure) in [([3, 3, 3], Some(reason)), ([3, 3, 4], None), ([4, 3, 3], None)] {
            let mut transfer = transfer(STREAM);
            assert!(transfer.request(NOW).is_some());
            for index in indices {
                assert!(transfer.block(index, len_bytes, NOW).is_err());
            }
            transfer.expire(later(2_999));
            assert_eq!(transfer.failure(), None);
            transfer.expire(later(3_000));
            assert_eq!(transfer.failure(), failure, "{indices:?} of {len_bytes} bytes");
        }
    }
}

#[test]
fn a_silent_stream_fails_after_five_minutes_without_a_block_or_a_connection() {
    let mut transfer = transfer(STREAM);
    assert_eq!(transfer.deadline(), Some(later(300_000)), "nothing is requested");
    transfer.request(NOW);
    assert_eq!(transfer.deadline(), Some(later(3_000)));
    arrives(&mut transfer, 0, later(1));
    transfer.expire(later(300_000));
    assert_eq!(transfer.failure(), None);
    transfer.restart(later(2));
    transfer.expire(later(300_001));
    assert_eq!(transfer.failure(), None);
    transfer.expire(later(300_002));
    assert_eq!(transfer.failure(), Some(Reason::TransferTimedOut));
}

#[test]
fn the_header_goes_before_the_journal_and_that_before_what_can_wait() {
    let mut transfer = of_bytes(200 * BLOCK_BYTES, STREAM, false);
    transfer.done(Done::IdleStepped { more: true });
    assert_eq!(transfer.operation(), Some(Operation::IdleStep { frontier_bytes: 0 }));
    transfer.done(Done::IdleStepped { more: false });
    assert_eq!(transfer.operation(), None);
    for index in 0..63 {
        arrives(&mut transfer, index, NOW);
    }
    assert_eq!(transfer.operation(), Some(Operation::CheckHeader));
    transfer.done(Done::HeaderAccepted);
    let idle_step = |blocks| Some(Operation::IdleStep { frontier_bytes: blocks * BLOCK_BYTES });
    assert_eq!(transfer.operation(), idle_step(63), "63 blocks are less than the journal's interval");
    arrives(&mut transfer, 63, NOW);
    let phase = Phase::Receiving { frontier_bytes: 65_536 };
    assert_eq!(transfer.operation(), Some(Operation::SaveJournal(phase)));
    transfer.done(Done::JournalSaved);
    assert_eq!(transfer.operation(), idle_step(64));
}
