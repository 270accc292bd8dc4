//! An emulated board whose plug is pulled, or whose cable is cut, at random moments of an update: it boots every time, and the update
//! ends as if nothing had happened. `KILLS=N` is how often in all, `SEED=N` repeats the moments as far as the machine does.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use ota_emulator::board::Board;
use ota_emulator::flash::digest;
use ota_emulator::machine::MPS2;
use ota_emulator::missing;
use ota_emulator::programs::{Programs, RELEASES};
use ota_emulator::world::World;
use ota_examples::device::Error;
use ota_examples::lines::{Kind, Line, now_ms};
use ota_pal::SlotId;
use tokio::time::{sleep_until, timeout_at};

/// Faults of a run, unless `KILLS` has another number.
const FAULTS: u32 = 200;
/// Most faults of one update. The boots of a trial that power losses do not use up are 15.
const FAULTS_PER_UPDATE: u32 = 12;
/// Blocks that are on their way, at most: the agent's first window.
const WINDOW_BYTES: u64 = 128 * 1024;
const SECTOR_BYTES: u64 = 4096;
/// The agent stores its progress this often.
const JOURNAL_BYTES: u64 = 64 * 1024;
/// What arrives again after each fault, at most: what was on its way, which the broker delivers to the resumed session and the agent
/// requests as well, what the journal did not have yet, and the sector that was not complete.
const AGAIN_BYTES: u64 = 2 * WINDOW_BYTES + JOURNAL_BYTES + SECTOR_BYTES;
/// What a boot receives besides blocks: job documents, responses, and the handshake.
const DOCUMENTS_BYTES: u64 = 16 * 1024;
/// CBOR, MQTT and TLS add less than this share to a block.
const OVERHEAD: u64 = 16;
/// Time in which an update that nothing disturbs is complete.
const UPDATE_WAIT: Duration = Duration::from_secs(60);

/// What happens at a random moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    /// The plug is pulled.
    Power,
    /// The cable is cut, and mended later.
    Network,
    /// The cable is cut, then the plug is pulled.
    Both,
}

/// Random numbers of a seed: xorshift.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// The faults of one run, and what it found.
struct Run {
    world: World,
    random: Random,
    /// How long an update takes.
    life: Duration,
    updates: u32,
    faults: u32,
    refetched_bytes: u64,
    /// What the board had in its flash, as its console has it.
    stored_bytes: u64,
}

impl Run {
    async fn start(name: &str) -> Result<Self, Error> {
        let seed = number("SEED").unwrap_or_else(now_ms);
        eprintln!("{name}: SEED={seed}");
        let world = World::start(name, Programs::build(&MPS2, &RELEASES)?, &RELEASES[0]).await?;
        let (random, life) = (Random(seed | 1), UPDATE_WAIT);
        let mut run = Self { world, random, life, updates: 0, faults: 0, refetched_bytes: 0, stored_bytes: 0 };
        // The first update is not disturbed: it measures how long one takes on this machine.
        let since = Instant::now();
        run.update(Fault::Power, 0).await?;
        run.life = since.elapsed();
        Ok(run)
    }

    /// Runs updates until there were `faults`.
    async fn run(mut self, fault: Fault, faults: u32) -> Result<(), Error> {
        while self.faults < faults {
            self.world.replace_board(&RELEASES[0])?;
            let count = 1 + self.random.below(FAULTS_PER_UPDATE.into()) as u32;
            self.update(fault, count.min(faults - self.faults)).await?;
        }
        let Self { updates, faults, refetched_bytes, life, .. } = self;
        eprintln!(
            "{updates} updates, {faults} faults, {refetched_bytes} bytes fetched again; one update takes {life:?}"
        );
        self.world.stop().await;
        Ok(())
    }

    /// Runs one update with `faults` in it.
    async fn update(&mut self, fault: Fault, faults: u32) -> Result<(), Error> {
        (self.updates, self.stored_bytes) = (self.updates + 1, 0);
        let (job, before) = (format!("update-{}", self.updates), self.world.mqtt.received_bytes());
        self.world.release(&job, &RELEASES[1], "mqtt")?;
        let mut board = self.boot().await?;
        for _ in 0..faults {
            board = self.disturb(board, fault).await?;
        }
        self.finish(&mut board, &job).await?;
        board.kill().await?;
        self.check(&job, faults, self.world.mqtt.received_bytes() - before).await
    }

    /// Switches the board on: it boots every time.
    async fn boot(&self) -> Result<Board, Error> {
        let mut board = self.world.board()?;
        board.until(Kind::Boot, "boots slot").await?;
        Ok(board)
    }

    /// Lets the board run for a random time, then causes the fault.
    async fn disturb(&mut self, mut board: Board, fault: Fault) -> Result<Board, Error> {
        self.faults += 1;
        let life_us = self.life.as_micros() as u64;
        let until = Instant::now() + Duration::from_micros(self.random.below(life_us));
        self.pass_until(&mut board, until).await?;
        if fault != Fault::Power {
            self.world.mqtt.cut(true);
            let until = Instant::now() + Duration::from_micros(self.random.below(life_us));
            self.pass_until(&mut board, until).await?;
        }
        if fault != Fault::Network {
            board.kill().await?;
            board = self.boot().await?;
        }
        self.world.mqtt.cut(false);
        Ok(board)
    }

    /// Reads the console until then: a pipe that is full would stop the board.
    async fn pass_until(&mut self, board: &mut Board, until: Instant) -> Result<(), Error> {
        loop {
            tokio::select! {
                biased;
                () = sleep_until(until.into()) => return Ok(()),
                line = board.line() => self.note(&line?),
            }
        }
    }

    /// Checks that a download goes on where it was.
    fn note(&mut self, line: &Line) {
        let number = |text: &str| text.split([' ', '}']).next().and_then(|digits| digits.parse().ok());
        match line.kind {
            Kind::Progress => self.stored_bytes = number(&line.text).unwrap_or(self.stored_bytes),
            _ => {
                let Some(resumed) = line.text.strip_prefix("DownloadStarted { resumed_bytes: ") else { return };
                let (resumed, stored) = (number(resumed).unwrap_or(0), self.stored_bytes);
                let is_near = resumed + JOURNAL_BYTES + SECTOR_BYTES >= stored;
                assert!(is_near, "{stored} bytes were stored, the download goes on at {resumed}");
            }
        }
    }

    /// Waits until the job is over: the board may have settled it before.
    async fn finish(&mut self, board: &mut Board, job: &str) -> Result<(), Error> {
        let until = Instant::now() + UPDATE_WAIT;
        while !self.world.execution(job).await?.terminal {
            let line = timeout_at(until.into(), board.line()).await;
            self.note(&line.map_err(|_| format!("{job} is not over after {UPDATE_WAIT:?}"))??);
        }
        Ok(())
    }

    async fn check(&mut self, job: &str, faults: u32, received_bytes: u64) -> Result<(), Error> {
        assert_eq!(self.world.execution(job).await?.status, "SUCCEEDED", "{job}");
        assert_eq!(self.world.count(job, "SUCCEEDED").await?, 1, "{job}");
        let (running, image) = (self.world.flash.running()?, self.world.programs.image(&RELEASES[1], "a"));
        assert_eq!((running.slot, running.digest), (SlotId::A, digest(&image)?), "{job}");
        let image_bytes = std::fs::metadata(image)?.len();
        let again = received_bytes.saturating_sub(image_bytes);
        self.refetched_bytes += again;
        let again_max = u64::from(faults) * AGAIN_BYTES;
        let overhead = (image_bytes + again_max) / OVERHEAD + u64::from(faults + 2) * DOCUMENTS_BYTES;
        let allowed = again_max + overhead;
        assert!(again <= allowed, "{job}: {again} bytes more than the image after {faults} faults, {allowed} allowed");
        Ok(())
    }
}

fn faults(share: u32) -> u32 {
    number("KILLS").map_or(FAULTS / share, |kills| (kills as u32).div_ceil(share))
}

async fn disturbed(name: &str, fault: Fault, faults: u32) {
    if let Some(tool) = missing() {
        assert!(std::env::var_os("CI").is_none(), "{tool} is not installed");
        return eprintln!("skipped: needs {tool}: {name}");
    }
    Run::start(name).await.unwrap().run(fault, faults).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_plug_is_pulled_at_any_moment_and_the_update_ends_as_if_it_were_not() {
    disturbed("plug", Fault::Power, faults(1)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cable_is_cut_at_any_moment_and_the_update_ends_as_if_it_were_not() {
    disturbed("cable", Fault::Network, faults(20)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn cable_and_plug_are_cut_and_pulled_and_the_update_ends_as_if_they_were_not() {
    disturbed("both", Fault::Both, faults(10)).await;
}
