//! The stream service: files of a job, in blocks over MQTT.
//!
//! `lanes` takes requests, a lane a thing; `service` answers one; `plan` says which blocks, `pace` how fast.

pub mod lanes;
mod pace;
mod plan;
pub mod request;
pub mod service;
