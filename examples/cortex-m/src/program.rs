//! The program that runs, and the jump to another one.

use cortex_m::peripheral::SCB;

/// The address of the running program's vector table.
pub fn vector_table() -> u32 {
    // SAFETY: reads a register of the processor, which has no effect.
    unsafe { (*SCB::PTR).vtor.read() }
}

/// Starts the program whose vector table is at `address`.
///
/// # Safety
/// A program must be there: the address of its stack's end, and that of its first instruction. No interrupt may be enabled.
pub unsafe fn start(address: u32) -> ! {
    // SAFETY: the caller's promise: what runs after this is that program, and its exceptions are its own.
    unsafe { (*SCB::PTR).vtor.write(address) };
    // SAFETY: the caller's promise.
    unsafe { cortex_m::asm::bootload(address as *const u32) }
}
