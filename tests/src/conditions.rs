//! Network conditions: delay, rate, the shares of random faults, and faults of certain messages.

use std::ops::Range;

/// Network conditions. Shares in per cent.
#[derive(Clone, Copy, Debug)]
pub struct NetworkConditions {
    /// Minimum delay of a message.
    pub delay_ms: u64,
    /// What is added to it on the path to the service.
    pub up_delay_ms: u64,
    /// Maximum additional delay.
    pub jitter_ms: u64,
    /// What each direction carries, one message after the other; 0 for no limit.
    pub bytes_per_s: u64,
    /// Lost blocks and lost requests for blocks.
    pub loss: u64,
    /// Blocks, and requests for blocks, with which a burst begins: they and all that follow are lost.
    pub bursts: u64,
    /// The longest burst.
    pub burst_ms: u64,
    /// Duplicated messages.
    pub duplicates: u64,
    /// Reordered blocks.
    pub reorder: u64,
    /// Messages that are followed by a corrupted copy.
    pub garbage: u64,
}

impl NetworkConditions {
    /// No faults.
    pub const IDEAL: NetworkConditions = NetworkConditions {
        delay_ms: 40,
        up_delay_ms: 0,
        jitter_ms: 10,
        bytes_per_s: 256_000,
        loss: 0,
        bursts: 0,
        burst_ms: 0,
        duplicates: 0,
        reorder: 0,
        garbage: 0,
    };

    /// Minimum delay of a request and its response together.
    pub fn round_trip_ms(&self) -> u64 {
        2 * self.delay_ms + self.up_delay_ms
    }

    /// How long `bytes` occupy a direction, in microseconds.
    pub fn transmission_us(&self, bytes: usize) -> u64 {
        (bytes as u64 * 1_000_000).checked_div(self.bytes_per_s).unwrap_or(0)
    }
}

/// Faults of certain messages, which are counted from 0.
#[derive(Clone, Debug, Default)]
pub struct Planned {
    /// These requests for blocks are lost.
    pub lost_requests: Range<u64>,
    /// These blocks are lost.
    pub lost_blocks: Range<u64>,
    /// Every n-th block is lost, from a first one: (n, the first).
    pub lost_every: Option<(u64, u64)>,
    /// Every n-th block arrives behind this many of the next ones: (n, how many).
    pub late: Option<(u64, u64)>,
}
