//! The flash. The error correction of an STM32L4 raises a non-maskable interrupt where a word is read that a power cut tore.

use core::sync::atomic::{AtomicBool, Ordering};

use cortex_m::asm::dsb;
use cortex_m::peripheral::SCB;
use embassy_stm32::flash::{self, Blocking};
use embassy_stm32::peripherals::FLASH;
use embassy_stm32::{Peri, pac};
use support::Tolerant;

/// The driver.
pub type Flash = Tolerant<flash::Flash<'static, Blocking>>;

/// The option bit of dual-bank mode: the driver checks another one, which this part has elsewhere (RM0432, FLASH_OPTR).
const DBANK: u32 = 1 << 22;

/// Whether the driver reads.
static IS_READING: AtomicBool = AtomicBool::new(false);

/// The driver of the flash. Panics if its pages are not those of dual-bank mode.
pub fn open(flash: Peri<'static, FLASH>) -> Flash {
    assert!(pac::FLASH.optr().read().0 & DBANK != 0, "the option bit DBANK is 0");
    // A write to the other bank can corrupt the data cache, and an erase leaves it stale (errata sheet, "Data cache might be corrupted
    // during Flash memory read-while-write operation").
    pac::FLASH.acr().modify(|access| access.set_dcen(false));
    Tolerant::new(flash::Flash::new_blocking(flash), noted, || ())
}

/// Runs `read`, and notes that it is one.
fn noted(read: &mut dyn FnMut()) {
    IS_READING.store(true, Ordering::Relaxed);
    dsb();
    read();
    dsb();
    IS_READING.store(false, Ordering::Relaxed);
}

/// A word cannot be read. If it is not one that the driver reads, it is code or a constant, and the program cannot go on.
#[cortex_m_rt::exception]
unsafe fn NonMaskableInt() {
    // Each flag is cleared by writing it as it was read.
    pac::FLASH.eccr().modify(|_| ());
    if !IS_READING.load(Ordering::Relaxed) {
        SCB::sys_reset();
    }
}
