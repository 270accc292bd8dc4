//! The download of one image: the source of its blocks, the operations on flash that it needs, and when it fails. Which
//! blocks are missing is tracked by the window.

use core::mem;

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
/// arrived for `silence_ms_max`, unless the responses are not HTTP.
const FETCHES_MAX: u8 = 5;
/// URLs that are refused with 403 before HTTP fails: the first one, and that of a fresh document.
const FORBIDDEN_MAX: u8 = 2;
/// How long to wait for a fresh document before the old URL is tried again, which does not count.
const FRESH_DOCUMENT_MS: u64 = 60_000;

/// How long without a block until the connection may be dead.
const QUIET_MS: u64 = 1_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Stream,
    Http,
    /// Every source failed.
    Failed(Reason),
}

/// What the next response 403 is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum UrlAge {
    /// A URL that was not refused yet.
    Fresh,
    /// Perhaps the URL before the fresh one: a request of it may have been in flight when that arrived.
    Replaced,
    /// A URL that was refused before.
    Refused,
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
    /// Whether a whole message that was no block has postponed the timeouts since the last block.
    postponed: bool,
    /// Stream requests that were rejected since the last accepted block.
    refusals: u8,
    wrong_length: Option<WrongLengthStreak>,
    fetch_failures: u8,
    forbidden: u8,
    url: UrlAge,
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
            postponed: false,
            refusals: 0,
            wrong_length: None,
            fetch_failures: 0,
            forbidden: 0,
            url: UrlAge::Fresh,
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

    /// Sets the delay to expect of the first response: that of another message of the service.
    pub(super) fn expect_delay(&mut self, ms: u64) {
        self.window.expect_delay(ms);
    }

    /// Milliseconds that the requested blocks take, and that a response of the service therefore waits.
    pub(super) fn queue_ms(&self) -> u64 {
        self.window.queue_ms()
    }

    /// Requests the outstanding blocks again after a reconnection: they do not arrive any more.
    pub(super) fn restart(&mut self, now: Instant) {
        self.window.end_message(false); // the rest of a message does not arrive any more, either
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
    pub(super) fn block(&mut self, index: u32, len_bytes: u32, now: Instant) -> Result<Block, BlockRefusal> {
        let block = self.window.offer(index, len_bytes, now);
        match block {
            Ok(_) => {
                self.quiet_since = now;
                self.postponed = false;
                self.refusals = 0;
                self.wrong_length = None;
                self.fetch_failures = 0;
                self.forbidden = 0;
                self.backoff.reset();
            }
            Err(BlockRefusal::WrongLength { got, want }) => {
                let reason = if got < want { Reason::ImageTooShort } else { Reason::ImageLengthMismatch };
                let streak = self.wrong_length.filter(|streak| streak.index == index);
                let count = streak.map_or(1, |streak| streak.count.saturating_add(1));
                self.wrong_length = Some(WrongLengthStreak { index, count, reason });
            }
            Err(BlockRefusal::Duplicate | BlockRefusal::OutOfRange | BlockRefusal::NotAwaited) => {}
        }
        block
    }

    pub(super) fn request(&mut self, now: Instant) -> Option<BlockRequest> {
        (self.source == Source::Stream && !self.window.is_complete()).then(|| self.window.request(now)).flatten()
    }

    /// A part of a message arrived: a block takes long on a slow link, and only silence is counted.
    pub(super) fn incoming(&mut self, now: Instant) {
        if self.source == Source::Stream {
            self.window.incoming(now);
        }
    }

    /// The device worked until now, and could not receive.
    pub(super) fn worked(&mut self, now: Instant) {
        self.quiet_since = now;
        self.window.worked(now);
    }

    /// A message is complete. If it is no block, its parts postponed the timeouts wrongly: that counts once, since the block
    /// may be behind it, and is undone from then on, since the block may be lost.
    pub(super) fn received(&mut self) {
        let Some(at) = self.window.rate().part_at() else { return };
        let counts = !mem::replace(&mut self.postponed, true);
        if counts {
            self.quiet_since = self.quiet_since.max(at);
        }
        self.window.end_message(counts);
    }

    /// Since when no part of a block has arrived.
    fn quiet_since(&self) -> Instant {
        self.quiet_since.max(self.window.rate().part_at().unwrap_or_default())
    }

    /// The download goes on after it was suspended. What was requested before may still arrive.
    pub(super) fn resume(&mut self, now: Instant) {
        self.quiet_since = now;
        self.window.resume(now);
    }

    pub(super) fn stream_rejected(&mut self, code: StreamRejectCode, now: Instant) {
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
                self.switch_source(reason, now);
            }
        }
    }

    /// Whether no block has arrived for a while.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        now.since(self.quiet_since()) >= QUIET_MS
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
            match mem::replace(&mut self.url, UrlAge::Refused) {
                UrlAge::Fresh => self.forbidden += 1,
                UrlAge::Replaced => {
                    self.url = UrlAge::Fresh;
                    return false; // the fresh one is next
                }
                UrlAge::Refused => {}
            }
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
            Reason::HttpForbidden if self.forbidden >= FORBIDDEN_MAX => true,
            Reason::HttpForbidden => now.since(self.quiet_since) >= self.silence_ms_max,
            _ if self.fetch_failures < FETCHES_MAX => false,
            Reason::HttpProtocol => true,
            _ => self.spare.is_some() || now.since(self.quiet_since) >= self.silence_ms_max,
        };
        if given_up {
            self.switch_source(reason, now);
        }
        reason == Reason::HttpForbidden && self.source == Source::Http
    }

    /// A fresh document with its URL arrived.
    pub(super) fn document_refreshed(&mut self, now: Instant) {
        self.url = if self.fetch_at <= now { UrlAge::Replaced } else { UrlAge::Fresh };
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
            self.switch_source(streak.reason, now);
        }
        if now.since(self.quiet_since()) >= self.silence_ms_max {
            self.switch_source(Reason::TransferTimedOut, now);
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.source {
            Source::Stream => {
                let end = self.quiet_since().plus_ms(self.silence_ms_max);
                Some(self.window.deadline().map_or(end, |timeout| timeout.min(end)))
            }
            Source::Http => Some(self.fetch_at), // an open body has a timeout of its own
            Source::Failed(_) => None,
        }
    }

    /// Continues with the other source, if there is one; its silence begins now.
    fn switch_source(&mut self, reason: Reason, now: Instant) {
        self.quiet_since = now;
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
mod tests;
