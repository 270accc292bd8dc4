//! The vector table of the board's interrupts. It has 32 entries, those that the firmware uses among them, of 82: with the 16 of the
//! processor it then needs an alignment of 256 bytes, and a program starts at a multiple of 512.

use core::cell::Cell;

use critical_section::Mutex;
use ota_cortex_m::number::Number;

use super::console;
use super::reset::reset;

/// Interrupt of the Ethernet controller.
pub const ETHERNET: usize = 12;
/// Interrupt of timer 2.
pub const TIMER2: usize = 15;
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

/// An interrupt of the board; or an exception that has no other handler, after which the device is reset.
#[cortex_m_rt::exception]
unsafe fn DefaultHandler(number: i16) {
    let handlers = critical_section::with(|section| HANDLERS.borrow(section).get());
    match usize::try_from(number).ok().and_then(|number| handlers.get(number).copied().flatten()) {
        Some(handler) => handler(),
        None => unexpected(number),
    }
}

fn unexpected(number: i16) -> ! {
    console::boot(&[b"exception ", Number::decimal(number.unsigned_abs().into()).bytes(), b": reset"]);
    reset()
}

/// A fault, such as a store to the running program: as a panic.
#[cortex_m_rt::exception]
unsafe fn HardFault(frame: &cortex_m_rt::ExceptionFrame) -> ! {
    console::boot(&[b"fault at 0x", Number::hexadecimal(frame.pc()).bytes(), b": reset"]);
    reset()
}
