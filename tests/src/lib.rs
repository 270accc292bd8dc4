//! A simulation: a device with its flash and its boot selector, a service, the network between them, and virtual time, all
//! from one seed and in one thread. Agent, platform and messages are the real ones.
//!
//! * [`rng`]: random numbers. [`nor`]: flash with faults and power cuts. [`image`], [`verifier`], [`job`]: releases.
//! * [`service`], [`stream`], [`web`]: models of the servers. [`network`], [`conditions`], [`corrupt`]: the network, its
//!   conditions, corrupted messages.
//!   [`link`], [`traffic`]: links, and what a download over them costs.
//! * [`mcuboot`], [`esp_bootloader`]: models of foreign boot loaders. [`rig`]: devices under four of those.
//! * [`device`]: what boots. [`device_clock`]: its clock. [`setup`]: parameters. [`sim`]: the simulation. [`checks`]: invariants. [`soak`]: soak runs.
//! * [`cuts`]: scenarios with power cuts at every operation. [`fixtures`]: fixtures for tests that inject faults themselves.
//!
//! [`mod@test_board`] provides devices for `ota_pal::platform::conformance`, [`rows`] the tables of planted bugs, [`tools`] the tools of
//! other projects. The tests that use all this are in `tests/tests`.

pub mod checks;
pub mod conditions;
pub mod corrupt;
pub mod cuts;
pub mod device;
pub mod device_clock;
mod entry;
pub mod esp_bootloader;
pub mod fixtures;
pub mod fuzz;
pub mod image;
pub mod job;
pub mod link;
pub mod mcuboot;
pub mod network;
pub mod nor;
pub mod rig;
pub mod rng;
pub mod rows;
mod run_loop;
pub mod service;
pub mod setup;
pub mod sim;
pub mod soak;
pub mod stream;
pub mod test_board;
pub mod tools;
pub mod traffic;
pub mod verifier;
pub mod web;
mod wire;
