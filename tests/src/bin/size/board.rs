//! The programs of the emulated board: their flash, their RAM by buffer, and the instructions of hash and signature.

use std::fs;

use object::{Object, ObjectSection, ObjectSegment, ObjectSymbol, SectionKind};

use crate::budget::{Figures, Outcome};
use crate::code;

/// The statics of the firmware, by the end of their symbols, and what they are.
const STATICS: [(&str, &str); 14] = [
    ("memory::MQTT_SOCKET", "MQTT: what the socket receives and sends"),
    ("memory::MQTT_TLS", "MQTT: two TLS records that are received, and one to send"),
    ("memory::MQTT_RECEIVE", "MQTT: a received packet, which has the block that is written to the flash"),
    ("memory::MQTT_SEND", "MQTT: packets to send"),
    ("memory::HTTP_SOCKET", "HTTP: what the socket receives and sends"),
    ("memory::HTTP_TLS", "HTTP: two TLS records that are received, and one to send"),
    ("memory::HTTP_BLOCK", "HTTP: the block that is written to the flash"),
    ("memory::HTTP_URL", "HTTP: the URL of the image"),
    ("memory::SETTINGS", "settings that the factory wrote"),
    ("memory::IDENTITY", "certificates and key"),
    ("application::POOL", "all that runs: agent, platform, MQTT session, application, every await"),
    ("start::RESOURCES", "embassy-net: four sockets without their buffers, DHCP and DNS"),
    ("network::POOL", "embassy-net: the task, with the driver and the buffer of a frame"),
    ("clock::CLOCK", "embassy-time: the queue of timers"),
];

/// Nanoseconds of an instruction under QEMU's `-icount shift=10`.
const INSTRUCTION_NS: u64 = 1 << 10;
/// Lines of the program `instructions`: how they start, the figure, what it is, and for how many units.
const MEASURED: [(&str, &str, &str, u64); 2] = [
    ("sha256 64 KiB", "sha256_KiB", "SHA-256 of one KiB, with the small implementation", 64),
    ("ecdsa p256", "ecdsa_p256", "the verification of an ECDSA signature, P-256", 1),
];

/// Prints the programs whole, the firmware's RAM by buffer, and the instructions in the file `measured`.
pub fn print(selector: &str, firmware: &str, measured: &str, figures: &mut Figures) -> Outcome<()> {
    println!("thumbv7m-none-eabi, the emulated board of examples/mps2: its boot selector, whole");
    for (name, path) in [("board_selector", selector), ("firmware", firmware)] {
        let bytes = fs::read(path)?;
        let elf = object::File::parse(&*bytes)?;
        if name == "firmware" {
            println!("its firmware, whole");
        }
        code::print(name, &elf, "with drivers", figures)?;
        let flash: u64 = elf.segments().map(|segment| segment.file_range().1).sum();
        let ram: u64 = elf.sections().filter(|section| is_ram(section.kind())).map(|section| section.size()).sum();
        println!("{flash:>8}  bytes of flash; {ram} bytes of RAM for statics, buffers included");
        figures.insert(format!("{name}.flash"), flash);
        figures.insert(format!("{name}.static_ram"), ram);
        if name == "firmware" {
            print_statics(&elf, ram, figures)?;
        }
    }
    print_instructions(&fs::read_to_string(measured)?, figures)
}

fn is_ram(kind: SectionKind) -> bool {
    matches!(kind, SectionKind::Data | SectionKind::UninitializedData)
}

/// Prints the sizes of the statics, of which all are `ram`.
fn print_statics(elf: &object::File<'_>, ram: u64, figures: &mut Figures) -> Outcome<()> {
    println!("its statics in bytes, each buffer with one that is set once it is taken");
    let mut others = ram;
    for (end, what) in STATICS {
        let is_named = |symbol: &object::Symbol<'_, '_>| {
            symbol.name().is_ok_and(|name| code::demangle(name).ends_with(&format!("::{end}")))
        };
        let symbol = elf.symbols().find(is_named).ok_or_else(|| format!("no static {end} in the firmware"))?;
        println!("{:>8}  {what}", symbol.size());
        figures.insert(format!("statics.{end}"), symbol.size());
        others = others.checked_sub(symbol.size()).ok_or("statics outside the sections")?;
    }
    println!("{others:>8}  all others");
    figures.insert("statics.others".into(), others);
    Ok(())
}

/// Prints what the program `instructions` measured; nothing if it did not run.
fn print_instructions(lines: &str, figures: &mut Figures) -> Outcome<()> {
    if lines.is_empty() {
        println!("instructions were not counted: that needs qemu-system-arm");
        return Ok(());
    }
    println!("instructions on a Cortex-M3, counted by QEMU");
    for (start, name, what, units) in MEASURED {
        let instructions = instructions(lines, start).ok_or_else(|| format!("no line {start} in:\n{lines}"))? / units;
        println!("{instructions:>10}  {what}");
        figures.insert(format!("instructions.{name}"), instructions);
    }
    Ok(())
}

/// The instructions of the line `boot`, `start` and microseconds.
fn instructions(lines: &str, start: &str) -> Option<u64> {
    let us = lines.lines().find_map(|line| line.strip_prefix("boot\t\t")?.strip_prefix(start)?.strip_suffix(" us"))?;
    Some(us.trim().parse::<u64>().ok()? * 1000 / INSTRUCTION_NS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_follow_from_the_time_of_the_board() {
        let lines = "boot\t\tsha256 64 KiB 65536 us\nboot\t\tecdsa p256 1024 us\n";
        let mut figures = Figures::new();
        print_instructions(lines, &mut figures).expect("both lines");
        assert_eq!(figures["instructions.sha256_KiB"], 1000);
        assert_eq!(figures["instructions.ecdsa_p256"], 1000);
        assert!(print_instructions("boot\t\tsha256 64 KiB 65536 us\n", &mut figures).is_err());
        assert!(print_instructions("", &mut Figures::new()).is_ok());
    }
}
