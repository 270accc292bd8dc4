//! Messages of AWS IoT Jobs and of MQTT-based file delivery, in both directions, and the reason codes.
//!
//! | what | where |
//! |-|-|
//! | names, topics, filters | [`ids`], [`topic`], [`filter`] |
//! | requests and responses | [`get`], [`start_next`], [`describe`], [`update`], [`rejected`] |
//! | notifications | [`notify`] |
//! | an execution, its status, its details | [`execution`], [`status`], [`details`] |
//! | the job document of an update | [`document`] |
//! | files over MQTT | [`stream`] |
//! | what a device reports about itself | [`report`] |
//! | reasons for failure and rejection | [`reason`] |
//!
//! Every message borrows from its bytes and has `parse` and `emit`; devices use one half, the service the other. `scan`
//! locates the values of a JSON message without recursion and bounds its depth; values that are not needed are passed
//! on unchanged ([`RawJson`]), and escapes are resolved on access ([`JsonStr`]). `value` reads fields by key, from JSON
//! and from CBOR. Numbers are written by serde-json-core.
//!
//! There is no heap, no clock and no recursion, and no input is trusted. The order of messages is not part of this
//! crate.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used))]

#[cfg(test)]
extern crate std;

pub mod base64;
mod buffer;
mod cbor;
pub mod codes;
pub mod describe;
pub mod details;
pub mod document;
pub mod error;
pub mod execution;
pub mod filter;
pub mod get;
pub mod ids;
pub mod json;
mod json_writer;
pub mod limits;
pub mod notify;
pub mod reason;
pub mod rejected;
pub mod report;
mod scan;
pub mod start_next;
pub mod status;
pub mod stream;
pub mod text;
pub mod topic;
pub mod update;
mod value;

pub use codes::{RejectCode, StreamRejectCode};
pub use describe::{Describe, DescribeResponse};
pub use details::Details;
pub use document::Document;
pub use error::{EmitError, FieldError, ParseError};
pub use execution::{Execution, ExecutionState, Summaries, Summary, job_of};
pub use filter::Filter;
pub use get::{Get, PendingJobs};
pub use ids::{JobId, StreamName, ThingName};
pub use json::RawJson;
pub use notify::Notify;
pub use reason::Reason;
pub use rejected::Rejected;
pub use start_next::StartNext;
pub use status::Status;
pub use text::JsonStr;
pub use topic::{Encoding, JobRef, JobsTopic, Response, StreamTopic, Topic, TopicError};
pub use update::{Update, UpdateResponse};
