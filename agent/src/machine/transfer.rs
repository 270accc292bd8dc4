//! The download of one image: the source of its blocks, the operations on flash that it needs, and when it fails. Which
//! blocks are missing is tracked by the window.

use ota_jobs::{Reason, StreamRejectCode};

use super::event::{Done, Operation, Plan};
use super::journal::Phase;
use super::rate::WINDOW_BLOCKS;
use super::time::{Backoff, Instant};
use super::window::{Block, BlockRefusal, BlockRequest, Window};
use super::{AgentConfig, Progress};

/// The most blocks of an image that is streamed. Source: AWS IoT, GetStream, the largest offset `o`.
const STREAM_BLOCKS_MAX: u32 = 98_304;
/// Consecutive refusals, or blocks of a wrong length, before a source fails.
const ERRORS_MAX: u8 = 3;

/// The frontier is saved whenever it has moved this far, or half a window if that is less.
const JOURNAL_EVERY_BYTES: u32 = 65_536;
/// Consecutive HTTP failures before the other source is used. Without another source, HTTP is retried until no block
/// arrived for `silence_ms_max`.
const FETCHES_MAX: u8 = 5;
/// Responses 403 before HTTP fails: one to the first URL, and one to the URL of a fresh document.
const FORBIDDEN_MAX: u8 = 2;
/// How long to wait for a fresh document before the old URL is tried again.
const FRESH_DOCUMENT_MS: u64 = 60_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Stream,
    Http,
    /// Every source failed.
    Failed(Reason),
}

/// Consecutive blocks of a wrong length at one index: the file is not the one that was announced.
#[derive(Clone, Copy, Debug)]
struct WrongLengthStreak {
    index: u32,
    count: u8,
    reason: Reason,
}

#[derive(Clone, Debug)]
pub(super) struct Transfer {
    window: Window,
    journal_every_bytes: u32,
    source: Source,
    /// The source to use when this one fails.
    spare: Option<Source>,
    silence_ms_max: u64,
    /// When the last block was accepted, or, if later, the download or the connection started.
    quiet_since: Instant,
    /// Stream requests that were rejected since the last accepted block.
    refusals: u8,
    wrong_length: Option<WrongLengthStreak>,
    fetch_failures: u8,
    forbidden: u8,
    /// No HTTP request is sent before this instant.
    fetch_at: Instant,
    backoff: Backoff,
    header_checked: bool,
    journaled_bytes: u32,
    /// Whether a step of erasing or hashing is due.
    idle_steps: bool,
}

impl Transfer {
    pub(super) fn new(config: &AgentConfig, plan: Plan) -> Self {
        let window = Window::new(plan.image_bytes, config.block_bytes, 0, config.window_bytes_start);
        let (source, spare) = sources(config, plan, window.blocks());
        Self {
            window,
            journal_every_bytes: JOURNAL_EVERY_BYTES.min(WINDOW_BLOCKS / 2 * config.block_bytes),
            source,
            spare,
            silence_ms_max: config.silence_ms_max,
            quiet_since: Instant::default(),
            refusals: 0,
            wrong_length: None,
            fetch_failures: 0,
            forbidden: 0,
            fetch_at: Instant::default(),
            backoff: Backoff::new(),
            header_checked: false,
            journaled_bytes: 0,
            idle_steps: true,
        }
    }

    /// Starts with all bytes before `frontier_bytes` in flash.
    pub(super) fn begin(&mut self, frontier_bytes: u32, now: Instant) {
        self.window.skip_to(frontier_bytes);
        self.journaled_bytes = frontier_bytes;
        self.quiet_since = now;
    }

    /// Requests the outstanding blocks again after a reconnection: they do not arrive any more.
    pub(super) fn restart(&mut self, now: Instant) {
        self.window.request_again();
        self.quiet_since = now;
    }

    pub(super) fn is_complete(&self) -> bool {
        self.window.is_complete() && self.header_checked
    }

    /// The reason of the last source that failed, once all have.
    pub(super) fn failure(&self) -> Option<Reason> {
        match self.source {
            Source::Failed(reason) => Some(reason),
            Source::Stream | Source::Http => None,
        }
    }

    /// Blocks in flash without a gap, and blocks of the image.
    pub(super) fn blocks(&self) -> (u32, u32) {
        (self.window.blocks_done(), self.window.blocks())
    }

    pub(super) fn done_bytes(&self) -> u32 {
        self.window.frontier_bytes()
    }

    pub(super) fn progress(&self) -> Option<Progress> {
        let done_bytes = self.window.frontier_bytes();
        let total_bytes = self.window.image_bytes();
        let rate_bytes_per_s = self.window.rate().rate_bytes_per_s();
        let left_ms = u64::from(total_bytes - done_bytes) * 1_000;
        (total_bytes > 0).then_some(Progress {
            total_bytes,
            done_bytes,
            blocks: self.window.blocks_done(),
            rate_bytes_per_s,
            left_ms: left_ms.checked_div(rate_bytes_per_s.into()),
        })
    }

    // Blocks.

    /// Accepts a block that is missing.
    pub(super) fn block(&mut self, index: u32, len_bytes: u32, now: Instant) -> Option<Block> {
        match self.window.offer(index, len_bytes, now) {
            Ok(block) => {
                self.quiet_since = now;
                self.refusals = 0;
                self.wrong_length = None;
                self.fetch_failures = 0;
                self.forbidden = 0;
                self.backoff.reset();
                Some(block)
            }
            Err(BlockRefusal::WrongLength { got, want }) => {
                let reason = if got < want { Reason::ImageTooShort } else { Reason::ImageLengthMismatch };
                let streak = self.wrong_length.filter(|streak| streak.index == index);
                let count = streak.map_or(1, |streak| streak.count.saturating_add(1));
                self.wrong_length = Some(WrongLengthStreak { index, count, reason });
                None
            }
            Err(BlockRefusal::Duplicate | BlockRefusal::OutOfRange) => None,
        }
    }

    pub(super) fn request(&mut self, now: Instant) -> Option<BlockRequest> {
        (self.source == Source::Stream && !self.window.is_complete()).then(|| self.window.request(now)).flatten()
    }

    pub(super) fn stream_rejected(&mut self, code: StreamRejectCode) {
        let reason = match code {
            StreamRejectCode::ResourceNotFound => Reason::StreamNotFound,
            StreamRejectCode::OffsetOutOfBounds => Reason::ImageTooShort,
            StreamRejectCode::InternalError => return, // transient: the blocks are requested again after a timeout
            _ => Reason::StreamRefused,
        };
        if self.source == Source::Stream {
            self.refusals = self.refusals.saturating_add(1);
            self.window.request_again();
            if self.refusals >= ERRORS_MAX {
                self.switch_source(reason);
            }
        }
    }

    // HTTP.

    pub(super) fn fetch(&self, now: Instant) -> Option<u32> {
        let wanted = self.source == Source::Http && self.fetch_at <= now && !self.window.is_complete();
        wanted.then(|| self.window.frontier_bytes())
    }

    /// Takes a failed fetch, and returns whether a fresh document is needed; the next fetch waits for it.
    pub(super) fn fetch_failed(&mut self, reason: Reason, now: Instant, random: u32) -> bool {
        if self.source != Source::Http {
            return false;
        }
        if reason == Reason::HttpForbidden {
            self.forbidden += 1;
            self.fetch_at = now.plus_ms(FRESH_DOCUMENT_MS);
        } else {
            self.fetch_failures = self.fetch_failures.saturating_add(1);
            self.fetch_at = now.plus_ms(self.backoff.next_wait_ms(random));
        }
        let given_up = match reason {
            // A retry would get the same answer.
            Reason::HttpNotFound
            | Reason::HttpRangeNotSatisfiable
            | Reason::HttpRangeIgnored
            | Reason::HttpStatus
            | Reason::HttpEncoding
            | Reason::HttpRedirectRefused
            | Reason::ImageTooShort
            | Reason::ImageLengthMismatch
            | Reason::UrlNotAllowed => true,
            Reason::HttpForbidden => self.forbidden >= FORBIDDEN_MAX,
            _ if self.fetch_failures < FETCHES_MAX => false,
            Reason::HttpProtocol => true,
            _ => self.spare.is_some() || now.since(self.quiet_since) >= self.silence_ms_max,
        };
        if given_up {
            self.switch_source(reason);
        }
        reason == Reason::HttpForbidden && self.source == Source::Http
    }

    /// A fresh document with its URL arrived.
    pub(super) fn document_refreshed(&mut self) {
        self.fetch_at = Instant::default();
    }

    // The platform.

    /// The most urgent operation besides the write of a block.
    pub(super) fn operation(&self) -> Option<Operation> {
        let frontier_bytes = self.window.frontier_bytes();
        if !self.header_checked && (self.window.blocks_done() > 0 || self.window.is_complete()) {
            Some(Operation::CheckHeader)
        } else if frontier_bytes - self.journaled_bytes >= self.journal_every_bytes {
            Some(Operation::SaveJournal(Phase::Receiving { frontier_bytes }))
        } else {
            self.idle_steps.then_some(Operation::IdleStep { frontier_bytes })
        }
    }

    /// Takes the result of an operation; the frontier has not moved since it was handed out.
    pub(super) fn done(&mut self, done: Done) {
        match done {
            Done::Written(block) => {
                self.window.stored(block);
                self.idle_steps = true;
            }
            Done::HeaderAccepted => self.header_checked = true,
            Done::JournalSaved => {
                self.journaled_bytes = self.window.frontier_bytes();
                self.window.mark_durable(self.journaled_bytes);
            }
            Done::IdleStepped { more } => self.idle_steps = more,
            _ => {} // a failure ends the job, in the transition table
        }
    }

    // Time.

    pub(super) fn expire(&mut self, now: Instant) {
        if self.source != Source::Stream {
            return;
        }
        if self.window.expire(now)
            && let Some(streak) = self.wrong_length
            && streak.count >= ERRORS_MAX
        {
            self.switch_source(streak.reason);
        }
        if now.since(self.quiet_since) >= self.silence_ms_max {
            self.switch_source(Reason::TransferTimedOut);
            self.quiet_since = now;
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.source {
            Source::Stream => {
                let end = self.quiet_since.plus_ms(self.silence_ms_max);
                Some(self.window.deadline().map_or(end, |timeout| timeout.min(end)))
            }
            Source::Http => Some(self.fetch_at), // an open body has a timeout of its own
            Source::Failed(_) => None,
        }
    }

    /// Continues with the other source, if there is one.
    fn switch_source(&mut self, reason: Reason) {
        self.source = self.spare.take().unwrap_or(Source::Failed(reason));
    }
}

fn sources(config: &AgentConfig, plan: Plan, blocks: u32) -> (Source, Option<Source>) {
    let stream = plan.sources.stream && blocks <= STREAM_BLOCKS_MAX;
    match (stream, plan.sources.http) {
        (true, true) if config.prefer_http => (Source::Http, Some(Source::Stream)),
        (true, true) => (Source::Stream, Some(Source::Http)),
        (true, false) => (Source::Stream, None),
        (false, true) => (Source::Http, None),
        (false, false) => (Source::Failed(Reason::TooManyBlocks), None),
    }
}

#[cfg(test)]
mod exhaustive;

#[cfg(test)]
mod tests {
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
        let mut transfer = Transfer::new(&config, Plan { image_bytes, fingerprint: 0, sources });
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
                transfer.stream_rejected(code);
                transfer.stream_rejected(code);
                assert_eq!(transfer.failure(), None, "{code:?}");
                assert_eq!(transfer.request(NOW).is_some(), reason.is_some(), "{code:?}: requested again at once");
                arrives(&mut transfer, index, NOW);
            }
            for refusal in 1..=3 {
                transfer.stream_rejected(code);
                assert_eq!(transfer.failure(), reason.filter(|_| refusal == 3), "{code:?}");
            }
        }
    }

    #[test]
    fn blocks_are_requested_of_a_stream_and_bodies_of_a_server() {
        let mut http = transfer(HTTP);
        assert_eq!((http.request(NOW), http.fetch(NOW)), (None, Some(0)));
        http.stream_rejected(StreamRejectCode::ResourceNotFound);
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
            stream_first.stream_rejected(StreamRejectCode::ResourceNotFound);
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
    fn a_forbidden_url_waits_a_minute_for_a_fresh_one_and_the_second_refusal_is_the_last() {
        let mut transfer = transfer(HTTP);
        assert!(transfer.fetch_failed(Reason::HttpForbidden, NOW, 0));
        assert_eq!((transfer.fetch(later(59_999)), transfer.fetch(later(60_000))), (None, Some(0)));
        transfer.document_refreshed();
        assert_eq!(transfer.fetch(NOW), Some(0));
        arrives(&mut transfer, 0, NOW);
        assert!(transfer.fetch_failed(Reason::HttpForbidden, NOW, 0), "a block arrived from the fresh URL");
        assert!(!transfer.fetch_failed(Reason::HttpForbidden, NOW, 0));
        assert_eq!(transfer.failure(), Some(Reason::HttpForbidden));
    }

    #[test]
    fn three_blocks_of_a_wrong_length_at_one_index_are_another_file_once_its_block_times_out() {
        for (len_bytes, reason) in [(1_023, Reason::ImageTooShort), (1_025, Reason::ImageLengthMismatch)] {
            for (indices, failure) in [([3, 3, 3], Some(reason)), ([3, 3, 4], None), ([4, 3, 3], None)] {
                let mut transfer = transfer(STREAM);
                assert!(transfer.request(NOW).is_some());
                for index in indices {
                    assert_eq!(transfer.block(index, len_bytes, NOW), None);
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
}
