//! Power cuts at every flash operation of every scenario, with every effect, on every chip; second cuts during the recovery;
//! and flash failures, reported or not. No device is bricked, every report is true, and every job ends.
//!
//! A sample runs by default. `CUTS=all` runs every case (with `--release`, half an hour), `CUT=good/4x4096/3:Head` one;
//! `SEED=7` draws other cases where they are drawn.

use std::env;
use std::sync::atomic::{AtomicUsize, Ordering};

use ota_tests::cuts::{Case, SMALL_STORIES, STORIES, Story, tell};
use ota_tests::dice::Dice;
use ota_tests::nor::{Blow, CHIPS, Chip, Mishap, PLAIN, Tear};

/// Number of printed failures.
const COMPLAINTS_MAX: usize = 3;

/// Failed cases of all tests together.
static WRONG: AtomicUsize = AtomicUsize::new(0);

/// More than the reads of a short scenario.
const READS: u32 = 2_000;

/// A default run includes one of so many cuts; coprime to the number of effects, so that it covers all of them.
const PART_OF_ONE: u32 = 17;

/// A default run includes one of so many pairs of cuts; a prime, so that it covers every effect.
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
    complaints: Vec<String>,
}

impl Tally {
    /// Runs a case and returns its number of operations. After enough failures, no more are run: a broken device may reset
    /// endlessly.
    fn tell(&mut self, case: &Case) -> u32 {
        if WRONG.load(Ordering::Relaxed) >= COMPLAINTS_MAX {
            return 0;
        }
        let told = tell(case);
        self.cases += 1;
        self.operations += u64::from(told.operations);
        if !told.complaints.is_empty() {
            WRONG.fetch_add(1, Ordering::Relaxed);
            let again = format!("CUT={case} cargo test -p ota-tests --test cuts");
            self.complaints.push(format!("{again}\n  {}\n", told.complaints.join("\n  ")));
        }
        told.operations
    }

    fn close(self, what: &str) {
        println!("{what}: {} cases, {} operations, {} violations", self.cases, self.operations, self.complaints.len());
        let first: String = self.complaints.iter().take(COMPLAINTS_MAX).cloned().collect();
        assert!(self.complaints.is_empty(), "{} cases failed, the first of them:\n{first}", self.complaints.len());
    }
}

fn case(story: &'static Story, chip: Chip, cuts: &[(u32, Tear)]) -> Case {
    Case { story, chip, blows: cuts.iter().map(|(at, tear)| Mishap { at: *at, blow: Blow::Cut(*tear) }).collect() }
}

/// Runs the cases of each of these in parallel and collects the results.
fn side_by_side<T: Copy + Send>(these: impl IntoIterator<Item = T>, tell: impl Fn(&mut Tally, T) + Sync) -> Tally {
    let mut whole = Tally::default();
    std::thread::scope(|scope| {
        let tell = &tell;
        let one = |this| {
            scope.spawn(move || {
                let mut tally = Tally::default();
                tell(&mut tally, this);
                tally
            })
        };
        let threads: Vec<_> = these.into_iter().map(one).collect();
        for thread in threads {
            let mut part = thread.join().expect("what panics in a case is a complaint");
            whole.cases += part.cases;
            whole.operations += part.operations;
            whole.complaints.append(&mut part.complaints);
        }
    });
    whole
}

/// Whether a default run includes this case, one of every `in_how_many`, so that all effects occur.
fn is_told(turn: u32, in_how_many: u32) -> bool {
    all() || turn.is_multiple_of(in_how_many)
}

#[test]
fn the_truth_survives_a_cut_at_every_operation_in_every_way_on_every_chip() {
    if let Ok(text) = env::var("CUT") {
        let case: Case = text.parse().unwrap_or_else(|_| panic!("`{text}` is no case: see tests/src/cuts.rs"));
        let mut tally = Tally::default();
        tally.tell(&case);
        return tally.close(&text);
    }
    let tally = side_by_side(CHIPS, |tally, chip| {
        for story in &STORIES {
            let operations = tally.tell(&case(story, chip, &[]));
            let part = if story.is_staged() { PART_OF_ONE_STAGED } else { PART_OF_ONE };
            for (at, (way, tear)) in (0..operations).flat_map(|at| (0..).zip(Tear::ALL).map(move |tear| (at, tear))) {
                if is_told(at + way, part) {
                    tally.tell(&case(story, chip, &[(at, tear)]));
                }
            }
        }
    });
    tally.close("one cut");
}

#[test]
fn the_truth_survives_a_flash_that_fails_or_lies_at_every_operation() {
    let stories = STORIES.iter().filter(|story| story.is_short() && !story.is_of_damage());
    let tally = side_by_side(stories, |tally, story| {
        let operations = tally.tell(&case(story, PLAIN, &[]));
        let thinner = if story.is_staged() { 5 } else { 1 };
        for (at, blow) in (0..operations).flat_map(|at| [Blow::Fail, Blow::Deny, Blow::Ignore].map(|blow| (at, blow))) {
            if is_told(at, 2 * thinner) {
                tally.tell(&Case { story, chip: PLAIN, blows: vec![Mishap { at, blow }] });
            }
        }
        for at in 0..READS {
            if is_told(at, if story.is_staged() { 31 } else { 11 }) {
                tally.tell(&Case { story, chip: PLAIN, blows: vec![Mishap { at, blow: Blow::Misread }] });
            }
        }
    });
    tally.close("one fault");
}

/// Every second cut after every first one, in the short stories with a small image.
#[test]
fn the_truth_survives_a_second_cut_while_the_device_recovers() {
    let tally = side_by_side(SMALL_STORIES.iter(), |tally, story| {
        let operations = tally.tell(&case(story, PLAIN, &[]));
        let part = if story.is_staged() { PART_OF_TWO_STAGED } else { PART_OF_TWO };
        let mut turn = 0_u32;
        for (first, tear) in (0..operations).flat_map(|at| Tear::ALL.map(|tear| (at, tear))) {
            let told = if all() { tally.tell(&case(story, PLAIN, &[(first, tear)])) } else { operations };
            for (second, again) in (0..told - first.min(told)).flat_map(|at| Tear::ALL.map(|tear| (at, tear))) {
                turn += 1;
                let is_its_turn = match story.is_staged() {
                    true if all() => turn.is_multiple_of(PART_OF_ALL_STAGED),
                    _ => is_told(turn, part),
                };
                if is_its_turn {
                    tally.tell(&case(story, PLAIN, &[(first, tear), (second, again)]));
                }
            }
        }
    });
    tally.close("two cuts");
}

#[test]
fn the_truth_survives_three_cuts_and_more_from_a_seed() {
    let first =
        env::var("SEED").map_or(0, |text| text.parse().unwrap_or_else(|_| panic!("SEED is a number, not {text}")));
    let tally = side_by_side(first..first + 2, |tally, seed| {
        let mut dice = Dice::new(seed);
        for _ in 0..if all() { 10_000 } else { 150 } {
            let story = &STORIES[dice.below(STORIES.len() as u64) as usize];
            let cuts: Vec<_> =
                (0..dice.between(3, 8)).map(|_| (dice.below(40) as u32, dice.pick(&Tear::ALL))).collect();
            tally.tell(&case(story, dice.pick(&CHIPS), &cuts));
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
        tally.tell(&text.parse().expect("a case"));
    }
    tally.close("once wrong");
}
