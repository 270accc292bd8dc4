//! The boot selector: starts the watchdog, selects the slot, and jumps to the program in it.
#![no_std]
#![no_main]

use mps2::board::nor::Nor;
use mps2::board::watchdog::Watchdog;
use mps2::board::{console, reset};
use mps2::layout::{FLASH_BASE, LAYOUT};
use ota_boot::{BootError, ResetCause, VerifyLevel, blocking};
use ota_cortex_m::{program, report};
use ota_pal::Blocking;

#[cortex_m_rt::entry]
fn main() -> ! {
    console::start();
    let cause = reset::cause();
    let after: &[u8] = if cause == ResetCause::PowerLoss { b", after power on" } else { b", after a reset" };
    let mut watchdog = Watchdog::start();
    let Some(nor) = Nor::take() else { wait("the flash is taken") };
    match blocking::boot(&mut Blocking(nor), &LAYOUT, &mut watchdog, VerifyLevel::Whole, cause) {
        Ok(boot) => {
            report::boot(&boot, after, console::boot);
            let address = FLASH_BASE + LAYOUT.slot(boot.slot).offset_bytes() + boot.header.body.offset_bytes();
            // SAFETY: the image was signed, or installed in the factory, and is linked for this slot; its body begins with the vector
            // table.
            #[expect(unsafe_code)]
            unsafe {
                program::start(address)
            }
        }
        Err(BootError::NoBootableImage) => wait("no bootable image"),
        Err(BootError::Fault(_)) => wait("the boot record cannot be read"),
        Err(BootError::Layout(_)) => wait("the layout does not suit the flash"),
    }
}

/// Waits for the watchdog, whose reset repeats the selection: a flash that was not readable may be readable then.
fn wait(why: &str) -> ! {
    console::boot(&[b"nothing to start: ", why.as_bytes(), b"; waits for the watchdog"]);
    loop {
        core::hint::spin_loop();
    }
}
