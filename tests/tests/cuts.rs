//! Power cuts at every flash operation of every scenario, with every effect, on every chip; second cuts during the recovery;
//! and flash failures, reported or not. No device is bricked, every report is true, and every job ends.
//!
//! A sample runs by default. `CUTS=all` runs every case (with `--release`, half an hour), `CUT=good/4x4096/3:Head` one;
//! `SEED=7` draws other cases where they are drawn.

use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};

use ota_tests::cuts::{Case, SCENARIOS, SMALL_SCENARIOS, Scenario, run_case};
use ota_tests::nor::{CHIPS, Chip, CutEffect, FlashFault, PLAIN, PlannedFault};
use ota_tests::rng::Rng;

/// Number of printed failures.
const COMPLAINTS_MAX: usize = 3;

/// Failed cases of all tests together.
static WRONG: AtomicUsize = AtomicUsize::new(0);

/// More than the reads of a short scenario.
const READS: u32 = 2_000;

/// A default run includes one cut in this many; coprime to the number of effects, so that it covers all of them.
const PART_OF_ONE: u32 = 17;

/// A default run includes one pair of cuts in this many; a prime, so that it covers every effect.
const PART_OF_TWO: u32 = 151;

/// The same where images are copied: there, most operations are alike.
const PART_OF_ONE_STAGED: u32 = 311;
const PART_OF_TWO_STAGED: u32 = 7_001;
/// Nor does `CUTS=all` include all pairs of those: there are millions.
const PART_OF_ALL_STAGED: u32 = 1_999;

/// The valid values of `CUTS`.
fn all() -> bool {
    match env::var("CUTS").as_deref() {
        Ok("all") => true,
        Ok(other) => panic!("CUTS is `all` or not set, not `{other}`"),
        Err(_) => false,
    }
}

/// Cases that were run, and their failures.
#[derive(Default)]
struct Tally {
    cases: u64,
    operations: u64,
    failures: Vec<String>,
}

impl Tally {
    /// Runs a case and returns its number of operations. After enough failures, no more are run: a broken device may reset
    /// endlessly.
    fn run(&mut self, case: &Case) -> u32 {
        if WRONG.load(Ordering::Relaxed) >= COMPLAINTS_MAX {
            return 0;
        }
        let result = run_case(case);
        self.cases += 1;
        self.operations += u64::from(result.operations);
        if !result.failures.is_empty() {
            WRONG.fetch_add(1, Ordering::Relaxed);
            let again = format!("CUT={case} cargo test -p ota-tests --test cuts");
            self.failures.push(format!("{again}\n  {}\n", result.failures.join("\n  ")));
        }
        result.operations
    }

    fn close(self, what: &str) {
        println!("{what}: {} cases, {} operations, {} violations", self.cases, self.operations, self.failures.len());
        let first: String = self.failures.iter().take(COMPLAINTS_MAX).cloned().collect();
        assert!(self.failures.is_empty(), "{} cases failed, the first of them:\n{first}", self.failures.len());
    }
}

fn case(scenario: &'static Scenario, chip: Chip, cuts: &[(u32, CutEffect)]) -> Case {
    Case {
        scenario,
        chip,
        faults: cuts.iter().map(|(at, effect)| PlannedFault { at: *at, fault: FlashFault::Cut(*effect) }).collect(),
    }
}

/// Runs the cases of each of these in parallel and collects the results.
fn in_parallel<T: Copy + Send>(these: impl IntoIterator<Item = T>, run: impl Fn(&mut Tally, T) + Sync) -> Tally {
    let mut whole = Tally::default();
    std::thread::scope(|scope| {
        let run = &run;
        let one = |this| {
            scope.spawn(move || {
                let mut tally = Tally::default();
                run(&mut tally, this);
                tally
            })
        };
        let threads: Vec<_> = these.into_iter().map(one).collect();
        for thread in threads {
            let mut part = thread.join().expect("what panics in a case is a failure");
            whole.cases += part.cases;
            whole.operations += part.operations;
            whole.failures.append(&mut part.failures);
        }
    });
    whole
}

/// Whether a default run includes this case, one of every `in_how_many`, so that all effects occur.
fn is_included(turn: u32, in_how_many: u32) -> bool {
    all() || turn.is_multiple_of(in_how_many)
}

#[test]
fn reports_stay_true_despite_a_cut_at_every_operation_in_every_way_on_every_chip() {
    if let Ok(text) = env::var("CUT") {
        let case: Case = text.parse().unwrap_or_else(|_| panic!("`{text}` is no case: see tests/src/cuts.rs"));
        let mut tally = Tally::default();
        tally.run(&case);
        return tally.close(&text);
    }
    let tally = in_parallel(CHIPS, |tally, chip| {
        for scenario in &SCENARIOS {
            let operations = tally.run(&case(scenario, chip, &[]));
            let part = if scenario.is_staged() { PART_OF_ONE_STAGED } else { PART_OF_ONE };
            for (at, (way, effect)) in
                (0..operations).flat_map(|at| (0..).zip(CutEffect::ALL).map(move |effect| (at, effect)))
            {
                if is_included(at + way, part) {
                    tally.run(&case(scenario, chip, &[(at, effect)]));
                }
            }
        }
    });
    tally.close("one cut");
}

#[test]
fn reports_stay_true_despite_a_flash_that_fails_or_misreports_at_every_operation() {
    let scenarios = SCENARIOS.iter().filter(|scenario| scenario.is_short() && !scenario.is_of_damage());
    let tally = in_parallel(scenarios, |tally, scenario| {
        let operations = tally.run(&case(scenario, PLAIN, &[]));
        let thinner = if scenario.is_staged() { 5 } else { 1 };
        for (at, fault) in (0..operations)
            .flat_map(|at| [FlashFault::Fail, FlashFault::Deny, FlashFault::Ignore].map(|fault| (at, fault)))
        {
            if is_included(at, 2 * thinner) {
                tally.run(&Case { scenario, chip: PLAIN, faults: vec![PlannedFault { at, fault }] });
            }
        }
        for at in 0..READS {
            if is_included(at, if scenario.is_staged() { 31 } else { 11 }) {
                tally.run(&Case {
                    scenario,
                    chip: PLAIN,
                    faults: vec![PlannedFault { at, fault: FlashFault::Misread }],
                });
            }
        }
    });
    tally.close("one fault");
}

/// Every second cut after every first one, in the short scenarios with a small image.
#[test]
fn reports_stay_true_despite_a_second_cut_while_the_device_recovers() {
    let tally = in_parallel(SMALL_SCENARIOS.iter(), |tally, scenario| {
        let operations = tally.run(&case(scenario, PLAIN, &[]));
        let part = if scenario.is_staged() { PART_OF_TWO_STAGED } else { PART_OF_TWO };
        let mut turn = 0_u32;
        for (first, effect) in (0..operations).flat_map(|at| CutEffect::ALL.map(|effect| (at, effect))) {
            let total = if all() { tally.run(&case(scenario, PLAIN, &[(first, effect)])) } else { operations };
            for (second, again) in
                (0..total - first.min(total)).flat_map(|at| CutEffect::ALL.map(|effect| (at, effect)))
            {
                turn += 1;
                let is_its_turn = match scenario.is_staged() {
                    true if all() => turn.is_multiple_of(PART_OF_ALL_STAGED),
                    _ => is_included(turn, part),
                };
                if is_its_turn {
                    tally.run(&case(scenario, PLAIN, &[(first, effect), (second, again)]));
                }
            }
        }
    });
    tally.close("two cuts");
}

#[test]
fn reports_stay_true_despite_three_cuts_and_more_from_a_seed() {
    let first =
        env::var("SEED").map_or(0, |text| text.parse().unwrap_or_else(|_| panic!("SEED is a number, not {text}")));
    let tally = in_parallel(first..first + 2, |tally, seed| {
        let mut rng = Rng::new(seed);
        for _ in 0..if all() { 10_000 } else { 150 } {
            let scenario = &SCENARIOS[rng.below(SCENARIOS.len() as u64) as usize];
            let cuts: Vec<_> =
                (0..rng.between(3, 8)).map(|_| (rng.below(40) as u32, rng.pick(&CutEffect::ALL))).collect();
            tally.run(&case(scenario, rng.pick(&CHIPS), &cuts));
        }
    });
    tally.close("three to eight cuts");
}

/// Cases that a seed found and that no default run includes.
const ONCE_WRONG: [&str; 1] = ["factory/4x256/36:Head,8:Before,38:Tail,7:Head,4:Head,4:Between,5:Between,1:Unreadable"];

#[test]
fn what_once_went_wrong_does_not_any_more() {
    let mut tally = Tally::default();
    for text in ONCE_WRONG {
        tally.run(&text.parse().expect("a case"));
    }
    tally.close("once wrong");
}
