//! The flash. The error correction of an STM32H7 raises a bus fault where a word is read that a power cut tore.

use cortex_m::peripheral::SCB;
use embassy_stm32::flash::{self, Blocking};
use embassy_stm32::peripherals::FLASH;
use embassy_stm32::{Peri, pac};
use support::Tolerant;

/// The driver.
pub type Flash = Tolerant<flash::Flash<'static, Blocking>>;

/// Of the register CCR: code that masks faults ignores bus faults of data.
const BFHFNMIGN: u32 = 1 << 8;

/// The driver of the flash.
pub fn open(flash: Peri<'static, FLASH>) -> Flash {
    Tolerant::new(flash::Flash::new_blocking(flash), ignoring_bus_faults, clear_errors)
}

/// Clears the flags of errors in words that were read: the driver takes them for errors of its next erase or write, and clears flags
/// in SR, where this part ignores it (RM0433, FLASH_CCR1).
fn clear_errors() {
    for bank in 0..2 {
        pac::FLASH.bank(bank).ccr().write(|flags| {
            flags.set_clr_sneccerr(true);
            flags.set_clr_dbeccerr(true);
        });
    }
}

/// Runs `read` with bus faults ignored, and with no interrupt in between.
fn ignoring_bus_faults(read: &mut dyn FnMut()) {
    let ignore = |ignored: bool| {
        // SAFETY: the bit concerns only code with masked faults, which is the read below.
        unsafe { (*SCB::PTR).ccr.modify(|ccr| if ignored { ccr | BFHFNMIGN } else { ccr & !BFHFNMIGN }) }
    };
    ignore(true);
    // SAFETY: unmasked below; nothing in between waits.
    unsafe { mask_faults(true) };
    read();
    // SAFETY: they were not masked before.
    unsafe { mask_faults(false) };
    ignore(false);
}

/// Sets the register FAULTMASK.
///
/// # Safety
/// Who masks faults unmasks them.
unsafe fn mask_faults(masked: bool) {
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!("msr FAULTMASK, {0}", "dsb", "isb", in(reg) u32::from(masked), options(preserves_flags, nostack));
    }
}
