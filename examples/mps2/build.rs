//! Writes a memory map for each program: the boot selector, and the firmware for each slot that it runs from.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The RAM of the boot selector lies behind that of the firmware: a word in it survives a reset, see `board/reset.rs`.
const SELECTOR: &str = "FLASH : ORIGIN = 0x00000000, LENGTH = 256K\n  RAM : ORIGIN = 0x20040000, LENGTH = 64K";
/// Start of each slot, as in `src/layout.rs`, which checks it.
const SLOTS: [(&str, u32); 3] = [("slot-a", 0x2110_0000), ("slot-b", 0x2120_0000), ("slot-factory", 0x2130_0000)];
const SLOT_BYTES: u32 = 0x10_0000;
/// `ota sign` puts a header of this length in front of a program.
const HEADER_BYTES: u32 = 512;

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    for name in ["boot-selector", "instructions"] {
        program(&out, name, SELECTOR);
    }
    for (name, slot) in SLOTS {
        let (origin, length) = (slot + HEADER_BYTES, SLOT_BYTES - HEADER_BYTES);
        let flash = format!("FLASH : ORIGIN = {origin:#x}, LENGTH = {length}");
        program(&out, name, &format!("{flash}\n  RAM : ORIGIN = 0x20000000, LENGTH = 256K"));
    }
    println!("cargo:rerun-if-changed=build.rs");
}

/// Has `name` linked with these regions.
fn program(out: &Path, name: &str, regions: &str) {
    let folder = out.join(name);
    fs::create_dir_all(&folder).expect("cargo's folder is writable");
    fs::write(folder.join("memory.x"), format!("MEMORY {{\n  {regions}\n}}\n")).expect("the same");
    // The names of interrupt handlers are in `board/interrupts.rs`.
    fs::write(folder.join("device.x"), "").expect("the same");
    println!("cargo:rustc-link-arg-bin={name}=-L{}", folder.display());
    println!("cargo:rustc-link-arg-bin={name}=-Tlink.x");
}
