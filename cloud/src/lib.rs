//! The other end of an over-the-air update: a job service that speaks AWS IoT Jobs, and the command people type.
//!
//! A tour:
//! - [`serve`]: the service. A device's request comes in through `serve::mqtt`, is read and sorted in `serve::router`,
//!   and answered by `serve::jobs` (`worker`, `service` over the [`store`], the pure `rules`) or with blocks by
//!   `serve::streams`; `serve::http` serves images by signed URL.
//! - [`store`]: SQLite. What was answered is on the disk.
//! - `tool`: `ota keygen`, `sign`, `verify`, `image info` and `job`.
//! - [`api`]: what the two say to each other. [`model`]: the records. [`limits`]: every bound.
//!
//! The words on the wire are those of `ota-jobs`; image header and signature check are those of `ota-pal`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod api;
mod clock;
mod ids;
pub mod limits;
pub mod model;
pub mod serve;
mod signature;
pub mod store;
#[cfg(test)]
mod testing;
#[cfg(feature = "tool")]
pub mod tool;
