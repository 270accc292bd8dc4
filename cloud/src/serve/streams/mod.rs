//! The stream service: files of a job, in blocks over MQTT.
//!
//! `queues` takes requests, a lane a thing; `service` answers one; `plan` says which blocks, `pace` how fast.

mod block_range;
pub mod queues;
mod rate_limit;
pub mod request;
pub mod service;
