//! The programs of the emulated board: their flash, and their RAM.

use std::fs;

use object::{Object, ObjectSection, ObjectSegment, SectionKind};

use crate::budget::{Figures, Outcome};
use crate::code;

/// The programs of the emulated board: with drivers, executor, network, TLS and application.
pub fn print(selector: &str, firmware: &str, figures: &mut Figures) -> Outcome<()> {
    println!("thumbv7m-none-eabi, the emulated board of examples/mps2: its boot selector, whole");
    for (name, path) in [("board_selector", selector), ("firmware", firmware)] {
        let bytes = fs::read(path)?;
        let elf = object::File::parse(&*bytes)?;
        if name == "firmware" {
            println!("its firmware, whole");
        }
        code::print(name, &elf, "with drivers", figures)?;
        let flash: u64 = elf.segments().map(|segment| segment.file_range().1).sum();
        let is_ram = |kind: SectionKind| matches!(kind, SectionKind::Data | SectionKind::UninitializedData);
        let ram: u64 = elf.sections().filter(|section| is_ram(section.kind())).map(|section| section.size()).sum();
        println!("{flash:>8}  bytes of flash; {ram} bytes of RAM for statics, buffers included");
        figures.insert(format!("{name}.flash"), flash);
        figures.insert(format!("{name}.static_ram"), ram);
    }
    Ok(())
}
