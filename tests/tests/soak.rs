//! Soak runs of simulated devices, each the life of one from a seed, on all cores.
//!
//! `LIVES=N` sets their number. A failing seed is printed, and `SEED=N` repeats that life; with both, `SEED` is the first.

use std::collections::BTreeSet;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Instant;
use std::{env, ops::Range};

use ota_tests::soak::{RunSummary, run};

/// Lives of a plain `cargo test`: a few seconds without optimisation.
const LIVES_DEFAULT: u64 = 300;
/// What happens in them, each of it at least once.
const ACTIONS: [&str; 23] = [
    "clock jump",
    "command",
    "create",
    "create again",
    "create release",
    "create system",
    "disconnect",
    "flash",
    "half-open",
    "hold",
    "in activating",
    "in downloading",
    "in reporting",
    "in resetting",
    "in testing",
    "reset",
    "restart",
    "retry",
    "silence",
    "stall",
    "supersede",
    "take back",
    "throttle",
];

fn number(name: &str) -> Option<u64> {
    env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number, not {text}")))
}

/// The seeds that the environment asks for.
fn seeds() -> Range<u64> {
    let first = number("SEED");
    let lives = number("LIVES").unwrap_or(if first.is_some() { 1 } else { LIVES_DEFAULT });
    first.unwrap_or(0)..first.unwrap_or(0) + lives
}

/// The results of some lives together.
#[derive(Default)]
struct Tally {
    /// Seeds, and what failed.
    failures: Vec<(u64, String)>,
    actions: BTreeSet<&'static str>,
    boots: u64,
    recovery_ms_max: u64,
}

impl Tally {
    fn add(&mut self, seed: u64) {
        let Ok(RunSummary { violations, jobs, boots, actions, recovery_ms, .. }) = catch_unwind(|| run(seed)) else {
            return self.failures.push((seed, again(seed) + "\n  it panics\n"));
        };
        if !violations.is_empty() {
            let text = format!("{}\n  {}\n  {boots} boots, {jobs:?}\n", again(seed), violations.join("\n  "));
            self.failures.push((seed, text));
        }
        self.actions.extend(actions);
        self.boots += u64::from(boots);
        self.recovery_ms_max = self.recovery_ms_max.max(recovery_ms);
    }

    fn join(mut self, other: Self) -> Self {
        self.failures.extend(other.failures);
        self.actions.extend(other.actions);
        self.boots += other.boots;
        self.recovery_ms_max = self.recovery_ms_max.max(other.recovery_ms_max);
        self
    }
}

/// The command that repeats a life.
fn again(seed: u64) -> String {
    format!("SEED={seed} cargo test -p ota-tests --test soak")
}

fn tally(seeds: Range<u64>) -> Tally {
    let next = AtomicU64::new(seeds.start);
    let some = || {
        let mut tally = Tally::default();
        let take = || Some(next.fetch_add(1, Ordering::Relaxed)).filter(|seed| *seed < seeds.end);
        std::iter::from_fn(take).for_each(|seed| tally.add(seed));
        tally
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut tally = thread::scope(|scope| {
        let threads: Vec<_> = (0..cores).map(|_| scope.spawn(some)).collect();
        let tallies = threads.into_iter().map(|thread| thread.join().expect("panics are caught"));
        tallies.fold(Tally::default(), Tally::join)
    });
    tally.failures.sort();
    tally
}

#[test]
fn no_life_violates_an_invariant() {
    let (seeds, begun) = (seeds(), Instant::now());
    let lives = seeds.end - seeds.start;
    let Tally { failures, boots, recovery_ms_max, actions } = tally(seeds);
    let per_s = lives as f64 / begun.elapsed().as_secs_f64();
    println!("{lives} lives, {boots} boots, {per_s:.0} lives per second");
    println!("without faults the last job ended within {recovery_ms_max} ms");
    let texts: String = failures.iter().map(|(_, text)| text.as_str()).collect();
    assert!(failures.is_empty(), "{} of {lives} lives failed:\n{texts}", failures.len());
    let missing: Vec<&&str> = ACTIONS.iter().filter(|action| !actions.contains(*action)).collect();
    assert!(lives < LIVES_DEFAULT || missing.is_empty(), "never happened: {missing:?}");
}

#[test]
fn a_life_with_the_same_seed_is_the_same() {
    for seed in 0..3 {
        let (one, two) = (run(seed), run(seed));
        assert_eq!((one.boots, one.messages, one.jobs), (two.boots, two.messages, two.jobs), "{seed}");
    }
}
