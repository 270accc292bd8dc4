//! A simulation: a device with its flash and its boot selector, a service, the network between them, and virtual time, all
//! from one seed and in one thread. Agent, platform and messages are the real ones.
//!
//! * [`dice`]: random numbers. [`nor`]: flash with faults and power cuts. [`image`], [`verifier`], [`job`]: releases.
//! * [`service`], [`stream`], [`web`]: models of the servers. [`network`], [`spoil`]: the network and corrupted messages.
//! * [`mcuboot`], [`esp_bootloader`]: models of foreign boot loaders. [`rig`]: devices under four of those.
//! * [`device`]: what boots. [`setup`]: parameters. [`world`]: the simulation. [`checks`]: invariants. [`life`]: soak runs.
//! * [`cuts`]: scenarios with power cuts at every operation. [`calm`]: fixtures for tests that inject faults themselves.
//!
//! [`mod@bench`] provides devices for `ota_pal::platform::contract`, [`rows`] the tables of planted bugs, [`tools`] the tools of
//! other projects. The tests that use all this are in `tests/tests`.

pub mod bench;
pub mod calm;
pub mod checks;
mod course;
pub mod cuts;
pub mod device;
pub mod dice;
mod entry;
pub mod esp_bootloader;
pub mod fuzz;
pub mod image;
pub mod job;
pub mod life;
pub mod mcuboot;
pub mod network;
pub mod nor;
pub mod rig;
pub mod rows;
pub mod service;
pub mod setup;
pub mod spoil;
pub mod stream;
pub mod tools;
pub mod verifier;
pub mod web;
mod wire;
pub mod world;
