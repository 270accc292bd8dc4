//! The vector table of the board's interrupts. It has 32 entries, not the 240 of a table made for any Cortex-M: with the 16 of
//! the processor it then needs an alignment of 256 bytes, and a program starts at a multiple of 512.

use core::cell::Cell;

use critical_section::Mutex;
use ota_cortex_m::number::Number;

use super::console;

/// Interrupt of timer 1.
pub const TIMER1: usize = 9;
/// Interrupt of the Ethernet controller.
pub const ETHERNET: usize = 13;
const INTERRUPTS: usize = 32;

type Vector = unsafe extern "C" fn();

unsafe extern "C" {
    /// Calls `on_interrupt` below.
    fn DefaultHandler();
}

#[unsafe(link_section = ".vector_table.interrupts")]
#[unsafe(no_mangle)]
static __INTERRUPTS: [Vector; INTERRUPTS] = [DefaultHandler; INTERRUPTS];

/// The boot selector has no handler: those of the firmware are not linked into it.
static HANDLERS: Mutex<Cell<[Option<fn()>; INTERRUPTS]>> = Mutex::new(Cell::new([None; INTERRUPTS]));

/// Enables an interrupt of the board.
pub fn enable(interrupt: usize, handler: fn()) {
    critical_section::with(|section| {
        let handlers = HANDLERS.borrow(section);
        let mut all = handlers.get();
        all[interrupt] = Some(handler);
        handlers.set(all);
    });
    super::registers::nvic::ISER0.write(1 << interrupt);
}

/// An interrupt of the board; or a fault of the processor other than those below, after which the watchdog resets.
#[cortex_m_rt::exception]
unsafe fn DefaultHandler(number: i16) {
    let handlers = critical_section::with(|section| HANDLERS.borrow(section).get());
    match usize::try_from(number).ok().and_then(|number| handlers.get(number).copied().flatten()) {
        Some(handler) => handler(),
        None => unexpected(number),
    }
}

fn unexpected(number: i16) -> ! {
    console::boot(&[b"exception ", Number::decimal(number.unsigned_abs().into()).bytes(), b": waits for the watchdog"]);
    loop {
        core::hint::spin_loop();
    }
}

/// The first expiry of the watchdog, also while interrupts are disabled.
#[cortex_m_rt::exception]
unsafe fn NonMaskableInt() -> ! {
    console::boot(&[b"the watchdog expired: the program hangs"]);
    super::reset::reset()
}

/// A fault, such as a store to the flash past the driver: as a panic.
#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    console::boot(&[b"fault at 0x", Number::hexadecimal(frame.pc()).bytes(), b": reset"]);
    super::reset::reset()
}
