//! An over-the-air update agent for AWS IoT Jobs: downloads an image, verifies it, runs it on trial, and reports the
//! outcome. No heap and no global state; the time is an argument, except in [`pump`].
//!
//! * [`machine`] is the state machine: pure, events in, operations and messages out.
//! * [`Agent`] executes operations on the platform, decodes and encodes messages.
//! * [`pump::run`] drives an agent over an MQTT connection, [`pump::run_with_http`] over HTTP as well, with any
//!   executor.
//! * [`transport`] has the traits for both, the minimq adapter and the HTTP client.
//! * [`Application`] is implemented by the user: the self-test, notices, and commands.
//!
//! A packet passes from [`pump`] through [`Agent::on_message`] and `decode` to [`machine::Machine::on`].
//! [`Agent::work`] then executes the operations that are due, and [`Agent::message`] encodes the messages. Blocks of
//! the image bypass the machine, which only handles their indices and lengths.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(any(test, feature = "conformance"))]
extern crate std;

mod application;
mod decode;
mod encode;
#[cfg(feature = "holds")]
mod holds;
pub mod machine;
mod reason;
mod requirements;
mod silence;
mod start;
pub mod transport;
mod update_job;

/// The names that a device program needs.
pub mod prelude {
    pub use crate::application::{Application, Command, CommandRefused, SelfTest, Shutdown};
    pub use crate::asynchronous::agent::Agent;
    pub use crate::asynchronous::pump;
    pub use crate::encode::Outgoing;
    #[cfg(feature = "holds")]
    pub use crate::holds::{Hold, Holds};
    pub use crate::machine::{AgentConfig, Consent, Discovery, Notice, Progress, Statistics, Step, WhyLater};
    pub use crate::requirements::{Conditions, Requirements, Window};
    pub use crate::start::{Start, Update};
    #[cfg(feature = "http")]
    pub use crate::transport::http::{AllowedHosts, HttpClient};
    pub use crate::transport::minimq::Minimq;
    pub use crate::transport::{Activity, Connector, QoS};
}

// Code that calls the platform is compiled twice from one source: as written, and for blocking platforms without
// `async` and `.await`, so that the compiler generates no futures for it. `#[bisync]` removes them from an item,
// `wait!` from a call in the pump, which is async in both forms.

#[path = "."]
mod asynchronous {
    pub mod agent;
    mod boot;
    mod commands;
    pub mod pump;

    use bisync_macros::internal_noop as bisync;
    use ota_pal::{ImageManagement, Platform};

    macro_rules! wait {
        ($future:expr) => {
            $future.await
        };
    }
    use wait;
}

/// The agent over a blocking platform, such as [`ota_pal::blocking::Native`]: the same source without `async`, and
/// smaller.
#[path = "."]
#[allow(clippy::duplicate_mod)]
pub mod blocking {
    mod agent;
    mod boot;
    mod commands;
    pub mod pump;

    use bisync_macros::internal_strip_async as bisync;
    use ota_pal::blocking::{ImageManagement, Platform};

    macro_rules! wait {
        ($value:expr) => {
            $value
        };
    }
    use wait;

    pub use agent::Agent;

    /// The names that a device program needs: those of [`prelude`](crate::prelude), with the blocking agent.
    pub mod prelude {
        pub use super::agent::Agent;
        pub use super::pump;
        pub use crate::prelude::*;
    }
}

pub use application::{Application, Command, CommandRefused, Direction, SelfTest, Shutdown};
pub use asynchronous::agent::Agent;
pub use asynchronous::pump;
pub use decode::{FILTERS, FILTERS_BYTES_MAX};
pub use encode::{MESSAGE_BYTES_MAX, Outgoing};
#[cfg(feature = "holds")]
pub use holds::{Hold, Holds};
pub use machine::{
    AgentConfig, AgentState, ConfigError, Consent, Discovery, Instant, Notice, Pending, Progress, Statistics, Step,
    WhyLater,
};
pub use requirements::{Conditions, Requirements, Window};
pub use start::{Start, StartError, StartRefused, Update};
