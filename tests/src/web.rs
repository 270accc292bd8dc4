//! The HTTP server, one body at a time: when its parts arrive, and how it fails. The HTTP protocol itself is tested with the
//! client, in the agent; here bodies are as the client returns them.

use std::ops::Range;
use std::rc::Rc;

use ota_agent::transport;
use ota_jobs::Reason;

use crate::conditions::NetworkConditions;
use crate::rng::Rng;

/// A part of a body.
#[derive(Clone, Debug)]
pub enum Part {
    /// A block.
    Block {
        /// Its number.
        index: u32,
        /// The file that it is of.
        file: Rc<[u8]>,
        /// Its bytes in the file.
        bytes: Range<usize>,
    },
    /// The body ends early, or there is none.
    Failed(Reason),
    /// All blocks have arrived.
    Over,
}

/// Behaviour of the server.
#[derive(Clone, Debug, Default)]
pub struct Web {
    /// Share of bodies that end early, in per cent.
    pub failures: u64,
    /// Every body fails with this reason.
    pub always: Option<Reason>,
    /// The next bodies fail with these reasons, one after another.
    pub next: Vec<Reason>,
    /// URLs are refused as expired until the service has sent this number of documents.
    pub expired_before_document: u32,
    /// The next body ends after this percentage of its blocks, and every later one fails with this reason.
    pub cut_at_percent: Option<(u64, Reason)>,
}

/// Time after which a silent server is given up; the pump's own timeout.
const SILENCE_MS: u64 = 10_000;
/// Failures of a body, as the client reports them.
const ACCIDENTS: [Reason; 4] =
    [Reason::HttpUnreachable, Reason::HttpBodyTooShort, Reason::HttpServerBusy, Reason::HttpProtocol];

impl Web {
    /// The parts of a body that is requested now, and after how many milliseconds each arrives, over a network in these
    /// `conditions` and after the service has sent so many `documents`. `file` is `None` if there is no such URL.
    pub fn body(
        &mut self,
        file: Option<Rc<[u8]>>,
        range: transport::Range,
        (conditions, documents): (&NetworkConditions, u32),
        rng: &mut Rng,
    ) -> Vec<(u64, Part)> {
        let delay_ms = conditions.round_trip_ms();
        if documents < self.expired_before_document {
            return vec![(delay_ms, Part::Failed(Reason::HttpForbidden))];
        }
        let Some(file) = file else { return vec![(delay_ms, Part::Failed(Reason::HttpNotFound))] };
        let planned = if self.next.is_empty() { self.always } else { Some(self.next.remove(0)) };
        let total = file.len() as u64;
        let refusal = match planned {
            Some(reason) => Some(reason),
            // As the client reports it: Content-Range has the file's true length.
            None if total < u64::from(range.image_bytes) => Some(Reason::ImageTooShort),
            None if total > u64::from(range.image_bytes) => Some(Reason::ImageLengthMismatch),
            None => None,
        };
        if let Some(reason) = refusal {
            return vec![(delay_ms, Part::Failed(reason))];
        }
        let mut parts = whole(&file, range, conditions);
        if let Some((percent, reason)) = self.cut_at_percent.take() {
            parts.truncate(parts.len() * percent as usize / 100);
            self.always = Some(reason);
            let last_ms = parts.last().map_or(delay_ms, |(at_ms, _)| *at_ms);
            parts.push((last_ms, Part::Failed(Reason::HttpBodyTooShort)));
        }
        if rng.percent(self.failures) {
            parts.truncate(rng.below(parts.len() as u64) as usize);
            let reason = rng.pick(&ACCIDENTS);
            let silence_ms = if reason == Reason::HttpUnreachable { SILENCE_MS } else { 0 };
            let last_ms = parts.last().map_or(delay_ms, |(at_ms, _)| *at_ms);
            parts.push((last_ms + silence_ms, Part::Failed(reason)));
        }
        parts
    }
}

fn whole(file: &Rc<[u8]>, range: transport::Range, conditions: &NetworkConditions) -> Vec<(u64, Part)> {
    let block = range.block_bytes as usize;
    let starts = (range.from_bytes as usize..range.image_bytes as usize).step_by(block);
    let delay_ms = conditions.round_trip_ms();
    let blocks = starts.map(|from| {
        let bytes = from..file.len().min(from + block);
        let after_ms = conditions.transmission_us(bytes.end - range.from_bytes as usize).div_ceil(1_000);
        (delay_ms + after_ms, Part::Block { index: (from / block) as u32, file: file.clone(), bytes })
    });
    let mut parts: Vec<(u64, Part)> = blocks.collect();
    let last_ms = parts.last().map_or(delay_ms, |(at_ms, _)| *at_ms);
    parts.push((last_ms, Part::Over));
    parts
}
