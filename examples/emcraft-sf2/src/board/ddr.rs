//! The DDR, from which the firmware runs. Its first MiB is to the boot selector what the executing region of a controller is: a flash
//! that an image is copied to. Unlike a flash, it holds anything after power-on, even a header before bytes that have decayed, so it
//! starts erased, and the image is copied at every boot.

use core::sync::atomic::{AtomicBool, Ordering};

use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};
use ota_cortex_m::program;
use ota_pal::HEADER_BYTES;

use super::console;
use super::registers::mpu;
use crate::layout::{EXECUTING, GEOMETRY};

const BASE: u32 = 0xA000_0000;
/// 64 MiB, 2 to the power of 26, and the executing region of 1 MiB, 2 to the power of 20.
const ALL_SIZE: u32 = 25 << 1;
const EXECUTING_SIZE: u32 = 19 << 1;
const _: () = assert!(EXECUTING.len_bytes() == 1 << 20);
/// Regions of the memory protection unit: where two overlap, the one with the greater number counts.
const ALL_REGION: u32 = 0;
const EXECUTING_REGION: u32 = 1;
const REGION_ENABLE: u32 = 1;
const REGION_OFF: u32 = 0;
/// Memory whose accesses may be buffered: without a region, the processor takes these addresses for those of a device.
const BUFFERED_MEMORY: u32 = 0b11 << 16;
const READ_WRITE: u32 = 0b011 << 24;
const READ_ONLY: u32 = 0b110 << 24;
const EXECUTE_NEVER: u32 = 1 << 28;
/// Also while a fault is handled: its handler is in DDR.
const ENABLE_ALWAYS_WITH_DEFAULT_MAP: u32 = 0b111;

/// The executing region as a flash. There is one: [`Executing::take`].
pub struct Executing(());

impl Executing {
    /// Makes DDR memory, from which no code can run yet, and erases the header in it; `None` if the region was taken before.
    pub fn take() -> Option<Self> {
        static IS_TAKEN: AtomicBool = AtomicBool::new(false);
        if IS_TAKEN.swap(true, Ordering::SeqCst) {
            return None;
        }
        protect(ALL_REGION, READ_WRITE | EXECUTE_NEVER | BUFFERED_MEMORY | ALL_SIZE | REGION_ENABLE);
        protect(EXECUTING_REGION, REGION_OFF); // that of the program before the reset
        mpu::CTRL.write(ENABLE_ALWAYS_WITH_DEFAULT_MAP);
        barrier();
        let mut executing = Self(());
        executing.memory()[..HEADER_BYTES].fill(0xFF);
        Some(executing)
    }

    /// Makes the region read-only and executable until the next reset, and starts the program at `offset_bytes` of it.
    ///
    /// # Safety
    /// The region holds a program there, which begins with its vector table.
    pub unsafe fn start(self, offset_bytes: u32) -> ! {
        protect(EXECUTING_REGION, READ_ONLY | BUFFERED_MEMORY | EXECUTING_SIZE | REGION_ENABLE);
        barrier();
        // SAFETY: the caller's promise.
        unsafe { program::start(BASE + offset_bytes) }
    }
}

impl ErrorType for Executing {
    type Error = NorFlashErrorKind;
}

impl ReadNorFlash for Executing {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, out: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, out.len())?;
        out.copy_from_slice(&self.memory()[offset as usize..][..out.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        EXECUTING.len_bytes() as usize
    }
}

impl NorFlash for Executing {
    const WRITE_SIZE: usize = GEOMETRY.word_bytes as usize;
    const ERASE_SIZE: usize = GEOMETRY.erase_bytes as usize;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        if from == 0 {
            console::boot(&[b"copies an image to DDR"]); // a copy begins with an erase of its first sector
        }
        self.memory()[from as usize..to as usize].fill(0xFF);
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        self.memory()[offset as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}

impl Executing {
    fn memory(&mut self) -> &mut [u8] {
        // SAFETY: the boot selector is not linked for DDR, so that nothing but the one value of this type refers to it.
        unsafe { core::slice::from_raw_parts_mut(BASE as *mut u8, EXECUTING.len_bytes() as usize) }
    }
}

/// Sets a region of the memory protection unit, at the start of DDR.
fn protect(region: u32, attributes: u32) {
    mpu::RNR.write(region);
    mpu::RBAR.write(BASE);
    mpu::RASR.write(attributes);
}

fn barrier() {
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}
