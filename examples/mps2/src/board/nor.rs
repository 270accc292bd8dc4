//! The flash: memory that QEMU keeps in a file. This driver gives it the rules of NOR flash, as strict as those of parts with error
//! correction: an erase sets a sector to ones, and a word is written once between two erases. The memory protection unit faults
//! every other store to it.

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

use super::registers::mpu;
use crate::layout::{FLASH_BASE, GEOMETRY};

const REGION: u32 = 7;
/// 16 MiB, 2 to the power of 24.
const SIZE: u32 = 23 << 1;
const READ_ONLY: u32 = 0b110 << 24;
const REGION_ENABLE: u32 = 1;
const ENABLE_WITH_DEFAULT_MAP: u32 = 0b101;

/// The driver. There is one: [`Nor::take`].
pub struct Nor(());

impl Nor {
    /// Protects the flash and returns the driver; `None` if it was taken before.
    pub fn take() -> Option<Self> {
        static IS_TAKEN: core::sync::atomic::AtomicBool = core::sync::atomic::AtomicBool::new(false);
        if IS_TAKEN.swap(true, core::sync::atomic::Ordering::SeqCst) {
            return None;
        }
        mpu::RNR.write(REGION);
        mpu::RBAR.write(FLASH_BASE);
        close();
        mpu::CTRL.write(ENABLE_WITH_DEFAULT_MAP);
        Some(Self(()))
    }
}

/// A word that was written since its sector was erased.
#[derive(Clone, Copy, Debug)]
pub enum NorError {
    /// Outside the flash, or no whole units.
    Bounds(NorFlashErrorKind),
    /// The word is not erased.
    NotErased,
}

impl NorFlashError for NorError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Bounds(kind) => *kind,
            Self::NotErased => NorFlashErrorKind::Other,
        }
    }
}

impl ErrorType for Nor {
    type Error = NorError;
}

impl ReadNorFlash for Nor {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, out: &mut [u8]) -> Result<(), NorError> {
        check_read(self, offset, out.len()).map_err(NorError::Bounds)?;
        // SAFETY: inside the flash, which is memory that only this driver changes, and no reference to it is kept.
        let flash = unsafe { core::slice::from_raw_parts((FLASH_BASE + offset) as *const u8, out.len()) };
        out.copy_from_slice(flash);
        Ok(())
    }

    fn capacity(&self) -> usize {
        GEOMETRY.capacity_bytes as usize
    }
}

impl NorFlash for Nor {
    const WRITE_SIZE: usize = GEOMETRY.word_bytes as usize;
    const ERASE_SIZE: usize = GEOMETRY.erase_bytes as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorError> {
        check_erase(self, from, to).map_err(NorError::Bounds)?;
        open();
        for offset in (from..to).step_by(Self::WRITE_SIZE) {
            program(offset, u32::MAX);
        }
        close();
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorError> {
        check_write(self, offset, bytes.len()).map_err(NorError::Bounds)?;
        let (words, _) = bytes.as_chunks::<{ Self::WRITE_SIZE }>();
        let mut erased = [0; Self::WRITE_SIZE];
        for (offset, word) in (offset..).step_by(Self::WRITE_SIZE).zip(words) {
            self.read(offset, &mut erased)?;
            if erased != [0xFF; Self::WRITE_SIZE] {
                return Err(NorError::NotErased);
            }
            open();
            program(offset, u32::from_le_bytes(*word));
            close();
        }
        Ok(())
    }
}

/// Stores a word; the caller checked the offset and opened the flash.
fn program(offset: u32, word: u32) {
    // SAFETY: a word inside the flash, which no reference points to. Volatile, so that words reach the file in this order.
    unsafe { ((FLASH_BASE + offset) as *mut u32).write_volatile(word) }
}

fn open() {
    mpu::RASR.write(0);
    barrier();
}

fn close() {
    barrier();
    mpu::RASR.write(READ_ONLY | SIZE | REGION_ENABLE);
    barrier();
}

fn barrier() {
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}
