//! Invariants of the window, checked for every element of the domain that a doc comment names: small images in all reachable
//! states, as a model checker does; the ring of blocks and the largest numbers by sweeps. The number of cases is printed
//! (`--nocapture`) and its minimum asserted, so that a domain cannot shrink unnoticed.

extern crate std;

use super::super::rate::RateEstimator;
use super::*;
use std::collections::{HashSet, VecDeque};
use std::println;
use std::vec::Vec;

const NOW: Instant = Instant::from_ms(0);
/// Later than any timeout.
const MUCH_LATER: Instant = Instant::from_ms(1_000_000);

/// A window and a model of it: the blocks that were given to it.
#[derive(Clone)]
struct Case {
    window: Window,
    received: u128,
    /// Taken by the window, and not in flash yet.
    writing: Option<Block>,
}

/// What distinguishes two states, as numbers.
pub(in super::super) type Key = [u8; 16];

/// As in RFC 5681: more would only multiply the states.
const THREE: u8 = 3;

/// Blocks count as lost once one arrived that was requested three blocks later.
pub(in super::super) fn three_overtake(window: &mut Window) {
    window.overtaken_by = THREE;
}

/// What distinguishes two windows over images of a few blocks: of the order of the requests only what [`THREE`] can
/// distinguish, and nothing of the rate, which [`Case::measure`] covers.
pub(in super::super) fn key_of(window: &Window) -> Key {
    let mut key = [0; 16];
    let timeout_is_set = u8::from(window.rate.timeout_at().is_some());
    let rate = window.rate.window_blocks() as u8;
    key[..4].copy_from_slice(&[window.frontier as u8, window.requested as u8, timeout_is_set, rate]);
    let mut ages: Vec<(u16, u32)> = Vec::new();
    for index in window.frontier..window.blocks() {
        let state = window.states[(index % WINDOW_BLOCKS) as usize];
        if state == BlockState::STORED {
            key[4 + index as usize] = 1;
        } else if state == BlockState::OVERTAKEN {
            key[4 + index as usize] = 2;
        } else if state.is_requested() {
            ages.push((state.age(window.request_seq), index));
        }
    }
    ages.sort_unstable();
    let (mut before, mut code) = (0, 2);
    for (age, index) in ages {
        code += (age - before).min(THREE.into()) as u8;
        let is_again = window.states[(index % WINDOW_BLOCKS) as usize].is_again();
        key[4 + index as usize] = code << 1 | u8::from(is_again);
        before = age;
    }
    key
}

impl Case {
    fn new(image_bytes: u32, block_bytes: u32, frontier: u32, window_blocks: u32) -> Self {
        let mut window = Window::new(image_bytes, block_bytes, 0, 0);
        window.rate = RateEstimator::new(window_blocks);
        window.skip_to(frontier * block_bytes);
        three_overtake(&mut window);
        Self { window, received: below(frontier), writing: None }
    }

    fn key(&self) -> Key {
        let mut key = key_of(&self.window);
        key[15] = self.writing.map_or(u8::MAX, |block| block.index as u8);
        key
    }

    fn len_of(&self, index: u32) -> u32 {
        let Window { image_bytes, block_bytes, .. } = self.window;
        (u64::from(image_bytes) - u64::from(index) * u64::from(block_bytes)).min(block_bytes.into()) as u32
    }

    fn has(&self, index: u32) -> bool {
        self.received >> index & 1 == 1
    }

    /// Takes a request and checks it.
    fn request(&mut self) -> Option<BlockRequest> {
        let before = self.window.clone();
        let request = self.window.request(NOW)?;
        let indices: Vec<u32> = request.indices().collect();
        let first = self.window.frontier;
        assert_eq!(indices.first(), Some(&request.first));
        assert_eq!(indices.len(), request.count as usize);
        assert!(indices.is_sorted_by(|one, next| one < next));
        assert!(
            request.missing.is_some() || request.first + request.count == indices[indices.len() - 1] + 1,
            "in a row"
        );
        let bytes: u32 = indices.iter().map(|index| self.len_of(*index)).sum();
        assert!(bytes <= REQUEST_BYTES_MAX);
        for index in indices {
            assert!(index < self.window.blocks(), "{index} is no block of the image");
            assert!(index >= first && index - first < WINDOW_BLOCKS, "{index} is outside the window");
            assert!(!self.has(index), "{index} is in flash");
            assert!(before.states[(index % WINDOW_BLOCKS) as usize].is_wanted(), "{index} is outstanding");
        }
        Some(request)
    }

    /// Offers a block and checks the result against the model.
    fn come(&mut self, index: u32) {
        let (key, len) = (self.key(), self.len_of(index));
        let got = self.window.offer(index, len, NOW);
        three_overtake(&mut self.window);
        if self.has(index) {
            assert_eq!((got, self.key()), (Err(BlockRefusal::Duplicate), key), "a duplicate changes nothing");
            return;
        }
        let block = got.expect("a missing block of the window is taken");
        assert_eq!((block.offset_bytes, block.len_bytes), (index * self.window.block_bytes, len));
        assert!(block.offset_bytes.checked_add(block.len_bytes).is_some_and(|end| end <= self.window.image_bytes));
        self.writing = Some(block);
    }

    /// The network is measured: so many blocks should be on their way.
    fn measure(&mut self, window_blocks: u32) {
        let was_timed = self.window.rate.timeout_at().is_some();
        self.window.rate = RateEstimator::new(window_blocks);
        if was_timed {
            self.window.rate.requested(0, true, NOW);
        }
    }

    fn write(&mut self) {
        if let Some(block) = self.writing.take() {
            self.window.stored(block);
            self.received |= 1 << block.index;
        }
    }

    /// What must be true of every state.
    fn check(&self) {
        let window = &self.window;
        let gap = self.received.trailing_ones();
        assert_eq!(window.frontier, gap, "the frontier is the first missing block");
        assert_eq!(window.frontier_bytes(), window.image_bytes.min(gap * window.block_bytes));
        assert_eq!(window.is_complete(), gap == window.blocks());
        assert!(window.requested >= window.frontier && window.requested <= window.blocks());
        assert_eq!(window.outstanding() > 0, window.deadline().is_some(), "outstanding blocks have a timeout");
        for index in window.frontier..window.blocks() {
            let is_stored = window.states[(index % WINDOW_BLOCKS) as usize] == BlockState::STORED;
            assert_eq!(is_stored, self.has(index), "{index}");
        }
        let asks = self.clone().request().is_some();
        let waits = window.outstanding() > 0 || self.writing.is_some();
        assert!(asks || waits || window.is_complete(), "it stalls");
    }

    /// Wrong blocks are refused by name, and change nothing.
    fn refuses(&mut self) {
        let (key, blocks) = (self.key(), self.window.blocks());
        for index in [blocks, blocks + 1, blocks + WINDOW_BLOCKS, u32::MAX - 1, u32::MAX] {
            assert_eq!(self.window.offer(index, self.window.block_bytes, NOW), Err(BlockRefusal::OutOfRange));
        }
        for index in 0..blocks {
            if self.has(index) {
                continue;
            }
            let want = self.len_of(index);
            for got in [0, want - 1, want + 1, self.window.block_bytes * 2, u32::MAX] {
                let refused = self.window.offer(index, got, NOW);
                assert_eq!(refused, Err(BlockRefusal::WrongLength { got, want }));
            }
        }
        assert_eq!(self.key(), key);
    }

    /// From here on the service answers everything in order, and silence is noticed: the image must come in.
    fn completes(mut self) {
        self.write();
        for round in 2..=3 {
            let mut asked = 0;
            while let Some(request) = self.request() {
                asked += request.count;
                assert!(asked <= 2 * self.window.blocks(), "it asks for ever");
                for index in request.indices() {
                    self.come(index);
                    self.write();
                }
            }
            // What is still on its way was lost before.
            let later = Instant::from_ms(round * MUCH_LATER.as_ms());
            assert_eq!(self.window.expire(later), !self.window.is_complete());
        }
        assert!(self.window.is_complete(), "{:?}", self.key());
    }
}

fn below(index: u32) -> u128 {
    if index >= 128 { u128::MAX } else { (1 << index) - 1 }
}

/// Every state that can be reached from `start`: how many there are.
fn explore(seen: &mut HashSet<Key>, start: Case) -> usize {
    let before = seen.len();
    let mut open = VecDeque::new();
    let mut reach = |case: Case, open: &mut VecDeque<Case>| {
        if seen.insert(case.key()) {
            open.push_back(case);
        }
    };
    reach(start, &mut open);
    while let Some(case) = open.pop_front() {
        case.check();
        case.clone().refuses();
        case.clone().completes();
        let mut after = |change: &dyn Fn(&mut Case)| {
            let mut next = case.clone();
            change(&mut next);
            reach(next, &mut open);
        };
        after(&|next| _ = next.request());
        after(&|next| next.window.request_again());
        after(&|next| _ = next.window.expire(MUCH_LATER));
        after(&|next| next.write());
        for window_blocks in 2..=case.window.blocks() {
            after(&|next| next.measure(window_blocks));
        }
        if case.writing.is_none() {
            (0..case.window.blocks()).for_each(|index| after(&|next| next.come(index)));
        }
    }
    seen.len() - before
}

/// The states of all images of `blocks` blocks of `block_bytes`, the last one of `last` bytes.
fn explore_images(block_bytes: u32, blocks: u32, last: u32) -> usize {
    let (mut seen, mut states) = (HashSet::new(), 0);
    for frontier in 0..=blocks {
        let image_bytes = (blocks - 1) * block_bytes + last;
        states += explore(&mut seen, Case::new(image_bytes, block_bytes, frontier, 2));
    }
    states
}

/// A whole download by a service that answers in order and loses the first answer about each block of `lost`, with a journal
/// that is half a window behind at most; returns how often silence had to be waited for.
fn download(window: &mut Window, lost: &[u32]) -> u32 {
    let (mut received, mut silences) = (HashSet::new(), 0);
    let window_blocks = window.rate.window_blocks();
    let (mut asked, asked_max) = (0, 2 * (window.blocks() - window.frontier) + WINDOW_BLOCKS);
    let (mut answers, mut to_lose) = (VecDeque::new(), Vec::from(lost));
    loop {
        while let Some(request) = window.request(NOW) {
            window.rate = RateEstimator::new(window_blocks); // measures nothing: no such block arrives
            window.rate.requested(u32::MAX, true, NOW);
            asked += request.count;
            assert!(asked <= asked_max, "it asks for ever");
            for index in request.indices() {
                let costs = index.checked_sub(window.durable).expect("nothing that a reset leaves is asked for");
                assert!(index >= window.frontier && costs < WINDOW_BLOCKS, "a reset costs a window: {index}");
                assert!(index < window.blocks() && !received.contains(&index), "{index}");
                answers.push_back(index);
            }
        }
        let Some(index) = answers.pop_front() else {
            if window.is_complete() {
                return silences;
            }
            assert!(window.expire(MUCH_LATER), "nothing is on its way, and nobody waits");
            silences += 1;
            continue;
        };
        if let Some(at) = to_lose.iter().position(|lost| *lost == index) {
            to_lose.swap_remove(at);
            continue;
        }
        let len_bytes = (window.image_bytes - index * window.block_bytes).min(window.block_bytes);
        let block = window.offer(index, len_bytes, NOW).expect("an answer to what was asked is taken");
        assert_eq!((block.offset_bytes, block.len_bytes), (index * window.block_bytes, len_bytes));
        window.stored(block);
        if window.frontier - window.durable >= WINDOW_BLOCKS / 2 {
            window.mark_durable(window.frontier_bytes());
        }
        assert!(received.insert(index));
    }
}

/// For every image of 1 to 5 blocks with a last block of 1 byte, one less than whole or whole, and for blocks of which 1, 2, 4
/// and 128 fit a request; for one of 6 blocks, the last of 1 byte, which all fit one; from every frontier; with windows that
/// change at any time; and for every order of arrivals, requested or not, duplicates, losses, timeouts, new connections, and
/// requests while a block is being written: the frontier is the first missing block; only missing blocks of the image that are not outstanding are
/// requested; a refused block changes nothing; the window requests, waits with a deadline, or is complete; and a correct
/// service completes the image from every state.
#[test]
fn from_every_state_of_a_small_image_only_missing_blocks_are_requested_and_all_arrive() {
    let mut states = 0;
    for block_bytes in [131_072, 65_536, 32_768, 256] {
        for blocks in 1..=5 {
            states += [1, block_bytes - 1, block_bytes]
                .map(|last| explore_images(block_bytes, blocks, last))
                .iter()
                .sum::<usize>();
        }
    }
    states += explore_images(256, 6, 1);
    println!("{states} states of a window");
    assert!(states >= 250_000);
}

/// For every start of the 16-bit count of requests within 20 of its end and of its half: an image of 3 blocks reaches the
/// same states as from zero.
#[test]
fn the_count_of_requests_may_run_over() {
    let states = |request_seq: u16| {
        let mut start = Case::new(3 * 256, 256, 0, 2);
        start.window.request_seq = request_seq;
        let mut seen = HashSet::new();
        explore(&mut seen, start);
        seen
    };
    let (from_zero, mut starts) = (states(0), 0);
    for request_seq in (u16::MAX - 20..=u16::MAX).chain(u16::MAX / 2 - 20..=u16::MAX / 2 + 20) {
        assert!(states(request_seq) == from_zero, "{request_seq}");
        starts += 1;
    }
    println!("{starts} starts, {} states each", from_zero.len());
}

/// For every image of 1 to 5 blocks around one and two windows' worth and every block of it whose first response is lost, and
/// for one block more than a window and every two of them, in windows of 4 and 128: the image completes, without a timeout if
/// three blocks follow; and no block is requested more than a window beyond what survives a reset.
#[test]
fn lost_responses_anywhere_around_the_ring_cost_no_timeout_if_three_blocks_follow() {
    let mut downloads = 0;
    let mut lose = |blocks: u32, lost: &[u32]| {
        for window_blocks in [4, WINDOW_BLOCKS] {
            let timeouts = download(&mut Case::new(blocks * 256, 256, 0, window_blocks).window, lost);
            let is_followed = lost.iter().all(|index| index + u32::from(THREE) < blocks);
            assert!(timeouts == 0 || !is_followed, "{lost:?} of {blocks} in {window_blocks}");
            downloads += 1;
        }
    };
    for blocks in [WINDOW_BLOCKS, 2 * WINDOW_BLOCKS].into_iter().flat_map(|end| end - 2..=end + 2) {
        (0..blocks).for_each(|one| lose(blocks, &[one]));
    }
    let blocks = WINDOW_BLOCKS + 1;
    (0..blocks).for_each(|one| (one + 1..blocks).for_each(|other| lose(blocks, &[one, other])));
    println!("{downloads} downloads around the ring");
    assert!(downloads >= 20_000);
}

/// For images of the largest sizes, for 13 block sizes, and from every frontier in the last window and three blocks before:
/// nothing overflows, blocks outside are refused, and the image completes.
#[test]
fn at_the_largest_sizes_nothing_overflows() {
    let mut downloads = 0;
    for block_bytes in (8..=17).map(|power| 1 << power).chain([768, 4_352, 130_816]) {
        for image_bytes in [0, 1, 2, 254, 255, 256, 257, 65_535, 131_071].map(|less| u32::MAX - less) {
            let blocks = image_bytes.div_ceil(block_bytes);
            for frontier in blocks - WINDOW_BLOCKS - 3..=blocks {
                let mut window = Case::new(image_bytes, block_bytes, 0, WINDOW_BLOCKS).window;
                window.skip_to(frontier.saturating_mul(block_bytes).min(image_bytes));
                for index in [window.frontier + WINDOW_BLOCKS, blocks, blocks + 1, u32::MAX] {
                    assert_eq!(window.offer(index, block_bytes, NOW), Err(BlockRefusal::OutOfRange));
                }
                assert!(window.frontier_bytes() <= image_bytes);
                download(&mut window, &[]);
                assert_eq!((window.frontier_bytes(), window.blocks_done()), (image_bytes, blocks));
                downloads += 1;
            }
        }
    }
    println!("{downloads} downloads of the largest sizes");
    assert!(downloads >= 15_000);
}

/// For every image of 1 to 1,300 bytes in blocks of 256, and every byte of it from which a download resumes: it resumes
/// at the start of the block that has the byte, or is complete.
#[test]
fn a_download_resumes_at_the_start_of_a_block() {
    let mut starts = 0;
    for (image_bytes, from) in (1..=1_300).flat_map(|bytes| (0..=bytes).map(move |from| (bytes, from))) {
        let window = Window::new(image_bytes, 256, from, 0);
        assert_eq!((window.frontier_bytes(), window.requested), (from - from % 256, from / 256));
        assert_eq!(window.is_complete(), from == image_bytes && from % 256 == 0);
        starts += 1;
    }
    println!("{starts} bytes to resume from");
    assert!(starts >= 800_000);
}
