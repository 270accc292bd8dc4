//! The boot selector: selects the slot, copies its image to DDR, and jumps there.
#![no_std]
#![no_main]

use emcraft_sf2::board::ddr::Executing;
use emcraft_sf2::board::nor::Nor;
use emcraft_sf2::board::{console, handover, reset};
use emcraft_sf2::layout::{EXECUTING, LAYOUT};
use ota_boot::{Boot, BootError, ResetCause, VerifyLevel, blocking};
use ota_cortex_m::report;
use ota_pal::blocking::ConcatFlash;
use ota_pal::{Blocking, NoWatchdog};

#[cortex_m_rt::entry]
fn main() -> ! {
    let (Some(nor), Some(mut ddr)) = (Nor::take(), Executing::take()) else { fail("the flash is busy") };
    match select(nor, &mut ddr) {
        Ok(boot) => {
            report::boot(&boot, b"", console::boot);
            handover::leave(boot.slot);
            // SAFETY: the image was signed, or installed in the factory, and is linked for this region; its body begins with the
            // vector table.
            #[expect(unsafe_code)]
            unsafe {
                ddr.start(boot.header.body.offset_bytes())
            }
        }
        Err(BootError::NoBootableImage) => fail("no bootable image"),
        Err(BootError::Fault(_)) => fail("the boot record cannot be read"),
        Err(BootError::Layout(_)) => fail("the layout does not suit the flash"),
    }
}

/// Selects the image to start, and has it in DDR.
fn select(nor: Nor, ddr: &mut Executing) -> Result<Boot, BootError> {
    let Some(mut flash) = ConcatFlash::new(Blocking(nor), Blocking(ddr)) else { fail("the memories cannot be joined") };
    // Without a watchdog, only the power ends a hang: boots after a power loss count, too.
    let cause = ResetCause::Other;
    blocking::boot_staged(&mut flash, &LAYOUT, EXECUTING, &mut NoWatchdog, VerifyLevel::Whole, cause)
}

/// Repeats the selection after a second: a flash that was not readable may be readable then.
fn fail(why: &str) -> ! {
    console::boot(&[b"nothing to start: ", why.as_bytes(), b"; reset"]);
    reset::reset_later()
}
