//! The stream service: delivers the files of a job in blocks over MQTT.
//!
//! `queues` holds one queue per thing, `service` serves one request, `block_range` selects the blocks, `rate_limit` delays them.

mod block_range;
pub mod queues;
mod rate_limit;
pub mod request;
pub mod service;
