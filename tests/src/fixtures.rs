//! Fixtures: jobs, set-ups and queries for tests that inject one fault at a time into a run without any other.

use ota_agent::Notice;
use ota_pal::{RollbackCounters, SlotId};

use crate::job::{Kind, Order, Route};
use crate::sim::{Ended, Flow, Setup, Simulation};

/// The image of [`order`], but for its patch: 98 blocks, the last one short.
pub const IMAGE_BYTES: u32 = 100_000;
/// Longer than any update takes, its trial included.
pub const WHILE_MS: u64 = 900_000;

/// A simulation with the agent's defaults.
pub fn sim() -> Simulation {
    Simulation::new(Setup::new(1))
}

/// A job over MQTT whose image is version 1.0.`patch`, `patch` bytes longer than [`IMAGE_BYTES`].
pub fn order(id: &str, kind: Kind, patch: u32) -> Order {
    Order {
        id: id.into(),
        kind,
        route: Route::Mqtt,
        patch,
        image_bytes: IMAGE_BYTES + patch,
        asks: RollbackCounters::default(),
        component: ota_pal::Component::App,
        by_next_key: false,
    }
}

/// As [`order`], over HTTP.
pub fn http_order(id: &str, kind: Kind, patch: u32) -> Order {
    Order { route: Route::Http, ..order(id, kind, patch) }
}

/// Runs until no event is left. Panics on a timeout or on a violated check.
pub fn run(sim: &mut Simulation) {
    let ended = sim.run(WHILE_MS, |_| Flow::Go);
    assert_eq!(sim.checks.violations, [] as [String; 0]);
    assert_eq!(ended, Ended::Quiet);
}

/// The state after a single job `job` with version 1.0.2 has ended.
pub fn sim_after(kind: Kind) -> Simulation {
    let mut sim = sim();
    sim.create(&order("job", kind, 2));
    run(&mut sim);
    sim
}

/// The confirmed slot, and the patch of the version in it.
pub fn confirmed(sim: &Simulation) -> (SlotId, u32) {
    sim.device.confirmed()
}

/// The notices of the application, with digests zeroed.
pub fn notices_of(sim: &Simulation) -> Vec<Notice> {
    let plain = |notice: &Notice| match *notice {
        Notice::VerifySucceeded { .. } => Notice::VerifySucceeded { digest: [0; 32] },
        other => other,
    };
    sim.notices().iter().map(plain).collect()
}
