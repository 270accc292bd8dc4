//! An over-the-air update agent for AWS IoT Jobs: downloads an image, verifies it, tries it, and reports the outcome. No
//! heap, no global state, no clock of its own.
//!
//! * [`machine`] is the state machine: pure, events in, operations and messages out.
//! * [`Agent`] executes operations on the platform, decodes and encodes messages.
//! * [`pump::run`] drives an agent over an MQTT connection and an HTTP body, with any executor.
//! * [`transport`] has the traits for both, the minimq adapter and the HTTP client.
//! * [`Application`] is implemented by the user: the self-test, and notices.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(test)]
extern crate std;

mod agent;
mod application;
mod commands;
mod decode;
mod encode;
pub mod machine;
pub mod pump;
mod reason;
pub mod transport;
mod update_job;

/// The names that a device program needs.
pub mod prelude {
    pub use crate::agent::{Agent, Start};
    pub use crate::application::{Application, Command, SelfTest};
    pub use crate::machine::{AgentConfig, Notice};
    pub use crate::pump;
    pub use crate::transport::Connector;
    #[cfg(feature = "http")]
    pub use crate::transport::http::{AllowedHosts, HttpClient};
    pub use crate::transport::minimq::Minimq;
}

pub use agent::{Agent, MESSAGE_BYTES_MAX, Outgoing, Start, StartError, StartRefused};
pub use application::{Application, Command, CommandRefused, Direction, SelfTest};
pub use machine::{AgentConfig, ConfigError, Discovery, Instant, Notice, Progress};
