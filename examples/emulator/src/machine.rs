//! What differs between the emulated boards.

use std::path::Path;

use ota_pal::{BootRecord, BootRecords, FileFlash, Geometry, Layout, Region, poll_ready};

use crate::{emcraft_sf2, mps2};
use ota_examples::device::Error;

/// An emulated board.
#[derive(Debug)]
pub struct Machine {
    /// Name of its folder in `examples`, and of that of its programs.
    pub name: &'static str,
    /// Hardware id of its images.
    pub hardware: &'static str,
    /// Its flash.
    pub geometry: Geometry,
    /// What is where in the flash.
    pub layout: Layout,
    /// Where the settings are.
    pub settings: Region,
    /// Arguments of QEMU for the board with the flash in this file.
    pub(super) qemu: fn(&Path) -> Vec<String>,
    /// Reads the boot record in this file.
    pub(super) record: fn(&Path) -> Result<BootRecord, Error>,
}

/// A Cortex-M3 whose images run in place.
pub static MPS2: Machine = Machine {
    name: "mps2",
    hardware: "mps2-an385",
    geometry: mps2::GEOMETRY,
    layout: mps2::LAYOUT,
    settings: mps2::SETTINGS,
    qemu: |flash| {
        let memory = format!("memory-backend-file,id=nor,size=16M,mem-path={},share=on", flash.display());
        let board = ["-M", "mps2-an385,memory-backend=nor", "-object", &memory, "-nic", "user,model=lan9118"];
        [&board[..], &["-action", "watchdog=reset"]].concat().into_iter().map(str::to_owned).collect()
    },
    record: |flash| {
        const WORD: usize = mps2::GEOMETRY.word_bytes as usize;
        const SECTOR: usize = mps2::GEOMETRY.erase_bytes as usize;
        record(FileFlash::<WORD, SECTOR>::open(flash, mps2::GEOMETRY.capacity_bytes)?, &mps2::LAYOUT)
    },
};

/// A Cortex-M3 whose boot selector copies images from external flash.
pub static EMCRAFT_SF2: Machine = Machine {
    name: "emcraft-sf2",
    hardware: "emcraft-sf2",
    geometry: emcraft_sf2::GEOMETRY,
    layout: emcraft_sf2::LAYOUT,
    settings: emcraft_sf2::SETTINGS,
    qemu: |flash| {
        let drive = format!("if=mtd,format=raw,file={}", flash.display());
        ["-M", "emcraft-sf2", "-drive", &drive, "-nic", "user"].map(str::to_owned).into()
    },
    record: |flash| {
        const WORD: usize = emcraft_sf2::GEOMETRY.word_bytes as usize;
        const SECTOR: usize = emcraft_sf2::GEOMETRY.erase_bytes as usize;
        record(FileFlash::<WORD, SECTOR>::open(flash, emcraft_sf2::GEOMETRY.capacity_bytes)?, &emcraft_sf2::LAYOUT)
    },
};

fn record<const WORD: usize, const SECTOR: usize>(
    mut flash: FileFlash<WORD, SECTOR>,
    layout: &Layout,
) -> Result<BootRecord, Error> {
    Ok(poll_ready(BootRecords::new(layout).load(&mut flash)).ok_or("a file never waits")??)
}
