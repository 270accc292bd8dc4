//! A boot selector over slots that run in place, whole: records, selection, the hash of an image before its first trial, the
//! fallback, the factory reset, and a jump. Never run.
#![no_std]
#![no_main]

use ota_boot::{ResetCause, VerifyLevel};
use ota_boot::blocking::boot;
use ota_pal::{Blocking, Geometry, Layout, NoWatchdog};
use size::{Flash, write_device};

const LAYOUT: Layout = match Layout::split(Geometry { word_bytes: 4, erase_bytes: 4096, capacity_bytes: 0x10_0000 }) {
    Ok(layout) => layout,
    Err(_) => panic!("a const layout is checked by the compiler"),
};

#[unsafe(no_mangle)]
extern "C" fn _start() -> ! {
    let booted = boot(&mut Blocking(Flash), &LAYOUT, &mut NoWatchdog, VerifyLevel::Header, ResetCause::Other);
    let slot = booted.ok().map_or(0xFF, |booted| booted.slot.number());
    loop {
        write_device(&[slot]);
    }
}
