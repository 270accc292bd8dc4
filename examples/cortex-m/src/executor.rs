//! The executor. That of embassy for Cortex-M sleeps by WFE, for which QEMU does not stop; this one sleeps by WFI.

use core::sync::atomic::{AtomicBool, Ordering};

use embassy_executor::{Spawner, raw};
use static_cell::StaticCell;

static IS_WOKEN: AtomicBool = AtomicBool::new(false);
static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();

#[unsafe(export_name = "__pender")]
fn pend(_: *mut ()) {
    IS_WOKEN.store(true, Ordering::SeqCst);
}

/// Runs the tasks that `start` spawns. Panics if it is called again.
pub fn run(start: impl FnOnce(Spawner)) -> ! {
    let executor = EXECUTOR.init(raw::Executor::new(core::ptr::null_mut()));
    start(executor.spawner());
    loop {
        // SAFETY: nothing else polls this executor.
        unsafe { executor.poll() };
        cortex_m::interrupt::disable();
        // An interrupt that arrives here is pending, and ends WFI at once. Load and store are no swap, which a Cortex-M0 does not
        // have: nothing comes between them.
        if !IS_WOKEN.load(Ordering::SeqCst) {
            cortex_m::asm::wfi();
        }
        IS_WOKEN.store(false, Ordering::SeqCst);
        // SAFETY: no critical section is left open here.
        unsafe { cortex_m::interrupt::enable() };
    }
}
