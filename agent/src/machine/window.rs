//! Which blocks to request and which arrived: an in-order frontier with a window ahead of it. Indices and lengths only.
//! Both transports share it: a stream is requested block by block, an HTTP body arrives in order.

use super::rate::{RateEstimator, WINDOW_BLOCKS};
use super::time::Instant;

/// A block counts as lost once one arrived that was requested this many blocks later. RFC 5681 takes three; the blocks of a
/// stream may be read and published in another order.
const OVERTAKEN_BY: u8 = 8;
/// Each block that arrives twice adds one, up to this.
const OVERTAKEN_BY_MAX: u8 = 64;
/// The most that one stream request returns. Source: AWS IoT, MQTT-based file delivery.
const REQUEST_BYTES_MAX: u32 = 131_072;

/// A missing block of the image, of the right length; only [`Window::offer`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    index: u32,
    offset_bytes: u32,
    len_bytes: u32,
}

impl Block {
    /// Offset in bytes from the start of the image.
    pub fn offset_bytes(&self) -> u32 {
        self.offset_bytes
    }

    /// Its length in bytes; only the last block of an image is shorter than the others.
    pub fn len_bytes(&self) -> u32 {
        self.len_bytes
    }
}

/// Why a block is dropped. The job goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockRefusal {
    /// The block is in flash already.
    Duplicate,
    /// The block is outside the image or the window.
    OutOfRange,
    /// No block is awaited.
    NotAwaited,
    /// The length differs from that of a block at this index.
    WrongLength {
        /// Bytes received.
        got: u32,
        /// Bytes expected.
        want: u32,
    },
}

/// A stream request: the blocks of `first..first + 128` whose bit is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRequest {
    /// The lowest block.
    pub first: u32,
    /// How many blocks.
    pub count: u32,
    /// Bit k is block `first + k`; `None` for `count` consecutive blocks.
    pub missing: Option<u128>,
}

/// The state of one block in the window. Two bytes each: the states are the largest part of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BlockState(u16);

impl BlockState {
    /// To be requested: for the first time, or after a timeout or on a new connection.
    const WANTED: Self = Self(0);
    /// To be requested because it was overtaken: it is lost, or very late.
    const OVERTAKEN: Self = Self(4);
    /// In flash.
    const STORED: Self = Self(1);
    const REQUESTED: u16 = 2;
    const AGAIN: u16 = 1;
    const SEQ: u16 = !3;

    /// Requested, as the n-th block of this transfer, modulo 2^14.
    fn requested(self, seq: u16) -> Self {
        Self(seq << 2 | Self::REQUESTED | if self == Self::OVERTAKEN { Self::AGAIN } else { 0 })
    }

    fn is_wanted(self) -> bool {
        self.0 & !Self::SEQ == 0
    }

    fn is_requested(self) -> bool {
        self.0 & Self::REQUESTED != 0
    }

    fn is_again(self) -> bool {
        self.0 & !Self::SEQ == Self::REQUESTED | Self::AGAIN
    }

    /// How many blocks after this one the `seq`-th was requested.
    fn age(self, seq: u16) -> u16 {
        (seq << 2).wrapping_sub(self.0 & Self::SEQ) >> 2
    }

    /// Whether this block was requested at least `by` blocks before `arrived` was. It counts as lost then, because responses
    /// arrive about in the order of the requests. A block that was overtaken may be the response to either request for it,
    /// and overtakes none.
    fn is_overtaken(self, arrived: Self, by: u8) -> bool {
        let first = arrived.0 & !Self::SEQ == Self::REQUESTED;
        first && self.is_requested() && (by.into()..1 << 13).contains(&self.age(arrived.0 >> 2))
    }
}

/// The state of one transfer.
#[derive(Clone, Debug)]
pub struct Window {
    image_bytes: u32,
    block_bytes: u32,
    /// All blocks before this one are in flash.
    frontier: u32,
    /// All blocks before this one survive a reset.
    durable: u32,
    /// All blocks before this one were requested at least once.
    requested: u32,
    states: [BlockState; WINDOW_BLOCKS as usize],
    request_seq: u16,
    overtaken_by: u8,
    rate: RateEstimator,
}

impl Window {
    /// A transfer whose bytes before `frontier_bytes` (rounded down to a block) are in flash already.
    pub fn new(image_bytes: u32, block_bytes: u32, frontier_bytes: u32, start_bytes: u32) -> Self {
        let frontier = frontier_bytes / block_bytes;
        Self {
            image_bytes,
            block_bytes,
            frontier,
            durable: frontier,
            requested: frontier,
            states: [BlockState::WANTED; WINDOW_BLOCKS as usize],
            request_seq: 0,
            overtaken_by: OVERTAKEN_BY,
            rate: RateEstimator::new((start_bytes / block_bytes).clamp(2, WINDOW_BLOCKS)),
        }
    }

    /// Bytes of the whole image.
    pub fn image_bytes(&self) -> u32 {
        self.image_bytes
    }

    /// Blocks of the whole image.
    pub fn blocks(&self) -> u32 {
        self.image_bytes.div_ceil(self.block_bytes)
    }

    /// Blocks before the frontier.
    pub fn blocks_done(&self) -> u32 {
        self.frontier
    }

    /// All bytes before this one are in flash.
    pub fn frontier_bytes(&self) -> u32 {
        self.image_bytes.min(self.frontier.saturating_mul(self.block_bytes))
    }

    /// Whether the whole image is in flash.
    pub fn is_complete(&self) -> bool {
        self.frontier == self.blocks()
    }

    /// Rate and delay of the transfer.
    pub fn rate(&self) -> &RateEstimator {
        &self.rate
    }

    /// Accepts block `index` if it is missing and has the expected length.
    pub fn offer(&mut self, index: u32, len_bytes: u32, now: Instant) -> Result<Block, BlockRefusal> {
        if index < self.frontier {
            return Err(self.duplicate(now));
        }
        if index >= self.blocks() || index - self.frontier >= WINDOW_BLOCKS {
            return Err(BlockRefusal::OutOfRange);
        }
        let offset_bytes = index * self.block_bytes;
        let want = self.block_bytes.min(self.image_bytes - offset_bytes);
        if len_bytes != want {
            return Err(BlockRefusal::WrongLength { got: len_bytes, want });
        }
        let state = *self.state(index);
        if state == BlockState::STORED {
            return Err(self.duplicate(now));
        }
        let by = self.overtaken_by;
        self.mark(BlockState::OVERTAKEN, |other| other.is_overtaken(state, by));
        self.rate.arrived(index, len_bytes, now);
        Ok(Block { index, offset_bytes, len_bytes })
    }

    /// Marks `block` as stored, and moves the frontier to the first block that is not.
    pub fn stored(&mut self, block: Block) {
        *self.state(block.index) = BlockState::STORED;
        self.requested = self.requested.max(block.index + 1);
        while self.frontier < self.blocks() && *self.state(self.frontier) == BlockState::STORED {
            *self.state(self.frontier) = BlockState::WANTED; // the entry is now that of the block one window ahead
            self.frontier += 1;
        }
    }

    /// The next blocks to request, or `None` while enough are outstanding.
    ///
    /// Lost blocks are requested first and at once. New ones are requested when so much of the window is free that the number
    /// of requests stays low.
    pub fn request(&mut self, now: Instant) -> Option<BlockRequest> {
        let paused = self.outstanding() == 0;
        let request = self.lost_blocks().or_else(|| self.new_blocks())?;
        for index in request.indices() {
            self.request_seq = self.request_seq.wrapping_add(1);
            let seq = self.request_seq;
            let state = self.state(index);
            *state = state.requested(seq);
        }
        self.requested = self.requested.max(request.first + request.count);
        self.rate.requested(request.first, paused, now);
        Some(request)
    }

    /// Moves the frontier: all bytes before `frontier_bytes` (rounded down to a block) are in flash already.
    pub(super) fn skip_to(&mut self, frontier_bytes: u32) {
        self.frontier = frontier_bytes / self.block_bytes;
        self.durable = self.frontier;
        self.requested = self.frontier;
    }

    /// Marks all bytes before `frontier_bytes` as durable. Blocks are requested at most a window beyond, so that no
    /// more than a window is received again after a reset.
    pub(super) fn mark_durable(&mut self, frontier_bytes: u32) {
        self.durable = frontier_bytes / self.block_bytes;
    }

    /// Requests the newest of the outstanding blocks again once they time out; returns whether they did. Those before them
    /// are overtaken if they are lost, and not requested twice if they are only late. Source: the probe of RFC 8985, of half
    /// a window so that what is missing behind it is soon found.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let timed_out = self.deadline().is_some_and(|end| end <= now);
        if timed_out {
            for _ in 0..(self.rate.window_blocks() / 2).max(self.overtaken_by.into()) {
                self.mark_newest_lost();
            }
            self.rate.timed_out(now);
        }
        timed_out
    }

    /// Sets the delay to expect, before one is measured.
    pub(super) fn expect_delay(&mut self, ms: u64) {
        self.rate.expect_delay(ms);
    }

    /// Postpones the timeout: a part of a message arrived, which may be a block.
    pub(super) fn incoming(&mut self, now: Instant) {
        self.rate.incoming(now);
    }

    /// Undoes that, unless `counts`: the message is complete.
    pub(super) fn end_message(&mut self, counts: bool) {
        self.rate.end_message(counts);
    }

    /// The download goes on after a pause: what was requested before may still arrive.
    pub(super) fn resume(&mut self, now: Instant) {
        self.rate.resume(now);
    }

    /// Counts silence from now on.
    pub(super) fn worked(&mut self, now: Instant) {
        self.rate.worked(now);
    }

    /// When the outstanding blocks time out.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.rate.timeout_at().filter(|_| self.outstanding() > 0)
    }

    /// Marks all outstanding blocks as lost, after a rejection or a new connection.
    pub fn request_again(&mut self) {
        self.mark(BlockState::WANTED, BlockState::is_requested);
        self.rate.restart();
    }

    /// Blocks that were requested and have not arrived.
    pub fn outstanding(&self) -> u32 {
        self.states.iter().filter(|state| state.is_requested()).count() as u32
    }

    /// Milliseconds that the outstanding blocks take at the peak rate; 0 before a rate is measured.
    pub(super) fn queue_ms(&self) -> u64 {
        u64::from(self.outstanding()) * self.rate.block_ms()
    }

    fn state(&mut self, index: u32) -> &mut BlockState {
        &mut self.states[(index % WINDOW_BLOCKS) as usize]
    }

    /// Marks the blocks as `wanted` whose state is `lost`.
    fn mark(&mut self, wanted: BlockState, lost: impl Fn(BlockState) -> bool) {
        for state in &mut self.states {
            if lost(*state) {
                *state = wanted;
            }
        }
    }

    fn mark_newest_lost(&mut self) {
        let requested = self.states.iter_mut().filter(|state| state.is_requested());
        if let Some(newest) = requested.min_by_key(|state| state.age(self.request_seq)) {
            *newest = BlockState::WANTED;
        }
    }

    /// A block that is in flash arrived: it was not lost when it was requested again, but late.
    fn duplicate(&mut self, now: Instant) -> BlockRefusal {
        self.overtaken_by = OVERTAKEN_BY_MAX.min(self.overtaken_by + 1);
        self.rate.block_arrived(now);
        BlockRefusal::Duplicate
    }

    fn lost_blocks(&mut self) -> Option<BlockRequest> {
        let first = (self.frontier..self.requested).find(|&index| self.state(index).is_wanted())?;
        let (mut missing, mut count, mut end) = (0u128, 0, first);
        for index in first..self.requested {
            if count < self.request_blocks_max() && self.state(index).is_wanted() {
                missing |= 1 << (index - first);
                count += 1;
                end = index + 1;
            }
        }
        let in_a_row = end - first == count;
        Some(BlockRequest { first, count, missing: if in_a_row { None } else { Some(missing) } })
    }

    fn new_blocks(&mut self) -> Option<BlockRequest> {
        let window = self.rate.window_blocks();
        let end = self.blocks().min(self.durable + WINDOW_BLOCKS);
        let outstanding = self.outstanding();
        let room = window.saturating_sub(outstanding).min(end.saturating_sub(self.requested));
        let count = room.min(self.request_blocks_max());
        // While the first missing block is requested again, the end does not move.
        let last = if self.state(self.frontier).is_again() { end.max(self.requested) } else { self.blocks() };
        let fair = self.rate.batch_blocks().clamp(1, self.request_blocks_max()).min(last - self.requested);
        (count > 0 && (count >= fair || outstanding == 0)).then_some(BlockRequest {
            first: self.requested,
            count,
            missing: None,
        })
    }

    fn request_blocks_max(&self) -> u32 {
        (REQUEST_BYTES_MAX / self.block_bytes).clamp(1, WINDOW_BLOCKS)
    }
}

impl BlockRequest {
    /// The requested blocks, lowest first.
    pub fn indices(self) -> impl Iterator<Item = u32> {
        let is_wanted = move |bit: &u32| self.missing.map_or(*bit < self.count, |missing| missing >> bit & 1 == 1);
        (0..WINDOW_BLOCKS).filter(is_wanted).map(move |bit| self.first + bit)
    }
}

#[cfg(test)]
pub(super) mod exhaustive;

#[cfg(test)]
mod tests;
