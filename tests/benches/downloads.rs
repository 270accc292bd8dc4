//! Prints how long the download of an image takes on the virtual clock, link by link: the transfer alone, from the first
//! request to the last block, of whole updates of a simulated device. Time on the processor and the flash's are not in it.
//!
//! ```text
//! cargo bench -p ota-tests --bench downloads
//! ```

use ota_tests::conditions::Planned;
use ota_tests::job::Route;
use ota_tests::link::{AWS_BYTES_PER_S, BLOCK_BYTES, FAST, IMAGE_BYTES, LINKS, LTE_M, Link, finish};
use ota_tests::sim::Simulation;

fn main() {
    println!("{IMAGE_BYTES} bytes in blocks of {BLOCK_BYTES}; times in seconds\n");
    println!(
        "| link | protocol | limits | fault | ideal | ours | ratio | requests | blocks received / needed | lost | job requests |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|---|");
    for link in LINKS {
        for route in [Route::Mqtt, Route::Http] {
            row(&link, route, "none", "", &|_| {});
        }
        if link.bytes_per_s > AWS_BYTES_PER_S {
            row(&link.limited(), Route::Mqtt, "AWS", "", &|_| {});
        }
    }
    let blocks = u64::from(IMAGE_BYTES / BLOCK_BYTES);
    for link in [FAST, FAST.limited(), LTE_M, LINKS[5]] {
        let limits = if link.bytes_per_s == AWS_BYTES_PER_S { "AWS" } else { "none" };
        let fault = |name: &str, planned: Planned| {
            row(&link, Route::Mqtt, limits, name, &|sim| sim.network.planned = planned.clone());
        };
        let requests = u64::from(link.download(Planned::default()).requests);
        fault("first request lost", Planned { lost_requests: 0..1, ..Planned::default() });
        fault("last request lost", Planned { lost_requests: requests - 1..requests, ..Planned::default() });
        fault("last block lost", Planned { lost_blocks: blocks - 1..blocks, ..Planned::default() });
        fault("last 24 blocks lost", Planned { lost_blocks: blocks - 24..blocks, ..Planned::default() });
        fault("every 10th block five late", Planned { late: Some((10, 5)), ..Planned::default() });
        fault("every 10th block twelve late", Planned { late: Some((10, 12)), ..Planned::default() });
        for first in [0, 30, 55, 99] {
            let planned = Planned { lost_every: Some((100, first)), ..Planned::default() };
            fault(&format!("1 % of blocks lost, from block {first}"), planned);
        }
    }
}

fn row(link: &Link, route: Route, limits: &str, fault: &str, prepare: &dyn Fn(&mut Simulation)) {
    let mut sim = link.simulation(route);
    prepare(&mut sim);
    let cost = finish(sim);
    let protocol = if route == Route::Http { "HTTP" } else { "MQTT stream" };
    let (ideal_ms, ours_ms) = (link.ideal_ms() as f64, cost.transfer_ms() as f64);
    println!(
        "| {} | {protocol} | {limits} | {fault} | {:.2} | {:.2} | {:.3} | {} | {} / {} | {} | {} |",
        link.name,
        ideal_ms / 1_000.0,
        ours_ms / 1_000.0,
        ours_ms / ideal_ms,
        cost.requests,
        cost.blocks,
        IMAGE_BYTES / BLOCK_BYTES,
        cost.lost,
        cost.job_requests,
    );
}
