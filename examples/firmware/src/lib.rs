//! The firmware of a board with Ethernet, or another network that embassy-net drives: the agent over MQTT and HTTP, beside an
//! application that has work of its own. A board brings drivers, and calls [`run`] (`examples/mps2` and `examples/emcraft-sf2` are
//! two), or [`run_with`] for another boot loader than this project's.
//!
//! * [`Build`]: what a build is, from the environment of the compiler: [`build!`].
//! * [`settings`]: what the factory writes to each device.
//! * [`network`]: connections for the agent.
//! * [`tls`]: the same, encrypted and verified.
//! * `link`: a connection over its memory.
//! * `memory`: all buffers.
//! * `controller`: the application, and what it does with updates.
//! * `tick`: the work that no update should delay.
//! * `run`: puts them together.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(test)]
extern crate std;

mod build;
mod controller;
mod link;
mod memory;
pub mod network;
mod run;
pub mod settings;
mod tick;
pub mod tls;

pub use build::Build;
pub use controller::Verdict;
pub use run::{Board, run, run_with};
