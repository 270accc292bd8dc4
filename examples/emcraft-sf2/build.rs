//! Writes a memory map for each program: the boot selector in the non-volatile memory of the controller, and the firmware in the
//! region of DDR that the selector copies it to.

use std::path::{Path, PathBuf};
use std::{env, fs};

/// The last 16 bytes of the RAM in the controller are `board/handover.rs`.
const SELECTOR: &str = "FLASH : ORIGIN = 0x00000000, LENGTH = 256K\n  RAM : ORIGIN = 0x20000000, LENGTH = 64K - 16";
/// Start and length of the executing region, as in `src/layout.rs`.
const EXECUTING: (u32, u32) = (0xA000_0000, 0x10_0000);
/// `ota sign` puts a header of this length in front of a program.
const HEADER_BYTES: u32 = 512;

fn main() {
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    program(&out, "boot-selector", SELECTOR);
    let (origin, length) = (EXECUTING.0 + HEADER_BYTES, EXECUTING.1 - HEADER_BYTES);
    let flash = format!("FLASH : ORIGIN = {origin:#x}, LENGTH = {length}");
    program(&out, "slot-any", &format!("{flash}\n  RAM : ORIGIN = 0xA0200000, LENGTH = 1M"));
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
    // Without pages, no header of the ELF file is placed in front of the program.
    println!("cargo:rustc-link-arg-bin={name}=--nmagic");
}
