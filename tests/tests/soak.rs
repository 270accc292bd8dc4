//! Soak runs of simulated devices, each from a seed.
//!
//! `RUNS=N` sets their number. A failing seed is printed, and `SEED=N` repeats that run.

use std::env;

use ota_tests::soak::{RunSummary, run};

/// Runs of a plain `cargo test`: a few seconds without optimisation.
const RUNS_DEFAULT: u64 = 300;

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

/// The violations of a run, and the command that repeats it.
fn failure(seed: u64, summary: &RunSummary) -> Option<String> {
    let RunSummary { violations, jobs, boots, .. } = summary;
    let again = format!("SEED={seed} cargo test -p ota-tests --test soak");
    (!violations.is_empty()).then(|| format!("{again}\n  {}\n  {boots} boots, {jobs:?}\n", violations.join("\n  ")))
}

#[test]
fn no_run_violates_an_invariant() {
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("RUNS").unwrap_or(RUNS_DEFAULT),
    };
    let failures: Vec<String> = seeds.filter_map(|seed| failure(seed, &run(seed))).collect();
    assert!(failures.is_empty(), "{} runs failed:\n{}", failures.len(), failures.concat());
}

#[test]
fn a_run_with_the_same_seed_is_the_same() {
    for seed in 0..3 {
        let (one, two) = (run(seed), run(seed));
        assert_eq!((one.boots, one.messages, one.jobs), (two.boots, two.messages, two.jobs), "{seed}");
    }
}
