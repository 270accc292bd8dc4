//! Makes a constant of each partition, and links the firmware by the script of esp-hal.

use std::path::PathBuf;
use std::{env, fs};

const TABLE: &str = "partitions.csv";

fn main() {
    let table = fs::read_to_string(TABLE).expect("it is beside this file");
    let partitions: String = table.lines().filter(|line| !line.starts_with('#')).map(constant).collect();
    let folder = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    fs::write(folder.join("partitions.rs"), partitions).expect("cargo's folder is writable");
    println!("cargo:rustc-link-arg-bins=-Tlinkall.x");
    println!("cargo:rerun-if-changed={TABLE}");
}

/// The region of a partition, as Rust; panics, which ends the build, if the line has other than five fields.
fn constant(line: &str) -> String {
    let fields: Vec<&str> = line.split(',').map(str::trim).collect();
    let [name, _, _, offset, size] = fields[..] else { panic!("{TABLE}: {line}") };
    format!("pub const {}: Region = Region::new({offset}, {size});\n", name.to_uppercase())
}
