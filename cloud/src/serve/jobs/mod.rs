//! The job service: what a device's request makes of its executions, what an order makes of a job, and who is told.
//!
//! `worker` is the one task that changes anything. It is asked by `handle` (the admin requests) and by the router (devices),
//! reads and writes messages with `wire`, and decides with `service` and `orders` over the store; the rules are in `rules`.

mod document;
pub mod handle;
pub mod heard;
pub mod messages;
pub mod orders;
pub mod rules;
pub mod service;
mod teller;
pub mod wire;
pub mod worker;
