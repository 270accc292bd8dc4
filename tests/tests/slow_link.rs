//! Links that carry some hundred bytes per second, without TLS: a wait is for silence, never for a whole block.

use ota_agent::AgentConfig;
use ota_jobs::Status;
use ota_tests::fixtures::order;
use ota_tests::job::{Kind, Order};
use ota_tests::sim::{Ended, Flow, Setup, Simulation};

const BYTES_PER_S: u64 = 320;
/// Longer than the largest of these images takes.
const WHILE_MS: u64 = 3_600_000;

#[test]
fn blocks_of_every_size_arrive_once_at_320_bytes_per_second() {
    for (block_bytes, image_bytes) in
        [(256, 20_000), (1_024, 50_000), (4_096, 100_000), (32_768, 140_000), (131_072, 500_000)]
    {
        let config = AgentConfig::new("thing").and_then(|config| config.with_block_bytes(block_bytes));
        let config = config.expect("a plain name and a size in range");
        let mut sim = Simulation::new(Setup { config, slot_sectors: 160, ..Setup::new(1) });
        sim.network.conditions.bytes_per_s = BYTES_PER_S;
        sim.create(&Order { image_bytes, ..order("job", Kind::Good, 2) });
        let ended = sim.run(WHILE_MS, |_| Flow::Go);
        assert_eq!(sim.checks.violations, [] as [String; 0], "blocks of {block_bytes} bytes");
        assert_eq!((ended, sim.verdict("job").0), (Ended::Quiet, Status::Succeeded), "blocks of {block_bytes} bytes");
        assert_eq!(sim.traffic.blocks, image_bytes.div_ceil(block_bytes), "blocks of {block_bytes} bytes");
    }
}
