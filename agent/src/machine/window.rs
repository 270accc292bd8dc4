//! Which blocks to ask for, and which arrived: an in-order frontier with a window ahead of it.
//! Indices and lengths only, the bytes never come here. Both transports share it: a stream is asked block by block,
//! an HTTP body simply arrives in order.

use super::pace::Pace;
use super::time::Instant;

/// Blocks that may be on their way at once.
pub const WINDOW_BLOCKS: u32 = 128;
/// A block that this many later ones overtook is taken for lost. Source: the three duplicate acknowledgements of RFC 5681.
const OVERTAKEN_BY: u16 = 3;
/// The service answers at most this much to one request. Source: AWS IoT, MQTT-based file delivery.
const REQUEST_BYTES_MAX: u32 = 131_072;

/// A block that lies inside its image and is still missing; only [`Window::offer`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    index: u32,
    offset_bytes: u32,
    len_bytes: u32,
}

impl Block {
    /// Where it belongs, in bytes from the start of the image.
    pub fn offset_bytes(&self) -> u32 {
        self.offset_bytes
    }

    /// Its length in bytes; only the last block of an image is shorter than the others.
    pub fn len_bytes(&self) -> u32 {
        self.len_bytes
    }
}

/// Why a block is not taken. It costs that block, never the job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlockRefusal {
    /// It is in flash already.
    Duplicate,
    /// The image ends before it, or the window does.
    OutOfRange,
    /// Not as long as a block at this place is.
    WrongLength {
        /// Bytes that came.
        got: u32,
        /// Bytes that a block here has.
        want: u32,
    },
}

/// Blocks to ask the stream for: those of `first..first + 128` whose bit is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockRequest {
    /// The lowest block that is wanted.
    pub first: u32,
    /// How many are wanted.
    pub count: u32,
    /// Bit k stands for block `first + k`; `None` when they are `count` in a row.
    pub missing: Option<u128>,
}

/// What is known of one place in the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// To be asked for: never was, or the answer got lost.
    Wanted,
    /// Asked for; the stamp counts the blocks that were asked for before it.
    Asked(u16),
    /// In flash.
    Stored,
}

/// The state of one transfer.
#[derive(Clone, Debug)]
pub struct Window {
    image_bytes: u32,
    block_bytes: u32,
    /// All blocks before this one are in flash.
    frontier: u32,
    /// All blocks before this one are there after a reset, too.
    durable: u32,
    /// All blocks before this one were asked for at least once.
    asked: u32,
    places: [Place; WINDOW_BLOCKS as usize],
    stamp: u16,
    pace: Pace,
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
            asked: frontier,
            places: [Place::Wanted; WINDOW_BLOCKS as usize],
            stamp: 0,
            pace: Pace::new((start_bytes / block_bytes).clamp(2, WINDOW_BLOCKS)),
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

    /// How fast it goes.
    pub fn pace(&self) -> &Pace {
        &self.pace
    }

    /// Takes block `index` if it is one that is missing and has the length of its place.
    pub fn offer(&mut self, index: u32, len_bytes: u32, now: Instant) -> Result<Block, BlockRefusal> {
        if index < self.frontier {
            return Err(BlockRefusal::Duplicate);
        }
        if index >= self.blocks() || index - self.frontier >= WINDOW_BLOCKS {
            return Err(BlockRefusal::OutOfRange);
        }
        let offset_bytes = index * self.block_bytes;
        let want = self.block_bytes.min(self.image_bytes - offset_bytes);
        if len_bytes != want {
            return Err(BlockRefusal::WrongLength { got: len_bytes, want });
        }
        match *self.place(index) {
            Place::Stored => return Err(BlockRefusal::Duplicate),
            Place::Asked(stamp) => self.give_up_overtaken(stamp),
            Place::Wanted => {}
        }
        self.pace.arrived(index, len_bytes, now);
        Ok(Block { index, offset_bytes, len_bytes })
    }

    /// `block` is in flash: the frontier moves over it and all that follow it without a gap.
    pub fn stored(&mut self, block: Block) {
        *self.place(block.index) = Place::Stored;
        self.asked = self.asked.max(block.index + 1);
        while self.frontier < self.blocks() && *self.place(self.frontier) == Place::Stored {
            *self.place(self.frontier) = Place::Wanted; // the place now stands for a block one window ahead
            self.frontier += 1;
        }
    }

    /// The next blocks to ask for, or `None` while enough are on their way.
    ///
    /// Lost ones go first and at once; new ones wait until a fair batch fits, so that requests stay few.
    pub fn request(&mut self, now: Instant) -> Option<BlockRequest> {
        let request = self.lost_blocks().or_else(|| self.new_blocks())?;
        for index in request.indices() {
            self.stamp = self.stamp.wrapping_add(1);
            *self.place(index) = Place::Asked(self.stamp);
        }
        self.asked = self.asked.max(request.first + request.count);
        self.pace.asked(request.first, now);
        Some(request)
    }

    /// All bytes before `frontier_bytes` (rounded down to a block) are in flash already.
    pub(super) fn skip_to(&mut self, frontier_bytes: u32) {
        self.frontier = frontier_bytes / self.block_bytes;
        self.durable = self.frontier;
        self.asked = self.frontier;
    }

    /// A reset leaves all bytes before `frontier_bytes`. Blocks are asked for up to a window behind them, so that a reset
    /// costs no more than that.
    pub(super) fn keep(&mut self, frontier_bytes: u32) {
        self.durable = frontier_bytes / self.block_bytes;
    }

    /// Looks at the clock: after too long a silence what is on its way is asked for again. Returns whether it was.
    pub(super) fn expire(&mut self, now: Instant) -> bool {
        let silent = self.deadline().is_some_and(|end| end <= now);
        if silent {
            self.ask_again();
            self.pace.silence(now);
        }
        silent
    }

    /// When the silence is too long, while blocks are on their way.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.pace.patience_ends().filter(|_| self.outstanding() > 0)
    }

    /// Everything that is on its way is taken for lost, after a silence or a new connection.
    pub fn ask_again(&mut self) {
        for place in &mut self.places {
            if let Place::Asked(_) = place {
                *place = Place::Wanted;
            }
        }
        self.pace.start_over();
    }

    /// Blocks that were asked for and have not come.
    pub fn outstanding(&self) -> u32 {
        self.places.iter().filter(|place| matches!(place, Place::Asked(_))).count() as u32
    }

    fn place(&mut self, index: u32) -> &mut Place {
        &mut self.places[(index % WINDOW_BLOCKS) as usize]
    }

    /// Answers come in the order of the requests: one that was asked for well before `arrived` and is missing got lost.
    fn give_up_overtaken(&mut self, arrived: u16) {
        for place in &mut self.places {
            if let Place::Asked(stamp) = *place
                && arrived.wrapping_sub(stamp) >= OVERTAKEN_BY
                && arrived.wrapping_sub(stamp) < u16::MAX / 2
            {
                *place = Place::Wanted;
            }
        }
    }

    fn lost_blocks(&mut self) -> Option<BlockRequest> {
        let mut missing = 0u128;
        let first = (self.frontier..self.asked).find(|&index| *self.place(index) == Place::Wanted)?;
        let mut room = self.request_blocks_max();
        for index in first..self.asked {
            if room > 0 && *self.place(index) == Place::Wanted {
                missing |= 1 << (index - first);
                room -= 1;
            }
        }
        let count = missing.count_ones();
        let in_a_row = missing.trailing_ones() == count;
        Some(BlockRequest { first, count, missing: if in_a_row { None } else { Some(missing) } })
    }

    fn new_blocks(&self) -> Option<BlockRequest> {
        let window = self.pace.window_blocks();
        let end = self.blocks().min(self.durable + WINDOW_BLOCKS);
        let outstanding = self.outstanding();
        let room = window.saturating_sub(outstanding).min(end.saturating_sub(self.asked));
        let count = room.min(self.request_blocks_max());
        let fair = (window / 4).clamp(1, self.request_blocks_max()).min(self.blocks() - self.asked);
        (count > 0 && (count >= fair || outstanding == 0)).then_some(BlockRequest {
            first: self.asked,
            count,
            missing: None,
        })
    }

    fn request_blocks_max(&self) -> u32 {
        (REQUEST_BYTES_MAX / self.block_bytes).clamp(1, WINDOW_BLOCKS)
    }
}

impl BlockRequest {
    /// The wanted blocks, lowest first.
    pub fn indices(self) -> impl Iterator<Item = u32> {
        let wanted = self.missing.unwrap_or(if self.count >= 128 { u128::MAX } else { (1 << self.count) - 1 });
        (0..WINDOW_BLOCKS).filter(move |bit| wanted >> bit & 1 == 1).map(move |bit| self.first + bit)
    }
}

#[cfg(test)]
pub(super) mod theorems;

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Instant = Instant::from_ms(0);

    fn take(window: &mut Window, index: u32) {
        let len = 1024.min(window.image_bytes - index * 1024);
        let block = window.offer(index, len, NOW).expect("the block is missing");
        window.stored(block);
    }

    #[test]
    fn blocks_in_any_order_move_the_frontier_over_what_has_no_gap() {
        let mut window = Window::new(10 * 1024, 1024, 0, 64 * 1024);
        assert_eq!(window.request(NOW), Some(BlockRequest { first: 0, count: 10, missing: None }));
        take(&mut window, 1);
        assert_eq!(window.frontier_bytes(), 0);
        take(&mut window, 0);
        assert_eq!(window.frontier_bytes(), 2048);
    }

    #[test]
    fn a_block_that_three_later_ones_overtook_is_asked_for_again_at_once_by_name() {
        let mut window = Window::new(64 * 1024, 1024, 0, 8 * 1024);
        assert_eq!(window.request(NOW), Some(BlockRequest { first: 0, count: 8, missing: None }));
        for index in [0, 2, 3] {
            take(&mut window, index);
        }
        assert!(window.request(NOW).is_none_or(|request| request.first == 8), "two overtook it: patience");
        take(&mut window, 4);
        assert_eq!(window.request(NOW), Some(BlockRequest { first: 1, count: 1, missing: None }));
    }

    #[test]
    fn a_block_lost_twice_is_asked_for_twice() {
        let mut window = Window::new(64 * 1024, 1024, 0, 16 * 1024);
        window.request(NOW);
        for index in 1..=4 {
            take(&mut window, index);
        }
        assert_eq!(window.request(NOW).map(|request| request.first), Some(0));
        for index in 5..=15 {
            take(&mut window, index);
        }
        let later = window.request(NOW).expect("a window of new blocks");
        assert_eq!(later.first, 16);
        for index in 16..20 {
            take(&mut window, index);
        }
        assert_eq!(window.request(NOW).map(|request| (request.first, request.count)), Some((0, 1)));
    }

    #[test]
    fn a_duplicate_a_wrong_length_and_a_far_block_are_refused_by_name() {
        let mut window = Window::new(300 * 1024 + 10, 1024, 0, 64 * 1024);
        take(&mut window, 0);
        take(&mut window, 2);
        assert_eq!(window.offer(0, 1024, NOW), Err(BlockRefusal::Duplicate));
        assert_eq!(window.offer(2, 1024, NOW), Err(BlockRefusal::Duplicate));
        assert_eq!(window.offer(1, 10, NOW), Err(BlockRefusal::WrongLength { got: 10, want: 1024 }));
        assert_eq!(window.offer(129, 1024, NOW), Err(BlockRefusal::OutOfRange));
        assert_eq!(window.offer(301, 1024, NOW), Err(BlockRefusal::OutOfRange));
        assert_eq!(window.offer(u32::MAX, 1024, NOW), Err(BlockRefusal::OutOfRange));
    }

    #[test]
    fn the_last_block_is_as_short_as_the_image_says() {
        let mut window = Window::new(2 * 1024 + 10, 1024, 2048, 64 * 1024);
        assert_eq!(window.offer(2, 1024, NOW), Err(BlockRefusal::WrongLength { got: 1024, want: 10 }));
        take(&mut window, 2);
        assert!(window.is_complete());
        assert_eq!(window.frontier_bytes(), 2 * 1024 + 10);
    }

    #[test]
    fn the_next_request_leaves_before_the_last_block_of_this_one_is_in() {
        let mut window = Window::new(256 * 4096, 4096, 0, 131_072);
        assert_eq!(window.request(NOW).map(|request| request.count), Some(32));
        assert_eq!(window.request(NOW), None);
        for index in 0..8 {
            let block = window.offer(index, 4096, NOW).expect("asked for");
            window.stored(block);
        }
        assert_eq!(window.request(NOW), Some(BlockRequest { first: 32, count: 8, missing: None }));
    }

    #[test]
    fn after_a_silence_every_missing_block_is_asked_for_again() {
        let mut window = Window::new(10 * 1024, 1024, 0, 64 * 1024);
        window.request(NOW);
        for index in [0, 5, 9] {
            take(&mut window, index);
        }
        window.ask_again();
        let request = window.request(NOW).expect("seven are missing");
        assert_eq!(request.indices().collect::<heapless::Vec<u32, 16>>(), [1, 2, 3, 4, 6, 7, 8]);
    }
}
