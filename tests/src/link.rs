//! Links of devices, and whole updates over them: what the benchmark `downloads` and the tests of speed share.

use crate::conditions::{NetworkConditions, Planned};
use crate::fixtures::order;
use crate::job::{Kind, Order, Route};
use crate::sim::{Ended, Flow, Setup, Simulation};
use crate::traffic::Traffic;

/// What AWS IoT sends on one connection. Source: AWS IoT Core quotas, throughput per second per connection; more is delayed.
pub const AWS_BYTES_PER_S: u64 = 524_288;
/// Bytes of the image of a download, in blocks of the agent's default size.
pub const IMAGE_BYTES: u32 = 1_048_576;
/// Bytes of a block.
pub const BLOCK_BYTES: u32 = 4_096;
/// The same with topic and envelope.
const BLOCK_WIRE_BYTES: u64 = 4_200;
/// Longer than any download over these links.
const WHILE_MS: u64 = 3_600_000;

/// A link, in both directions.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Its name.
    pub name: &'static str,
    /// Its rate.
    pub bytes_per_s: u64,
    /// Its delay there and back.
    pub round_trip_ms: u64,
}

/// The links of the benchmark.
pub const LINKS: [Link; 7] = [
    Link { name: "fast, 10 ms", bytes_per_s: 10_000_000, round_trip_ms: 10 },
    FAST,
    Link { name: "fast, 800 ms", bytes_per_s: 10_000_000, round_trip_ms: 800 },
    Link { name: "LTE-M 1 Mbit/s", bytes_per_s: 125_000, round_trip_ms: 100 },
    LTE_M,
    NB_IOT,
    Link { name: "NB-IoT 25 kbit/s", bytes_per_s: 3_125, round_trip_ms: 1_500 },
];
/// Much faster than the transfer needs.
pub const FAST: Link = Link { name: "fast, 100 ms", bytes_per_s: 10_000_000, round_trip_ms: 100 };
/// A usual cellular link.
pub const LTE_M: Link = Link { name: "LTE-M 300 kbit/s", bytes_per_s: 37_500, round_trip_ms: 100 };
/// A slow cellular link.
pub const NB_IOT: Link = Link { name: "NB-IoT 60 kbit/s", bytes_per_s: 7_500, round_trip_ms: 1_500 };

impl Link {
    /// This link under AWS's limit.
    pub fn limited(self) -> Self {
        Self { bytes_per_s: self.bytes_per_s.min(AWS_BYTES_PER_S), ..self }
    }

    /// Milliseconds that the bytes of the image take, and one round trip.
    pub fn ideal_ms(&self) -> u64 {
        u64::from(IMAGE_BYTES) * 1_000 / self.bytes_per_s + self.round_trip_ms
    }

    /// From a request for one block to the end of the block, with its envelope.
    pub fn block_round_trip_ms(&self) -> u64 {
        self.round_trip_ms + (BLOCK_WIRE_BYTES * 1_000).div_ceil(self.bytes_per_s)
    }

    /// Conditions without faults.
    pub fn conditions(&self) -> NetworkConditions {
        NetworkConditions {
            delay_ms: self.round_trip_ms / 2,
            jitter_ms: 0,
            bytes_per_s: self.bytes_per_s,
            ..NetworkConditions::IDEAL
        }
    }

    /// A device on this link with a job over `route`, before its first boot.
    pub fn simulation(&self, route: Route) -> Simulation {
        self.simulation_of(route, 1)
    }

    /// As [`Link::simulation`], with random choices from `seed`.
    pub fn simulation_of(&self, route: Route, seed: u64) -> Simulation {
        let mut setup = Setup { slot_sectors: 300, ..Setup::new(seed) };
        setup.config = setup.config.with_block_bytes(BLOCK_BYTES).expect("a size in range");
        let mut sim = Simulation::new(setup);
        sim.network.conditions = self.conditions();
        sim.create(&Order { route, image_bytes: IMAGE_BYTES, ..order("job", Kind::Good, 2) });
        sim
    }

    /// What a download over MQTT costs with these faults.
    pub fn download(&self, planned: Planned) -> Traffic {
        let mut sim = self.simulation(Route::Mqtt);
        sim.network.planned = planned;
        finish(sim)
    }
}

/// Runs the update to its end, and returns what it cost. Panics unless it succeeds.
pub fn finish(mut sim: Simulation) -> Traffic {
    let ended = sim.run(WHILE_MS, |_| Flow::Go);
    assert_eq!(sim.checks.violations, [] as [String; 0]);
    assert_eq!((ended, sim.verdict("job")), (Ended::Quiet, (ota_jobs::Status::Succeeded, None)));
    sim.traffic.lost = sim.network.lost;
    sim.traffic
}
