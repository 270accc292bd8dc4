//! How long downloads take on the virtual clock, compared with what the link allows; what lost, late and delayed messages
//! add; and how many requests they need. The benchmark `downloads` prints the same figures as a table.

use ota_agent::{AgentConfig, Notice};
use ota_jobs::Status;
use ota_tests::conditions::{NetworkConditions, Planned};
use ota_tests::job::Route;
use ota_tests::link::{AWS_BYTES_PER_S, BLOCK_BYTES, FAST, IMAGE_BYTES, LINKS, LTE_M, Link, NB_IOT, finish};
use ota_tests::sim::Flow;
use ota_tests::traffic::Traffic;

const BLOCKS: u64 = (IMAGE_BYTES / BLOCK_BYTES) as u64;
/// The links on which faults are injected.
const FAULTY: [Link; 4] =
    [FAST, Link { name: "fast, 100 ms, AWS", bytes_per_s: AWS_BYTES_PER_S, ..FAST }, LTE_M, NB_IOT];

fn download(link: Link) -> Traffic {
    link.download(Planned::default())
}

/// Asserts that `faulty` took at most `round_trips` longer than `clean`, and a twentieth: times are rounded up to milliseconds,
/// and responses about the job share the link.
fn assert_adds(link: Link, clean: &Traffic, faulty: &Traffic, round_trips: u64, fault: &str) {
    let added_ms = faulty.transfer_ms().saturating_sub(clean.transfer_ms());
    let allowed_ms = round_trips * link.block_round_trip_ms() * 21 / 20;
    assert!(added_ms <= allowed_ms, "{}, {fault}: {added_ms} ms of {allowed_ms}", link.name);
}

#[test]
fn a_download_at_800_ms_takes_at_most_three_round_trips_besides_its_transmission() {
    let link = Link { round_trip_ms: 800, ..FAST };
    let allowed_ms = link.ideal_ms() + 2 * link.round_trip_ms;
    let took_ms = download(link).transfer_ms();
    assert!(took_ms <= allowed_ms, "{took_ms} ms of {allowed_ms}");
}

#[test]
fn downloads_are_close_to_the_ideal_of_their_link() {
    let limited = FAULTY[1];
    for (link, route, percent) in [
        (FAST, Route::Mqtt, 216), // 0.44 s of 0.2 s: the largest window takes three round trips
        (limited, Route::Mqtt, 103),
        (LTE_M, Route::Mqtt, 104),
        (LTE_M, Route::Http, 101),
        (NB_IOT, Route::Mqtt, 108),
        (NB_IOT, Route::Http, 101),
    ] {
        let took_ms = finish(link.simulation(route)).transfer_ms();
        let allowed_ms = link.ideal_ms() * percent / 100;
        assert!(took_ms <= allowed_ms, "{} {route:?}: {took_ms} ms of {allowed_ms}", link.name);
    }
}

#[test]
fn one_configuration_takes_two_round_trips_and_a_thirtieth_more_than_the_ideal_on_every_link_at_most() {
    assert_eq!(AgentConfig::new("thing").map(|config| config.block_bytes()), Ok(BLOCK_BYTES), "the default");
    for link in LINKS.into_iter().chain(LINKS.map(Link::limited)) {
        for route in [Route::Mqtt, Route::Http] {
            let took_ms = finish(link.simulation(route)).transfer_ms();
            let allowed_ms = link.ideal_ms() * 31 / 30 + 2 * link.round_trip_ms;
            assert!(took_ms <= allowed_ms, "{} {route:?}: {took_ms} ms of {allowed_ms}", link.name);
        }
    }
}

#[test]
fn a_larger_first_window_saves_half_a_round_trip_or_more_on_a_fast_link() {
    for link in [FAST, Link { round_trip_ms: 800, ..FAST }] {
        let mut sim = link.simulation(Route::Mqtt);
        sim.device.config.window_bytes_start *= 4;
        let (took_ms, default_ms) = (finish(sim).transfer_ms(), download(link).transfer_ms());
        assert!(took_ms + link.round_trip_ms / 2 <= default_ms, "{}: {took_ms} ms, {default_ms} ms", link.name);
    }
}

#[test]
fn a_mebibyte_takes_at_most_twelve_requests_on_any_link_and_every_block_once() {
    for link in LINKS.into_iter().chain(LINKS.map(Link::limited)) {
        let cost = download(link);
        assert!(cost.requests <= 12, "{}: {cost:?}", link.name);
        assert_eq!(u64::from(cost.blocks), BLOCKS, "{}", link.name);
    }
}

/// The price of few requests: the notification is queued behind the blocks of one, and the description that confirms it behind
/// those of the next.
#[test]
fn a_cancellation_on_a_slow_link_waits_for_two_requests_and_two_seconds_at_most() {
    for blocks in [100, 105, 110, 115, 120] {
        let mut sim = NB_IOT.simulation(Route::Mqtt);
        let (mut sent_ms, mut received_ms) = (None, 0);
        sim.run(200_000, |sim| {
            if sent_ms.is_none() && sim.traffic.blocks == blocks {
                sent_ms = Some(sim.now_ms);
                sim.take_back("job", Status::Canceled);
            }
            received_ms = sim.now_ms;
            if sim.notices().contains(&Notice::Cancelled) { Flow::Stop } else { Flow::Go }
        });
        let waited_ms = received_ms - sent_ms.expect("that many blocks arrive");
        let request_ms = 98_304 * 1_000 / NB_IOT.bytes_per_s;
        let allowed_ms = 2 * (request_ms + 1_000 + NB_IOT.round_trip_ms);
        assert!(waited_ms <= allowed_ms, "{waited_ms} ms of {allowed_ms}");
    }
}

#[test]
fn a_lost_block_of_a_hundred_costs_at_most_a_round_trip_and_a_tenth_of_the_time() {
    for link in FAULTY {
        let clean = download(link);
        for first in (0..100).step_by(11) {
            let faulty = link.download(Planned { lost_every: Some((100, first)), ..Planned::default() });
            assert!(faulty.lost >= 2 && u64::from(faulty.blocks) == BLOCKS, "{}: {faulty:?}", link.name);
            assert_adds(link, &clean, &faulty, faulty.lost.into(), "1 % lost");
            let is_long = clean.transfer_ms() > 20_000;
            assert!(!is_long || faulty.transfer_ms() * 10 <= clean.transfer_ms() * 11, "{}: {faulty:?}", link.name);
        }
    }
}

#[test]
fn a_lost_request_or_a_lost_end_costs_at_most_two_round_trips() {
    for link in FAULTY {
        let clean = download(link);
        let requests = u64::from(clean.requests);
        for (fault, planned) in [
            ("first request", Planned { lost_requests: 0..1, ..Planned::default() }),
            ("last request", Planned { lost_requests: requests - 1..requests, ..Planned::default() }),
            ("last block", Planned { lost_blocks: BLOCKS - 1..BLOCKS, ..Planned::default() }),
            ("last three blocks", Planned { lost_blocks: BLOCKS - 3..BLOCKS, ..Planned::default() }),
            ("last 24 blocks", Planned { lost_blocks: BLOCKS - 24..BLOCKS, ..Planned::default() }),
        ] {
            let faulty = link.download(planned);
            assert!(faulty.lost > 0 && u64::from(faulty.blocks) == BLOCKS, "{}, {fault}: {faulty:?}", link.name);
            assert_adds(link, &clean, &faulty, 2, fault);
        }
    }
}

#[test]
fn blocks_that_arrive_five_places_late_are_requested_once() {
    for link in FAULTY {
        let cost = link.download(Planned { late: Some((10, 5)), ..Planned::default() });
        assert!(u64::from(cost.blocks) == BLOCKS && cost.requests <= 12, "{}: {cost:?}", link.name);
    }
}

#[test]
fn after_a_few_blocks_that_arrive_twelve_places_late_none_is_requested_twice() {
    for link in FAULTY {
        let cost = link.download(Planned { late: Some((10, 12)), ..Planned::default() });
        assert!(u64::from(cost.blocks) <= BLOCKS + 32, "{}: {cost:?}", link.name);
    }
}

/// A sector of 128 KiB is erased in 1.3 s or more.
#[test]
fn the_time_in_which_the_device_writes_is_no_silence() {
    for link in FAULTY {
        let mut sim = link.simulation(Route::Mqtt);
        sim.slow_write = Some((32, 1_500));
        let cost = finish(sim);
        assert!(u64::from(cost.blocks) == BLOCKS && cost.requests <= 12, "{}: {cost:?}", link.name);
    }
}

#[test]
fn jitter_of_a_fifth_of_the_round_trip_causes_no_second_request() {
    for (link, seed) in FAULTY.into_iter().flat_map(|link| (1..=5).map(move |seed| (link, seed))) {
        let mut sim = link.simulation_of(Route::Mqtt, seed);
        sim.network.conditions = NetworkConditions { jitter_ms: link.round_trip_ms / 10, ..link.conditions() };
        let cost = finish(sim);
        assert_eq!(u64::from(cost.blocks), BLOCKS, "{}, seed {seed}: {cost:?}", link.name);
    }
}
