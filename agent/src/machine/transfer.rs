//! The download of one image: where its bytes come from, what the platform has to do with them, and when to give up.
//! Which blocks are missing is the window's knowledge.

use ota_jobs::{Reason, StreamRejectCode};

use super::event::{Done, Plan};
use super::time::{Backoff, Instant};
use super::window::{Block, BlockRefusal, BlockRequest, WINDOW_BLOCKS, Window};
use super::{Config, Progress};

/// The last block that a stream request can name. Source: AWS IoT, GetStream, offset `o`.
const STREAM_BLOCKS_MAX: u32 = 98_304;
/// One refusal or one block of a wrong length may be an accident; three in a row, without a good block between, are not.
const ACCIDENTS_MAX: u8 = 3;

/// Progress is made durable whenever the frontier moved this far, or half a window where that is less.
const JOURNAL_EVERY_BYTES: u32 = 65_536;
/// Failures of HTTP in a row without a block before the other source is tried, where there is one. Where there is none,
/// the server is waited for as long as a silent stream is.
const FETCHES_MAX: u8 = 5;
/// Servers that forbid what the document named: the second time with the URL of a fresh document.
const FORBIDDEN_MAX: u8 = 2;
/// How long a fresh document is waited for before the old URL is tried again.
const FRESH_DOCUMENT_MS: u64 = 60_000;

/// Work for the platform while blocks come in, most urgent first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Chore {
    Write(Block),
    CheckHeader,
    Journal { frontier_bytes: u32 },
    EraseAhead,
    HashAhead { frontier_bytes: u32 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Stream,
    Http,
    /// None is left.
    Failed(Reason),
}

/// A block that came with a wrong length, again and again without a good one between: the file is not what was announced.
#[derive(Clone, Copy, Debug)]
struct Misfit {
    index: u32,
    count: u8,
    reason: Reason,
}

#[derive(Clone, Debug)]
pub(super) struct Transfer {
    window: Window,
    journal_every_bytes: u32,
    source: Source,
    /// The source to turn to when this one fails.
    spare: Option<Source>,
    silence_ms_max: u64,
    quiet_since: Instant,
    /// Refusals since the last good block.
    refusals: u8,
    misfit: Option<Misfit>,
    fetch_failures: u8,
    forbidden: u8,
    fetch_at: Instant,
    backoff: Backoff,
    chore: Option<Chore>,
    pending: Option<Block>,
    header_checked: bool,
    journaled_bytes: u32,
    erase_more: bool,
    hash_more: bool,
}

impl Transfer {
    pub(super) fn new(config: &Config, plan: Plan) -> Self {
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
            misfit: None,
            fetch_failures: 0,
            forbidden: 0,
            fetch_at: Instant::default(),
            backoff: Backoff::new(),
            chore: None,
            pending: None,
            header_checked: false,
            journaled_bytes: 0,
            erase_more: true,
            hash_more: true,
        }
    }

    /// A slot is taken, and holds all bytes before the frontier.
    pub(super) fn begin(&mut self, frontier_bytes: u32, now: Instant) {
        self.window.skip_to(frontier_bytes);
        self.journaled_bytes = frontier_bytes;
        self.quiet_since = now;
    }

    /// A new connection: what was asked for on the old one does not come any more.
    pub(super) fn start_over(&mut self, now: Instant) {
        self.window.ask_again();
        self.quiet_since = now;
    }

    pub(super) fn is_complete(&self) -> bool {
        self.window.is_complete() && self.header_checked
    }

    /// Why no source is left, once none is.
    pub(super) fn failure(&self) -> Option<Reason> {
        match self.source {
            Source::Failed(reason) => Some(reason),
            Source::Stream | Source::Http => None,
        }
    }

    pub(super) fn blocks(&self) -> (u32, u32) {
        (self.window.blocks_done(), self.window.blocks())
    }

    pub(super) fn progress(&self) -> Option<Progress> {
        let done_bytes = self.window.frontier_bytes();
        let total_bytes = self.window.image_bytes();
        let rate_bytes_per_s = self.window.pace().rate_bytes_per_s();
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

    /// A block lies in the receive buffer. It is taken only while nothing else is under way: the buffer is one block.
    pub(super) fn block(&mut self, index: u32, len_bytes: u32, busy: bool, now: Instant) {
        if busy || self.pending.is_some() {
            return;
        }
        match self.window.offer(index, len_bytes, now) {
            Ok(block) => {
                self.pending = Some(block);
                self.quiet_since = now;
                self.refusals = 0;
                self.misfit = None;
                self.fetch_failures = 0;
                self.forbidden = 0;
                self.backoff.reset();
            }
            Err(BlockRefusal::WrongLength { got, want }) => {
                let reason = if got < want { Reason::ImageTooShort } else { Reason::ImageLengthMismatch };
                let before = self.misfit.filter(|misfit| misfit.index == index).map_or(0, |misfit| misfit.count);
                self.misfit = Some(Misfit { index, count: before.saturating_add(1), reason });
            }
            Err(BlockRefusal::Duplicate | BlockRefusal::OutOfRange) => {}
        }
    }

    pub(super) fn request(&mut self, now: Instant) -> Option<BlockRequest> {
        (self.source == Source::Stream && !self.window.is_complete()).then(|| self.window.request(now)).flatten()
    }

    pub(super) fn stream_rejected(&mut self, code: StreamRejectCode) {
        let reason = match code {
            StreamRejectCode::ResourceNotFound => Reason::StreamNotFound,
            StreamRejectCode::OffsetOutOfBounds => Reason::ImageTooShort,
            StreamRejectCode::InternalError => return, // passes; the blocks are asked for again after a silence
            _ => Reason::StreamRefused,
        };
        if self.source == Source::Stream {
            self.refusals = self.refusals.saturating_add(1);
            self.window.ask_again();
            if self.refusals >= ACCIDENTS_MAX {
                self.turn_away(reason);
            }
        }
    }

    // HTTP.

    pub(super) fn fetch(&self, now: Instant) -> Option<u32> {
        let wanted = self.source == Source::Http && self.fetch_at <= now && !self.window.is_complete();
        wanted.then(|| self.window.frontier_bytes())
    }

    /// Returns whether a fresh URL may help; it is waited for then.
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
            // The answer of a server that works: asking again changes nothing.
            Reason::HttpNotFound
            | Reason::HttpRangeNotSatisfiable
            | Reason::HttpRangeIgnored
            | Reason::UrlNotAllowed => true,
            Reason::HttpForbidden => self.forbidden >= FORBIDDEN_MAX,
            _ if self.fetch_failures < FETCHES_MAX => false,
            _ => self.spare.is_some() || now.since(self.quiet_since) >= self.silence_ms_max,
        };
        if given_up {
            self.turn_away(reason);
        }
        reason == Reason::HttpForbidden && self.source == Source::Http
    }

    /// The document came again, and its URL with it.
    pub(super) fn document_is_fresh(&mut self) {
        self.fetch_at = Instant::default();
    }

    // The platform.

    pub(super) fn operation(&mut self) -> Option<Chore> {
        let frontier_bytes = self.window.frontier_bytes();
        let chore = if let Some(block) = self.pending {
            Chore::Write(block)
        } else if !self.header_checked && (self.window.blocks_done() > 0 || self.window.is_complete()) {
            Chore::CheckHeader
        } else if frontier_bytes - self.journaled_bytes >= self.journal_every_bytes {
            Chore::Journal { frontier_bytes }
        } else if self.erase_more {
            Chore::EraseAhead
        } else if self.hash_more {
            Chore::HashAhead { frontier_bytes }
        } else {
            return None;
        };
        self.chore = Some(chore);
        Some(chore)
    }

    pub(super) fn done(&mut self, done: Done) {
        match (self.chore.take(), done) {
            (Some(Chore::Write(block)), Done::Written(_)) => {
                self.pending = None;
                self.window.stored(block);
                self.erase_more = true;
                self.hash_more = true;
            }
            (Some(Chore::CheckHeader), Done::HeaderFits) => self.header_checked = true,
            (Some(Chore::Journal { frontier_bytes }), Done::Journaled) => {
                self.journaled_bytes = frontier_bytes;
                self.window.keep(frontier_bytes);
            }
            (Some(Chore::EraseAhead), Done::Ahead(more)) => self.erase_more = more,
            (Some(Chore::HashAhead { .. }), Done::Ahead(more)) => self.hash_more = more,
            _ => {} // a failure ends the job, in the table
        }
    }

    // Time.

    pub(super) fn expire(&mut self, now: Instant) {
        if self.source != Source::Stream {
            return;
        }
        if self.window.expire(now)
            && let Some(misfit) = self.misfit
            && misfit.count >= ACCIDENTS_MAX
        {
            self.turn_away(misfit.reason);
        }
        if now.since(self.quiet_since) >= self.silence_ms_max {
            self.turn_away(Reason::TransferTimedOut);
            self.quiet_since = now;
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.source {
            Source::Stream => {
                let end = self.quiet_since.plus_ms(self.silence_ms_max);
                Some(self.window.deadline().map_or(end, |patience| patience.min(end)))
            }
            Source::Http => Some(self.fetch_at), // a body that is open has its own clock
            Source::Failed(_) => None,
        }
    }

    /// This source does not work: the other one goes on where it stopped, if there is one.
    fn turn_away(&mut self, reason: Reason) {
        self.source = self.spare.take().unwrap_or(Source::Failed(reason));
    }
}

fn sources(config: &Config, plan: Plan, blocks: u32) -> (Source, Option<Source>) {
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
mod theorems;
