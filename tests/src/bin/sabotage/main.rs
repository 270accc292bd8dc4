//! Applies the tables of planted bugs, one row at a time, in a copy of the tree, and runs the test beside each: a test that
//! passes with the bug in place shows nothing. Arguments: the ids to try. Without any, `SABOTAGE` rows (a number, ten by
//! default, or `all`) are drawn from `SABOTAGE_SEED`. After `SABOTAGE_MINUTES` no further row is begun. With `--compile` no
//! test runs: all bugs are planted and compiled, many at once.

mod bench;
mod compile;
mod copy;

use std::collections::HashSet;
use std::error::Error;
use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use ota_tests::rng::Rng;
use ota_tests::rows::{self, Row};

use crate::bench::{Bench, Tested};

/// Rows that are drawn where `SABOTAGE` is not set.
const ROWS: usize = 10;

/// Slow rows among those that are drawn.
const SLOW_ROWS_MAX: usize = 1;

type Outcome<T> = Result<T, Box<dyn Error>>;

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("sabotage: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Returns the number of bugs that no test noticed, or that do not compile.
fn run() -> Outcome<usize> {
    let top = rows::top();
    let rows = rows::read(&top)?;
    let bench = Bench { copy: copy::copy(&top)?, target: top.join("target/sabotage/target") };
    match std::env::args().nth(1).as_deref() {
        Some("--compile") => compile::compile(&bench, &rows),
        _ => {
            copy::share_dependencies(&top.join("target/debug"), &bench.target.join("debug"))?;
            test(&bench, &chosen(rows)?)
        }
    }
}

/// Returns the number of bugs that no test noticed.
fn test(bench: &Bench, rows: &[Row]) -> Outcome<usize> {
    let minutes = number("SABOTAGE_MINUTES")?.unwrap_or(u64::MAX / 60);
    let begun = Instant::now();
    let (mut tried, mut unnoticed) = (0, 0);
    let mut known_to_pass = HashSet::new();
    for row in rows {
        if begun.elapsed().as_secs() >= 60 * minutes {
            println!("out of time: {} rows were not tried", rows.len() - tried);
            break;
        }
        tried += 1;
        let start = Instant::now();
        if known_to_pass.insert(&row.test) && bench.run(row)? != Tested::Passed {
            return Err(format!("{}: the test fails without any change: {}", row.id, row.test).into());
        }
        let noticed = bench.run_with_bug(row)? == Tested::Failed;
        let verdict = if noticed { "noticed" } else { "NOT NOTICED" };
        println!("{}  {verdict}  {:>4} s  {}", row.id, start.elapsed().as_secs(), row.test);
        unnoticed += usize::from(!noticed);
    }
    println!("{tried} planted bugs, {unnoticed} not noticed");
    Ok(unnoticed)
}

/// The rows that the arguments or the environment ask for.
fn chosen(mut rows: Vec<Row>) -> Outcome<Vec<Row>> {
    let ids: Vec<String> = std::env::args().skip(1).collect();
    if let Some(missing) = ids.iter().find(|id| !rows.iter().any(|row| row.id == **id)) {
        return Err(format!("no row {missing} in {}", rows::PAGES.join(", ")).into());
    }
    if !ids.is_empty() {
        rows.retain(|row| ids.contains(&row.id));
        return Ok(rows);
    }
    let count = match std::env::var("SABOTAGE") {
        Ok(all) if all == "all" => return Ok(rows),
        Ok(count) => count.parse().map_err(|_| format!("SABOTAGE={count}: a number, or all"))?,
        Err(_) => ROWS,
    };
    let seed = match number("SABOTAGE_SEED")? {
        Some(seed) => seed,
        None => SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
    };
    println!("SABOTAGE={count} SABOTAGE_SEED={seed}: of {} rows", rows.len());
    let mut rng = Rng::new(seed);
    let mut drawn = Vec::new();
    while drawn.len() < count && !rows.is_empty() {
        let row = rows.swap_remove(rng.below(rows.len() as u64) as usize);
        if !is_slow(&row) || drawn.iter().filter(|row| is_slow(row)).count() < SLOW_ROWS_MAX {
            drawn.push(row);
        }
    }
    // Rows of one package together, so that less is built; the slow ones last.
    drawn.sort_by_key(|row| (is_slow(row), row.test.clone()));
    Ok(drawn)
}

/// Whether the row's test takes minutes: every power cut of every scenario.
fn is_slow(row: &Row) -> bool {
    row.test.ends_with("--test cuts")
}

/// The number in an environment variable, if it is set.
fn number(name: &str) -> Outcome<Option<u64>> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    Ok(Some(text.parse().map_err(|_| format!("{name}={text}: a number"))?))
}
