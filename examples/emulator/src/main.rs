//! The story of the demo on real firmware: an emulated Cortex-M3 is updated over MQTT and HTTP, a version that hangs is rolled back
//! by the watchdog, a tampered image is refused, and a factory reset returns to the first version.

use std::process::ExitCode;

use clap::Parser;
use ota_emulator::board::Board;
use ota_emulator::flash::digest;
use ota_emulator::machine::MPS2;
use ota_emulator::missing;
use ota_emulator::programs::{Programs, RELEASES};
use ota_emulator::world::World;
use ota_examples::device::Error;
use ota_examples::lines::{Kind, Line};
use ota_pal::SlotId;

/// Update real firmware on an emulated board, from the job to the committed image, and back
#[derive(Parser)]
struct Options {
    /// Protocol of the downloads, mqtt or http; by default the story runs once with each
    #[arg(long)]
    protocol: Option<String>,
}

/// What is expected of a job.
struct Expected {
    status: &'static str,
    detail: &'static str,
    version: &'static str,
}

/// What a job did.
#[derive(Default)]
struct Outcome {
    job: String,
    status: String,
    version: String,
    is_expected: bool,
    /// From the reset to the first line of the next program.
    reset_ms: Option<u64>,
    /// The longest time between two ticks of 10 ms during the download.
    tick: Option<String>,
}

const GOOD: Expected = Expected { status: "SUCCEEDED", detail: "accepted", version: "2.0.0" };
const HANGING: Expected = Expected { status: "FAILED", detail: "TrialAttemptsExhausted", version: "2.0.0" };
const FORGED: Expected = Expected { status: "FAILED", detail: "SignatureInvalid", version: "2.0.0" };

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> ExitCode {
    match run(&Options::parse()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("emulator: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs the story; returns whether all results are as expected.
async fn run(options: &Options) -> Result<bool, Error> {
    if let Some(tool) = missing() {
        return Err(format!("needs {tool}").into());
    }
    println!("building the boot selector and three versions of the firmware ...");
    let mut outcomes = Vec::new();
    for protocol in ["mqtt", "http"].iter().filter(|name| options.protocol.as_ref().is_none_or(|one| one == *name)) {
        let world = World::start("emulator", Programs::build(&MPS2, &RELEASES)?, &RELEASES[0]).await?;
        let done = chapter(&world, protocol, &mut outcomes).await;
        world.stop().await;
        done?;
    }
    print(&outcomes);
    Ok(!outcomes.is_empty() && outcomes.iter().all(|outcome| outcome.is_expected))
}

/// All jobs of one board.
async fn chapter(world: &World, protocol: &str, outcomes: &mut Vec<Outcome>) -> Result<(), Error> {
    println!("\n== over {protocol}");
    let [first, good, hanging] = &RELEASES;
    let mut board = world.board()?;
    show_until(&mut board, Kind::Notice, "NoUpdate").await?;

    world.command("pump on").await?;
    show_until(&mut board, Kind::Notice, "pump on").await?;
    world.release("v2", good, protocol)?;
    show_until(&mut board, Kind::Notice, "Postponed").await?;
    world.command("pump off").await?;
    outcomes.push(settle(world, &mut board, "v2", GOOD).await?);

    world.release("v3", hanging, protocol)?;
    outcomes.push(settle(world, &mut board, "v3", HANGING).await?);

    let forged = world.folder().join("forged.img");
    world.programs.forge(hanging, "b", &forged)?; // the free slot
    world.job("forged", &[&forged], protocol)?;
    outcomes.push(settle(world, &mut board, "forged", FORGED).await?);

    world.command("factory reset").await?;
    show_until(&mut board, Kind::Boot, "boots slot factory").await?;
    let line = show_until(&mut board, Kind::Start, "").await?;
    let is_expected = line.text == first.version;
    let status = "-".to_owned();
    outcomes.push(Outcome {
        job: "factory reset".into(),
        status,
        version: line.text,
        is_expected,
        ..Outcome::default()
    });
    board.kill().await
}

/// Shows the console until the job is settled, and compares the results.
async fn settle(world: &World, board: &mut Board, job: &str, expected: Expected) -> Result<Outcome, Error> {
    let mut outcome = Outcome { job: job.to_owned(), ..Outcome::default() };
    let mut reset_at = None;
    loop {
        let line = board.line().await?;
        show(&line);
        match line.kind {
            Kind::Boot if line.text == "reset" => reset_at = Some(line.at_ms),
            Kind::Start => outcome.reset_ms = outcome.reset_ms.or(reset_at.map(|at| line.at_ms - at)),
            Kind::Notice if line.text == "Settled" => break,
            Kind::Notice => {
                let tick = line.text.strip_prefix("tick: at most ").and_then(|rest| rest.strip_suffix(" apart"));
                outcome.tick = outcome.tick.or(tick.map(str::to_owned));
            }
            _ => {}
        }
    }
    let execution = world.execution(job).await?;
    let details = execution.details.map(|details| details.get().to_owned()).unwrap_or_default();
    let running = world.flash.running()?;
    outcome.version = running.version.to_string();
    let slot = if running.slot == SlotId::A { "a" } else { "b" };
    let is_intact = running.digest == digest(&world.programs.image(&RELEASES[1], slot))?;
    outcome.is_expected = execution.status == expected.status
        && details.contains(expected.detail)
        && outcome.version == expected.version
        && is_intact;
    outcome.status = format!("{} {}", execution.status, details);
    Ok(outcome)
}

async fn show_until(board: &mut Board, kind: Kind, text: &str) -> Result<Line, Error> {
    loop {
        let line = board.line().await?;
        show(&line);
        if line.kind == kind && line.text.starts_with(text) {
            return Ok(line);
        }
    }
}

/// Prints a line of the console, shortened.
fn show(line: &Line) {
    let kind = match line.kind {
        Kind::Out => "->",
        Kind::In => "<-",
        Kind::Boot => "boot",
        Kind::Start => "start",
        Kind::Notice | Kind::Progress => "",
    };
    let topic = line.topic.rsplit_once("/jobs/").map_or("", |(_, rest)| rest);
    let text: String = format!("{kind:<6}{topic} {}", line.text).chars().take(100).collect();
    println!("{}.{:03} {text}", line.at_ms / 1000 % 1000, line.at_ms % 1000);
}

fn print(outcomes: &[Outcome]) {
    println!("\nResults");
    for outcome in outcomes {
        let Outcome { job, status, version, is_expected, reset_ms, tick } = outcome;
        let is_expected = if *is_expected { "as expected" } else { "NOT AS EXPECTED" };
        println!("{job}: {is_expected}, runs v{version}, job {status}");
        if let (Some(reset), Some(tick)) = (reset_ms, tick) {
            println!("  from the reset to the next program's first line {reset} ms; 10 ms tick at most {tick} apart");
        }
    }
}
