//! The deepest stack since the start: `cortex-m-rt` paints the RAM between the statics and the stack before it starts the program.

use core::ptr::addr_of;

/// What `cortex-m-rt` paints with.
const PAINT: u32 = 0xCCCC_CCCC;

unsafe extern "C" {
    // Of the linker script: the end of the statics, and the start of the stack, which grows down to it.
    static _stack_end: u32;
    static _stack_start: u32;
}

/// The bytes of the stack that were used.
pub fn deepest_bytes() -> u32 {
    let (mut at, start) = (addr_of!(_stack_end), addr_of!(_stack_start));
    // SAFETY: RAM between two symbols of the linker script, which this only reads; what is painted was never used.
    while at < start && unsafe { at.read_volatile() } == PAINT {
        at = at.wrapping_add(1);
    }
    (start as u32) - (at as u32)
}
