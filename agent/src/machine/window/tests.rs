use super::*;

const NOW: Instant = Instant::from_ms(0);

fn take(window: &mut Window, index: u32) {
    let len = 1024.min(window.image_bytes - index * 1024);
    let block = window.offer(index, len, NOW).expect("the block is missing");
    assert_eq!((block.offset_bytes(), block.len_bytes()), (index * 1024, len));
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
fn a_block_that_eight_later_ones_overtook_is_asked_for_again_at_once_by_name() {
    let mut window = Window::new(64 * 1024, 1024, 0, 16 * 1024);
    assert_eq!(window.request(NOW), Some(BlockRequest { first: 0, count: 16, missing: None }));
    for index in [0, 2, 3, 4, 5, 6, 7, 8] {
        take(&mut window, index);
    }
    assert!(window.request(NOW).is_none_or(|request| request.first == 16), "seven overtook it: patience");
    take(&mut window, 9);
    assert_eq!(window.request(NOW), Some(BlockRequest { first: 1, count: 1, missing: None }));
}

/// The number of a request has 14 bits, and its count 16.
#[test]
fn an_overtaken_block_is_found_where_the_number_of_requests_wraps() {
    for before in [(1 << 14) - 3, (1 << 14) - 1, u16::MAX - 2, u16::MAX] {
        let mut window = Window::new(64 * 1024, 1024, 0, 16 * 1024);
        window.request_seq = before;
        window.request(NOW);
        for index in [0, 2, 3, 4, 5, 6, 7, 8] {
            take(&mut window, index);
        }
        assert!(window.request(NOW).is_none_or(|request| request.first == 16), "after {before} requests");
        take(&mut window, 9);
        let again = window.request(NOW).map(|request| request.first);
        assert_eq!(again, Some(1), "after {before} requests");
    }
}

#[test]
fn a_block_lost_twice_is_asked_for_twice() {
    let mut window = Window::new(64 * 1024, 1024, 0, 16 * 1024);
    window.request(NOW);
    for index in 1..=8 {
        take(&mut window, index);
    }
    assert_eq!(window.request(NOW).map(|request| request.first), Some(0));
    for index in 9..=15 {
        take(&mut window, index);
    }
    let later = window.request(NOW).expect("a window of new blocks");
    assert_eq!(later.first, 16);
    for index in 16..24 {
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
    for index in 0..4 {
        assert_eq!(window.request(NOW), None);
        let block = window.offer(index, 4096, NOW).expect("asked for");
        window.stored(block);
    }
    // At once: 122,880 bytes/s at least, which are 31 blocks in a second and the delay; and 24 more.
    assert_eq!(window.request(NOW), Some(BlockRequest { first: 32, count: 31 + 24 - 28, missing: None }));
}

#[test]
fn after_a_silence_every_missing_block_is_asked_for_again() {
    let mut window = Window::new(10 * 1024, 1024, 0, 64 * 1024);
    window.request(NOW);
    for index in [0, 5, 9] {
        take(&mut window, index);
    }
    window.request_again();
    let request = window.request(NOW).expect("seven are missing");
    assert_eq!(request.indices().collect::<heapless::Vec<u32, 16>>(), [1, 2, 3, 4, 6, 7, 8]);
}

#[test]
fn new_blocks_are_requested_once_a_quarter_of_the_window_is_free_or_the_rest_of_the_image_fits() {
    for (blocks, arrived, count) in [(64, 3, None), (64, 4, Some(4)), (64, 9, Some(9)), (18, 1, None), (18, 2, Some(2))]
    {
        let mut window = Window::new(blocks * 1024, 1024, 0, 16 * 1024);
        assert_eq!(window.request(NOW).map(|request| request.count), Some(16));
        window.rate = RateEstimator::new(16); // measures nothing
        (0..arrived).for_each(|index| take(&mut window, index));
        let next = window.request(NOW).map(|request| (request.first, request.count));
        assert_eq!(next, count.map(|count| (16, count)), "{arrived} of {blocks}");
    }
}

#[test]
fn a_late_block_overtakes_none_and_one_that_arrives_twice_is_waited_for_longer() {
    let mut window = Window::new(64 * 1024, 1024, 0, 32 * 1024);
    window.request(NOW);
    (1..=8).for_each(|index| take(&mut window, index));
    assert_eq!(window.request(NOW).map(|request| (request.first, request.count)), Some((0, 1)));
    take(&mut window, 0);
    assert!(window.request(NOW).is_none_or(|request| request.first == 32), "9..=31 were requested before it");
    assert_eq!(window.offer(0, 1024, NOW), Err(BlockRefusal::Duplicate));
    (10..=17).for_each(|index| take(&mut window, index));
    assert!(window.request(NOW).is_none_or(|request| request.first >= 32), "nine are needed now");
    take(&mut window, 18);
    assert_eq!(window.request(NOW).map(|request| (request.first, request.count)), Some((9, 1)));
}

#[test]
fn after_a_timeout_half_a_window_is_asked_for_again_and_its_arrival_shows_the_rest_as_lost() {
    let mut window = Window::new(64 * 1024, 1024, 0, 32 * 1024);
    window.request(NOW);
    assert!(window.expire(Instant::from_ms(3_000)));
    let probe = BlockRequest { first: 16, count: 16, missing: None };
    assert_eq!((window.request(NOW), window.request(NOW)), (Some(probe), None));
    assert!(window.expire(Instant::from_ms(60_000)));
    assert_eq!((window.request(NOW), window.request(NOW)), (Some(probe), None), "and those again");
    let mut late = window.clone();
    take(&mut window, 16);
    assert_eq!(window.request(NOW), Some(BlockRequest { first: 0, count: 16, missing: None }));
    (0..16).for_each(|index| take(&mut late, index));
    assert!(late.request(NOW).is_none_or(|request| request.first >= 32), "they were only late");
}

#[test]
fn no_request_names_more_lost_blocks_than_one_response_brings() {
    let mut window = Window::new(256 * 4096, 4096, 0, 128 * 4096);
    let mut requests = |first| {
        for first in [first, first + 32, first + 64, first + 96] {
            assert_eq!(window.request(NOW), Some(BlockRequest { first, count: 32, missing: None }));
        }
        assert_eq!(window.request(NOW), None);
        window.request_again();
    };
    requests(0);
    requests(0);
}
