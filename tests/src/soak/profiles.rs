//! Links drawn from a seed: Wi-Fi, LTE-M, NB-IoT, a lossy mesh, and any other. Faults of the link last for the whole run; those
//! that begin and end are actions of the scenario.

use crate::conditions::NetworkConditions;
use crate::link::{LTE_M, NB_IOT};
use crate::rng::Rng;

/// The conditions of a random link.
pub(super) fn conditions(rng: &mut Rng) -> NetworkConditions {
    match rng.below(10) {
        0 => NetworkConditions::IDEAL,
        1 => wifi(rng),
        2 => lte_m(rng),
        3 => nb_iot(rng),
        4 => mesh(rng),
        _ => any(rng),
    }
}

/// Fast, and at times gone for a second.
fn wifi(rng: &mut Rng) -> NetworkConditions {
    NetworkConditions {
        delay_ms: rng.between(1, 10),
        jitter_ms: rng.pick(&[0, 5, 100]),
        bytes_per_s: rng.pick(&[500_000, 5_000_000]),
        bursts: rng.below(2),
        burst_ms: 1_000,
        ..NetworkConditions::IDEAL
    }
}

/// The device asks for its turn to send.
fn lte_m(rng: &mut Rng) -> NetworkConditions {
    NetworkConditions {
        up_delay_ms: rng.between(20, 150),
        jitter_ms: rng.pick(&[10, 80]),
        loss: rng.below(2),
        bursts: rng.below(2),
        burst_ms: 3_000,
        ..LTE_M.conditions()
    }
}

/// Slow; what the device sends may wait for seconds.
fn nb_iot(rng: &mut Rng) -> NetworkConditions {
    NetworkConditions {
        up_delay_ms: rng.between(100, 4_000),
        jitter_ms: rng.pick(&[50, 1_000]),
        bytes_per_s: rng.pick(&[3_125, NB_IOT.bytes_per_s]),
        loss: rng.below(3),
        ..NB_IOT.conditions()
    }
}

/// Hops that lose, repeat and overtake.
fn mesh(rng: &mut Rng) -> NetworkConditions {
    NetworkConditions {
        delay_ms: rng.between(30, 500),
        up_delay_ms: rng.below(500),
        jitter_ms: rng.between(50, 1_000),
        bytes_per_s: rng.pick(&[10_000, 50_000]),
        loss: rng.between(10, 50),
        bursts: rng.below(5),
        burst_ms: 5_000,
        duplicates: rng.between(1, 20),
        reorder: rng.between(1, 30),
        garbage: rng.below(3),
    }
}

fn any(rng: &mut Rng) -> NetworkConditions {
    NetworkConditions {
        delay_ms: rng.between(1, 300),
        up_delay_ms: rng.pick(&[0, 0, 0, 50, 2_000]),
        jitter_ms: rng.pick(&[0, 20, 400]),
        bytes_per_s: rng.pick(&[0, 500_000, 128_000, 50_000]),
        loss: rng.below(31),
        bursts: rng.pick(&[0, 0, 1, 5]),
        burst_ms: rng.pick(&[200, 10_000]),
        duplicates: rng.pick(&[0, 0, 5, 20]),
        reorder: rng.pick(&[0, 0, 5, 30]),
        garbage: rng.pick(&[0, 0, 2, 10]),
    }
}
