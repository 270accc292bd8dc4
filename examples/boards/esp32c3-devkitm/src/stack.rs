//! The deepest stack since the start: its RAM is painted before it is used.

/// What is not found by chance in a stack.
const PAINT: u32 = 0xCCCC_CCCC;
/// The words at the end in which esp-hal has its guard, by default 60 bytes from it.
const GUARD_WORDS: usize = 16;
/// The words below a variable of [`paint`] that may be in use.
const MARGIN_WORDS: usize = 256;

unsafe extern "C" {
    // Of the linker script: the stack grows down from its start to its end.
    static mut _stack_end: u32;
    static _stack_start: u32;
}

/// Paints what of the stack is not in use.
pub fn paint() {
    let mut variable = 0_u32;
    let used = (&raw mut variable).wrapping_sub(MARGIN_WORDS);
    let mut at = (&raw mut _stack_end).wrapping_add(GUARD_WORDS);
    while at < used {
        // SAFETY: RAM of the stack below all that is in use.
        unsafe { at.write_volatile(PAINT) };
        at = at.wrapping_add(1);
    }
}

/// The bytes of the stack that were used.
pub fn deepest_bytes() -> u32 {
    let start = &raw const _stack_start;
    let mut at = (&raw const _stack_end).wrapping_add(GUARD_WORDS);
    // SAFETY: RAM of the stack, which this only reads.
    while at < start && unsafe { at.read_volatile() } == PAINT {
        at = at.wrapping_add(1);
    }
    (start as u32) - (at as u32)
}
