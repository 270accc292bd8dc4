//! The boot selector.

use embedded_storage::nor_flash::NorFlash;
use ota_boot::{ResetCause, VerifyLevel, blocking};
use ota_cortex_m::program;
use ota_pal::{Blocking, Watchdog};

use crate::Place;

/// Starts the program of the slot that the boot record selects. If there is none to start, or the flash cannot be read, waits for
/// `watchdog`, which runs: the flash may be readable after a reset.
///
/// # Safety
/// No interrupt may be enabled.
pub unsafe fn select(flash: impl NorFlash, place: &Place, mut watchdog: impl Watchdog, cause: ResetCause) -> ! {
    let boot = blocking::boot(&mut Blocking(flash), &place.layout, &mut watchdog, VerifyLevel::Whole, cause);
    let Ok(boot) = boot else { wait() };
    let slot = place.base + place.layout.slot(boot.slot).offset_bytes();
    // SAFETY: the image was signed, or installed in the factory, and is linked for this slot; its body begins with the vector table.
    // Interrupts are the caller's promise.
    unsafe { program::start(slot + boot.header.body.offset_bytes()) }
}

fn wait() -> ! {
    loop {
        core::hint::spin_loop();
    }
}
