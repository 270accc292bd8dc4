//! For build scripts: the memory maps that programs are linked with.

use std::path::PathBuf;
use std::{env, fs};

/// Memory: the address of its first byte, and its length in bytes.
#[derive(Clone, Copy)]
pub struct Memory(pub u32, pub u32);

/// Links `program` for these memories; `more` is further text of the linker script. Panics if the script cannot be written, which ends
/// the build.
pub fn program(program: &str, flash: Memory, ram: Memory, more: &str) {
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it")).join(program);
    fs::create_dir_all(&folder).expect("cargo's folder is writable");
    let [flash, ram] = [flash, ram].map(|Memory(origin, length)| format!("ORIGIN = {origin:#x}, LENGTH = {length:#x}"));
    let script = format!("MEMORY {{\n  FLASH : {flash}\n  RAM : {ram}\n}}\n{more}\n");
    fs::write(folder.join("memory.x"), script).expect("the same");
    println!("cargo:rustc-link-arg-bin={program}=-L{}", folder.display());
    println!("cargo:rustc-link-arg-bin={program}=-Tlink.x");
    // Otherwise the linker begins a segment with the file's own header, in front of the program: over the header of the image.
    println!("cargo:rustc-link-arg-bin={program}=--nmagic");
    println!("cargo:rerun-if-changed=build.rs");
}

/// Links the firmware for a slot, `body_offset` behind its start: as in `ota sign --body-offset`, by default 512. The compiler has the
/// slot's address as `LINKED_` and the name, such as `LINKED_SLOT_A`.
pub fn slot(name: &str, Memory(origin, length): Memory, body_offset: u32, ram: Memory, more: &str) {
    program(name, Memory(origin + body_offset, length - body_offset), ram, more);
    println!("cargo:rustc-env=LINKED_{}={origin}", name.to_uppercase().replace('-', "_"));
}
