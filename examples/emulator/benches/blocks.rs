//! Prints how long an update of the emulated board takes with blocks of 4 KiB and of 1 KiB, from the job to the reset: service,
//! broker, TLS and firmware are the real ones. The processor is as fast as the host emulates it, and an erase takes no time: the
//! figures compare block sizes and protocols on one machine.
//!
//! ```text
//! cargo bench --profile dev -p ota-emulator --bench blocks
//! ```

use std::fmt::Write;

use ota_emulator::machine::MPS2;
use ota_emulator::missing;
use ota_emulator::programs::{Programs, RELEASES};
use ota_emulator::world::World;
use ota_examples::device::Error;
use ota_examples::lines::{Kind, now_ms};

const BLOCKS_BYTES: [u32; 2] = [4096, 1024];
/// Measurements of each row, of which the middle one counts.
const ROUNDS: usize = 5;

/// When the steps of an update ended, in milliseconds since the job was created.
struct Steps {
    started: u64,
    downloaded: u64,
    verified: u64,
    reset: u64,
}

#[tokio::main(flavor = "multi_thread", worker_threads = 1)]
async fn main() -> Result<(), Error> {
    if let Some(tool) = missing() {
        return Err(format!("needs {tool}").into());
    }
    let [first, next, _] = RELEASES;
    let mut world = World::start("blocks", Programs::build(&MPS2, &[first, next])?, &first).await?;
    let image_bytes = std::fs::metadata(world.programs.image(&next, "a"))?.len();
    let mut table =
        "| block | protocol | job to reset | of it download | verification |\n|---|---|---|---|---|\n".to_owned();
    for block_bytes in BLOCKS_BYTES {
        for protocol in ["mqtt", "http"] {
            let mut rounds = Vec::new();
            for round in 0..ROUNDS {
                world.replace_board_with(&first, Some(block_bytes))?;
                rounds.push(update(&world, &format!("{protocol}-{block_bytes}-{round}"), protocol).await?);
            }
            rounds.sort_unstable_by_key(|steps| steps.reset);
            let Steps { started, downloaded, verified, reset } = &rounds[ROUNDS / 2];
            let (download, verification) = (downloaded - started, verified - downloaded);
            writeln!(table, "| {block_bytes} B | {protocol} | {reset} ms | {download} ms | {verification} ms |")?;
        }
    }
    world.stop().await;
    println!("an image of {image_bytes} bytes\n\n{table}"); // behind what `ota` prints
    Ok(())
}

/// Updates the board, whose connection is up before the job is created.
async fn update(world: &World, job: &str, protocol: &str) -> Result<Steps, Error> {
    let mut board = world.board()?;
    board.until(Kind::Notice, "NoUpdate").await?;
    let created_ms = now_ms();
    world.release(job, &RELEASES[1], protocol)?;
    let mut ended = [0; 4];
    let steps = [
        (Kind::Notice, "DownloadStarted"),
        (Kind::Notice, "DownloadSucceeded"),
        (Kind::Notice, "VerifySucceeded"),
        (Kind::Boot, "reset"),
    ];
    for (at, (kind, text)) in ended.iter_mut().zip(steps) {
        *at = board.until(kind, text).await?.at_ms.saturating_sub(created_ms);
    }
    board.until(Kind::Notice, "Settled").await?;
    board.kill().await?;
    let [started, downloaded, verified, reset] = ended;
    Ok(Steps { started, downloaded, verified, reset })
}
