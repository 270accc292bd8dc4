//! The boot selector: starts the watchdog, selects the slot, and jumps to the program in it.
#![no_std]
#![no_main]

use mps2::board::nor::Nor;
use mps2::board::number::Number;
use mps2::board::watchdog::Watchdog;
use mps2::board::{console, executor, reset};
use mps2::layout::{FLASH_BASE, LAYOUT};
use ota_boot::{Boot, BootError, BootReason, ResetCause, VerifyLevel, blocking};
use ota_pal::{Blocking, SlotId, Version};

#[cortex_m_rt::entry]
fn main() -> ! {
    console::start();
    let cause = reset::cause();
    let after: &[u8] = if cause == ResetCause::PowerLoss { b"power on" } else { b"a reset" };
    let mut watchdog = Watchdog::start();
    let Some(nor) = Nor::take() else { wait("the flash is taken") };
    match blocking::boot(&mut Blocking(nor), &LAYOUT, &mut watchdog, VerifyLevel::Whole, cause) {
        Ok(boot) => {
            print(&boot, after);
            let program = FLASH_BASE + LAYOUT.slot(boot.slot).offset_bytes() + boot.header.body.offset_bytes();
            // SAFETY: the image was signed, or installed in the factory, and is linked for this slot; its body begins with the vector
            // table.
            #[expect(unsafe_code)]
            unsafe {
                executor::start(program)
            }
        }
        Err(BootError::NoBootableImage) => wait("no bootable image"),
        Err(BootError::Fault(_)) => wait("the boot record cannot be read"),
        Err(BootError::Layout(_)) => wait("the layout does not suit the flash"),
    }
}

fn print(boot: &Boot, after: &[u8]) {
    let slot: &[u8] = match boot.slot {
        SlotId::A => b"A",
        SlotId::B => b"B",
        _ => b"factory",
    };
    let Version { major, minor, patch } = boot.header.version;
    let [major, minor, patch] = [major.into(), minor.into(), patch].map(Number::decimal);
    let version: [&[u8]; 5] = [major.bytes(), b".", minor.bytes(), b".", patch.bytes()];
    let cause: &[u8] = match boot.cause {
        BootReason::Confirmed => b"confirmed",
        BootReason::Trial => b"on trial",
        BootReason::WithSystem => b"of the release of the system",
        BootReason::TrialEnded => b"confirmed; a trial ended",
        BootReason::NotStored(_) => b"confirmed; the record cannot be stored",
        BootReason::FellBack { .. } => b"fell back: the confirmed image cannot be started",
        BootReason::FactoryReset => b"factory reset",
        BootReason::FactoryResetInPart(_) => b"factory reset; some sectors cannot be erased",
    };
    let [a, b, c, d, e] = version;
    console::boot(&[b"boots slot ", slot, b", version ", a, b, c, d, e, b" (", cause, b"), after ", after]);
}

/// Waits for the watchdog, whose reset repeats the selection: a flash that was not readable may be readable then.
fn wait(why: &str) -> ! {
    console::boot(&[b"nothing to start: ", why.as_bytes(), b"; waits for the watchdog"]);
    loop {
        core::hint::spin_loop();
    }
}
