//! The flash, with words that a power cut tore. The error correction of an STM32H7 raises a bus fault where such a word is read; a
//! selector that resets there never starts anything again. Here it reads as anything, and its check sum decides.

use cortex_m::peripheral::SCB;
use cortex_m::register::faultmask;
use embassy_stm32::Peri;
use embassy_stm32::flash::{self, Blocking, Error};
use embassy_stm32::peripherals::FLASH;
use embedded_storage::nor_flash::{ErrorType, NorFlash, ReadNorFlash};

type Driver = flash::Flash<'static, Blocking>;
/// Of the register CCR: handlers of negative priority, and code that masks faults, ignore bus faults of data.
const BFHFNMIGN: u32 = 1 << 8;

/// The driver.
pub struct Flash(Driver);

impl Flash {
    /// The driver of the flash.
    pub fn new(flash: Peri<'static, FLASH>) -> Self {
        Self(Driver::new_blocking(flash))
    }
}

impl ErrorType for Flash {
    type Error = Error;
}

impl ReadNorFlash for Flash {
    const READ_SIZE: usize = Driver::READ_SIZE;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), Error> {
        ignoring_bus_faults(|| self.0.read(offset, bytes))
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl NorFlash for Flash {
    const WRITE_SIZE: usize = Driver::WRITE_SIZE;
    const ERASE_SIZE: usize = Driver::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Error> {
        self.0.erase(from, to)
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), Error> {
        self.0.write(offset, bytes)
    }
}

/// Runs `read` with bus faults ignored, and with no interrupt in between.
fn ignoring_bus_faults<T>(read: impl FnOnce() -> T) -> T {
    let set = |faults_ignored: bool| {
        // SAFETY: the bit concerns only code with masked faults, which is this.
        unsafe {
            (*SCB::PTR).ccr.modify(|ccr| if faults_ignored { ccr | BFHFNMIGN } else { ccr & !BFHFNMIGN });
        }
    };
    set(true);
    // SAFETY: unmasked below; nothing in between waits.
    unsafe { mask_faults(true) };
    let result = read();
    // SAFETY: they were not masked before.
    unsafe { mask_faults(false) };
    set(false);
    result
}

/// Sets the register FAULTMASK.
unsafe fn mask_faults(masked: bool) {
    debug_assert_ne!(faultmask::read().is_active(), masked);
    // SAFETY: the caller unmasks what it masks.
    unsafe {
        core::arch::asm!("msr FAULTMASK, {0}", "dsb", "isb", in(reg) u32::from(masked), options(preserves_flags, nostack));
    }
}
