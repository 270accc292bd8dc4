//! Soak runs of simulated devices, each from a seed.
//!
//! `RUNS=N` sets their number. A failing seed is printed, and `SEED=N` repeats that run.

use std::env;

use ota_tests::life::{Account, live};

/// Runs of a plain `cargo test`: a few seconds without optimisation.
const RUNS_DEFAULT: u64 = 300;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

/// The violations of a run, and the command that repeats it.
fn complaint(seed: u64, account: &Account) -> Option<String> {
    let Account { violations, jobs, boots, .. } = account;
    let again = format!("SEED={seed} cargo test -p ota-tests --test world");
    (!violations.is_empty()).then(|| format!("{again}\n  {}\n  {boots} boots, {jobs:?}\n", violations.join("\n  ")))
}

#[test]
fn in_no_life_happens_what_must_never_happen() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RUNS").unwrap_or(RUNS_DEFAULT),
    };
    let complaints: Vec<String> = seeds.filter_map(|seed| complaint(seed, &live(seed))).collect();
    assert!(complaints.is_empty(), "{} runs failed:\n{}", complaints.len(), complaints.concat());
}

#[test]
fn a_life_is_the_same_when_it_is_lived_again() {
    for seed in 0..3 {
        let (one, two) = (live(seed), live(seed));
        assert_eq!((one.boots, one.messages, one.jobs), (two.boots, two.messages, two.jobs), "{seed}");
    }
}
