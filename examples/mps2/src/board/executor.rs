//! The executor, and the jump between programs. The executor of embassy for Cortex-M sleeps by WFE, for which QEMU does not stop;
//! this one sleeps by WFI.

use core::sync::atomic::{AtomicBool, Ordering};

use embassy_executor::{Spawner, raw};
use static_cell::StaticCell;

static IS_WOKEN: AtomicBool = AtomicBool::new(false);
static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();

#[unsafe(export_name = "__pender")]
fn pend(_: *mut ()) {
    IS_WOKEN.store(true, Ordering::SeqCst);
}

/// Runs the tasks that `start` spawns.
pub fn run(start: impl FnOnce(Spawner)) -> ! {
    let executor = EXECUTOR.init(raw::Executor::new(core::ptr::null_mut()));
    start(executor.spawner());
    loop {
        // SAFETY: nothing else polls this executor.
        unsafe { executor.poll() };
        cortex_m::interrupt::disable();
        // An interrupt that arrives here is pending, and ends WFI at once.
        if !IS_WOKEN.swap(false, Ordering::SeqCst) {
            cortex_m::asm::wfi();
        }
        // SAFETY: no critical section is left open here.
        unsafe { cortex_m::interrupt::enable() };
    }
}

/// The address of the running program's vector table.
pub fn vector_table() -> u32 {
    super::registers::scb::VTOR.read()
}

/// Starts the program whose vector table is at `address`.
///
/// # Safety
/// A program must be there: the address of its stack's end, and that of its first instruction.
pub unsafe fn start(address: u32) -> ! {
    super::registers::scb::VTOR.write(address);
    // SAFETY: the caller's promise; no interrupt is enabled, because the boot selector uses none.
    unsafe { cortex_m::asm::bootload(address as *const u32) }
}
