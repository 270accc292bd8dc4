//! The console on UART 0: lines of kind, topic and text, separated by tabs, as `examples/src/lines.rs` parses them behind the time,
//! which the host adds. The emulated UART needs no settings of its rate.

use core::fmt::{self, Write};

use log::{LevelFilter, Log, Metadata, Record};

use super::registers::uart;

const TX_EMPTY: u32 = 1 << 5;

struct Console;

static CONSOLE: Console = Console;

/// Has `log` write to the console.
pub fn start_log() {
    // An error means that there is a logger already: this one.
    let _ = log::set_logger(&CONSOLE).map(|()| log::set_max_level(LevelFilter::Info));
}

/// Prints a line of kind `boot`, in parts.
pub fn boot(parts: &[&[u8]]) {
    send(b"boot\t\t");
    parts.iter().copied().for_each(send);
    send(b"\n");
}

fn send(text: &[u8]) {
    for byte in text {
        while uart::LSR.read() & TX_EMPTY == 0 {}
        uart::THR.write((*byte).into());
    }
}

impl Write for Console {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        send(text.as_bytes());
        Ok(())
    }
}

impl Log for Console {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        // The console returns no error.
        let _ = writeln!(Console, "{}\t{}", record.target(), record.args());
    }

    fn flush(&self) {}
}
