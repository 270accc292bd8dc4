//! An over-the-air update agent that speaks AWS IoT Jobs: from a job document to a committed image, and the cloud always
//! knows the truth about it. No heap, no global, no clock of its own.
//!
//! * [`machine`] decides: pure, events in, operations and messages out.
//! * [`Agent`] carries out: messages and blocks come in, the platform works, messages go out.
//! * [`pump::run`] drives it over an MQTT connection and an HTTP body, with any executor.
//! * [`transport`] has the traits for both, the minimq adapter and the HTTP client.
//! * [`Application`] is what you write: the self-test, and what to do with notices.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(test)]
extern crate std;

mod agent;
mod application;
mod commands;
mod decimal;
mod desk;
mod inbox;
pub mod machine;
mod outbox;
mod plan;
pub mod pump;
mod reason;
pub mod transport;

pub use agent::{Agent, MESSAGE_BYTES_MAX, Outgoing, StartError, StartRefused};
pub use application::{Application, SelfTest, Way};
pub use commands::{Command, CommandRefused};
pub use machine::{Config, ConfigError, Discovery, Instant, Notice, Progress};
