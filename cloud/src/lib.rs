//! The cloud side of over-the-air updates: a job service compatible with AWS IoT Jobs, and the command-line tool `ota`.
//!
//! Modules:
//! - [`serve`]: the service. Requests of devices arrive through `serve::mqtt` and are parsed by `serve::router`. Job requests
//!   are handled by `serve::jobs` (`job_actor`, `service`, the pure `rules`) over the [`store`], stream requests by
//!   `serve::streams`; `serve::http` serves images by signed URL and the admin requests, `serve::console` pages for people;
//!   `serve::access` recognises who sends them. `serve::aws` carries out the requests of AWS's tools.
//! - [`store`]: SQLite. Acknowledged changes are on disk.
//! - `tool`: the command `ota`.
//! - `release`: which image of a job is for which slot, by the images' own headers.
//! - `reason`: which reason a code or a name means. `visible`: text of others as it is shown.
//! - [`role`]: what an account or a token may do.
//! - [`api`]: JSON types of the admin requests. [`model`]: stored records. [`limits`]: all limits.
//!
//! Message formats are from `ota-jobs`; image header and signature verification are from `ota-pal`.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod access_key;
pub mod api;
mod clock;
mod cron;
pub mod device;
pub mod health;
mod ids;
pub mod job_config;
pub mod limits;
pub mod maintenance;
pub mod model;
mod object;
mod reason;
mod release;
pub mod release_api;
pub mod release_plan;
pub mod role;
pub mod schedule;
pub mod serve;
mod signature;
pub mod store;
#[cfg(test)]
mod testing;
#[cfg(feature = "tool")]
pub mod tool;
mod visible;
