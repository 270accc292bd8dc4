//! The flash: an S25FL128 behind SPI. Commands are those of its data sheet; a page is programmed, or a sector erased, once the
//! command before is complete.

use core::sync::atomic::{AtomicBool, Ordering};

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

use super::spi;
use crate::layout::GEOMETRY;

const WRITE_ENABLE: u8 = 0x06;
const READ_STATUS: u8 = 0x05;
const READ: u8 = 0x03;
const PAGE_PROGRAM: u8 = 0x02;
const SECTOR_ERASE: u8 = 0xD8;
/// Of the status: an erase or a program is in progress.
const BUSY: u8 = 1;
/// Reads of the status until a change has failed. An erase takes at most 3 s; a read of the status more than 1 us.
const STATUS_READS_MAX: u32 = 3_000_000;
/// A program that reaches the end of a page goes on at its start.
const PAGE_BYTES: usize = 256;
const READ_BYTES_MAX: usize = 0x8000;
const _: () = assert!(READ_BYTES_MAX + 4 <= spi::TRANSFER_BYTES_MAX && PAGE_BYTES + 4 <= spi::TRANSFER_BYTES_MAX);

/// The driver. There is one: [`Nor::take`].
pub struct Nor(());

impl Nor {
    /// Starts the driver, and waits for an erase or a program that a reset did not stop; `None` if the flash does not get ready, or
    /// was taken before.
    pub fn take() -> Option<Self> {
        static IS_TAKEN: AtomicBool = AtomicBool::new(false);
        if IS_TAKEN.swap(true, Ordering::SeqCst) {
            return None;
        }
        spi::start();
        wait().ok()?;
        Some(Self(()))
    }
}

impl ErrorType for Nor {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Nor {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, out.len())?;
        for (at, part) in (offset..).step_by(READ_BYTES_MAX).zip(out.chunks_mut(READ_BYTES_MAX)) {
            spi::transfer(&command(READ, at), &[], part);
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        GEOMETRY.capacity_bytes as usize
    }
}

impl NorFlash for Nor {
    const WRITE_SIZE: usize = GEOMETRY.word_bytes as usize;
    const ERASE_SIZE: usize = GEOMETRY.erase_bytes as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        for sector in (from..to).step_by(Self::ERASE_SIZE) {
            change(SECTOR_ERASE, sector, &[])?;
        }
        Ok(())
    }

    fn write(&mut self, mut offset: u32, mut bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        while !bytes.is_empty() {
            let room = PAGE_BYTES - offset as usize % PAGE_BYTES;
            let (page, rest) = bytes.split_at(bytes.len().min(room));
            change(PAGE_PROGRAM, offset, page)?;
            offset += page.len() as u32;
            bytes = rest;
        }
        Ok(())
    }
}

/// Changes the flash, and waits until it is changed.
fn change(code: u8, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
    spi::transfer(&[WRITE_ENABLE], &[], &mut []);
    spi::transfer(&command(code, offset), bytes, &mut []);
    wait()
}

/// A command with an address.
fn command(code: u8, offset: u32) -> [u8; 4] {
    let [_, a, b, c] = offset.to_be_bytes();
    [code, a, b, c]
}

/// Waits until no erase or program is in progress.
fn wait() -> Result<(), NorFlashErrorKind> {
    for _ in 0..STATUS_READS_MAX {
        let mut status = [0];
        spi::transfer(&[READ_STATUS], &[], &mut status);
        if status[0] & BUSY == 0 {
            return Ok(());
        }
    }
    Err(NorFlashErrorKind::Other)
}
