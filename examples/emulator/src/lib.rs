//! The boards of `examples/mps2` and `examples/emcraft-sf2` in QEMU, for the story of `emulator` and for tests.
//!
//! * [`machine`]: what differs between them.
//! * [`programs`]: builds boot selector and firmware.
//! * [`board`]: the emulated board, whose flash outlives it.
//! * [`flash`]: the contents of that flash.
//! * [`cable`]: the connection between board and service, which can be cut.
//! * [`world`]: all of them, with a job service.

use std::process::Command;

pub mod board;
pub mod cable;
pub mod certificates;
#[path = "../../emcraft-sf2/src/layout.rs"]
pub mod emcraft_sf2;
pub mod flash;
pub mod machine;
#[path = "../../mps2/src/layout.rs"]
pub mod mps2;
pub mod programs;
pub mod world;

/// What an emulated board needs and this machine lacks; `None` if it has all.
pub fn missing() -> Option<&'static str> {
    let works = |command: &mut Command| command.output().is_ok_and(|output| output.status.success());
    if !works(Command::new(board::QEMU).arg("--version")) {
        return Some("qemu-system-arm");
    }
    (!works(Command::new(programs::script(&machine::MPS2)).arg("--check")))
        .then_some("rustup target add thumbv7m-none-eabi")
}
