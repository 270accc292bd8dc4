//! The job service: requests of devices, admin requests, and notifications.
//!
//! `job_actor` is the single writer. It receives commands from `handle` (admin requests) and from the router (devices), and
//! uses `codec` for messages, `service`, `job_admin` and `job_control` over the store, and the pure functions of `rules` and
//! `rollout`.
//! `rollouts` creates the executions of a job over time, and aborts it; for a release it also waits for `sessions` of the
//! devices, and halts it by the rule in `halt`. `fit` compares images with the hardware of the devices.
//! A rule counts the silence of devices only in the time of `contact`. Timers expire while `expiry_gate` is open, and follow the steps that `wall_clock` detects.

pub mod admin_error;
pub mod changes;
pub mod codec;
pub mod command;
mod contact;
pub mod device_reports;
pub mod document;
mod expiry_gate;
pub mod file_types;
pub mod fit;
pub mod groups;
mod halt;
pub mod handle;
pub mod job_actor;
pub mod job_admin;
mod job_control;
mod job_copy;
pub mod messages;
mod notify_queue;
pub mod presence;
mod releases;
pub mod revert;
mod rollout;
mod rollouts;
pub mod rules;
pub mod service;
pub mod sessions;
#[cfg(test)]
mod simulation;
mod wall_clock;
