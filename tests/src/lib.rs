//! The simulated WORLD: a device with its flash and its boot selector, a service, the network between them, and the time
//! that passes, all from one seed and in one thread. The agent, the platform and the messages in it are the real ones.
//!
//! * [`dice`]: chance. [`nor`]: flash that fails and loses power. [`image`], [`verifier`], [`job`]: what is released.
//! * [`service`], [`stream`], [`web`]: the other end, scripted. [`network`], [`spoil`]: the way there.
//! * [`mcuboot`]: a boot loader that is not ours. [`rig`]: devices under four of those.
//! * [`device`]: what boots. [`setup`]: what a world is made from. [`world`]: all of it, and its course. [`checks`]: what must never happen. [`life`]: a life from a seed.
//! * [`cuts`]: stories with the power cut at every point. [`calm`]: days without a storm, for tests that script their own.
//!
//! Beside it stand [`mod@bench`], devices for `ota_pal::platform::contract`, and [`esp_bootloader`], what another project's boot
//! selector does, as a judge of our adapter.
//!
//! [`rows`]: the tables of planted bugs. [`tools`]: tools of other projects.
//!
//! The proofs that run in it are the files of `tests/tests`.

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
