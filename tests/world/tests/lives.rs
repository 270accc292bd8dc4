//! Devices are updated over connections that fail, on a virtual clock. `LIVES=N` sets their number, `SEED=N` the first of them.

use std::env;

use ota_jobs::Status;
use ota_pal::SlotId;
use ota_world::live;

/// Some seconds without optimisation.
const LIVES_DEFAULT: u64 = 40;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

#[test]
fn every_device_is_updated_whatever_happens_to_its_connections() {
    let first = number("SEED");
    let lives = number("LIVES").unwrap_or(if first.is_some() { 1 } else { LIVES_DEFAULT });
    let first = first.unwrap_or(0);
    let (mut faults, mut longest_ms, mut connections) = ([0; 6], 0, [0; 2]);
    for seed in first..first + lives {
        let life = live(seed);
        assert_eq!((life.status, life.confirmed), (Status::Succeeded, SlotId::B), "seed {seed}: {life:?}");
        let all = &life.faults;
        let these = [all.refused, all.unanswered, all.ended, all.half_open, all.stalled, all.partial];
        faults.iter_mut().zip(these).for_each(|(sum, count)| *sum += count);
        connections.iter_mut().zip(life.connections).for_each(|(sum, count)| *sum += count);
        longest_ms = longest_ms.max(life.took_ms);
    }
    println!("{lives} lives of {longest_ms} ms at most, {connections:?} connections to broker and server");
    println!("refused, unanswered, ended, half-open, stalled, written in part: {faults:?}");
    assert!(lives < LIVES_DEFAULT || !faults.contains(&0), "some fault never occurred: {faults:?}");
}
