//! The job service: what a device's request makes of its executions, what an order makes of a job, and who is told.
//!
//! `worker` is the one task that changes anything. It is asked by `handle` (the admin requests) and by the router (devices),
//! reads and writes messages with `wire`, and decides with `service` and `orders` over the store; the rules are in `rules`.

pub mod codec;
mod document;
pub mod handle;
pub mod job_actor;
pub mod job_admin;
pub mod messages;
mod notify_queue;
pub mod rules;
pub mod seen_things;
pub mod service;
