//! What the boot selector leaves for the program that it starts: the slot whose image runs, which a program linked for DDR cannot
//! find by its address. It is a word of RAM in the controller that no program is linked for.

use ota_pal::SlotId;

const WORD: *mut u32 = 0x2000_FFF0 as *mut u32;
/// Beside the number of the slot: other bits were not left by the boot selector.
const MARK: u32 = 0x510_7000;
const MARK_MASK: u32 = !0xFF;

/// Leaves the slot.
pub fn leave(slot: SlotId) {
    // SAFETY: no program is linked for this word, and interrupts do not access it.
    unsafe { WORD.write_volatile(MARK | u32::from(slot.number())) }
}

/// The slot whose image runs; `None` if the boot selector did not start this program.
pub fn running() -> Option<SlotId> {
    // SAFETY: as above, and any bits are a number.
    let word = unsafe { WORD.read_volatile() };
    let number = (word & MARK_MASK == MARK).then_some(word as u8)?;
    SlotId::from_number(number)
}
